#!/bin/bash
# Internal snapshots of encrypted images and of images with bitmaps.
. "$(dirname "$0")/lib.sh"
need_tools qemu-img qemu-io cmp
need_fuse

note "apply marks all of a bitmap that records"
qemu-img create -q -f qcow2 bits.qcow2 1M
qemu-img snapshot -c before bits.qcow2
qemu-img bitmap --add -g 65536 bits.qcow2 all
qemu-img bitmap --add --disable -g 65536 bits.qcow2 off
"$BLOCKGRAPHFS" snapshot -a before bits.qcow2
qemu-img check -q bits.qcow2
# dirty NAME: how many bytes QEMU finds dirty.
dirty() {
  qemu-img create -q -f qcow2 copy.qcow2 1M
  qemu-img bitmap --add --disable -g 65536 copy.qcow2 "$1"
  qemu-img bitmap --merge "$1" -b bits.qcow2 -F qcow2 copy.qcow2 "$1"
  qemu-img info -f qcow2 copy.qcow2 >/dev/null
  qemu-nbd --fork -r -t -B "$1" -k "$PWD/socket" -f qcow2 --pid-file=nbd.pid copy.qcow2
  qemu-img map --output=json --image-opts \
    "driver=nbd,server.type=unix,server.path=$PWD/socket,x-dirty-bitmap=qemu:dirty-bitmap:$1" >map.json
  kill "$(cat nbd.pid)"
  wait_for 10 "qemu-nbd ends" process_gone "$(cat nbd.pid)"
  rm -f copy.qcow2 socket
  # QEMU shows dirty parts as without data.
  grep -oE '"length": [0-9]+.*"data": false' map.json | grep -oE '^"length": [0-9]+' | awk '{sum += $2} END {print sum + 0}' || true
}
if command -v qemu-nbd >/dev/null; then
  assert_equal "$(dirty all)" 1048576 "what is dirty"
  assert_equal "$(dirty off)" 0 "what is dirty where nothing is recorded"
fi

note "an encrypted image: without its key, and read with it"
printf 'correct horse' >key
if ! create_encrypted --object secret,id=k,file=key \
  -o encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10 secret.qcow2 4M 2>/dev/null; then
  skip "qemu-img cannot encrypt"
fi
opened="driver=qcow2,encrypt.key-secret=k,file.filename=secret.qcow2"
qemu-io --object secret,id=k,file=key --image-opts "$opened" -c 'write -P 0x11 0 3M' >/dev/null
qemu-img convert --object secret,id=k,file=key --image-opts "$opened" -O raw then.raw
"$BLOCKGRAPHFS" snapshot -c old secret.qcow2 </dev/null
qemu-io --object secret,id=k,file=key --image-opts "$opened" -c 'write -P 0x22 1M 3M' >/dev/null
qemu-img convert --object secret,id=k,file=key --image-opts "$opened" -O raw now.raw
mount_graph mnt --secret id=k,file=key secret.qcow2
cmp mnt/secret@old then.raw
cmp mnt/secret now.raw
unmount mnt
"$BLOCKGRAPHFS" snapshot -a old secret.qcow2 </dev/null
qemu-img compare -q --object secret,id=k,file=key --image-opts "$opened" driver=raw,file.filename=then.raw
"$BLOCKGRAPHFS" snapshot -d old secret.qcow2 </dev/null
qemu-img check -q --object secret,id=k,file=key --image-opts "$opened"
qemu-img compare -q --object secret,id=k,file=key --image-opts "$opened" driver=raw,file.filename=then.raw
