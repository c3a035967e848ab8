#!/bin/bash
# Encrypted images: LUKS as QEMU writes it, read and written; the legacy method AES, read.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img qemu-io openssl jq
need_helper shadow-writer

size=$((4 << 20))
printf 'correct horse' >key
printf 'battery staple' >other
printf 'correct horse\n' >newline
random_bytes $size 31 >pattern

# luks_image FILE KEY OPTION…: an image by qemu-img, its passphrase cheap.
luks_image() {
  local file=$1 key=$2 options=
  shift 2
  (($# == 0)) || options=$(printf ',%s' "$@")
  create_encrypted --object "secret,id=k,file=$key" \
    -o "encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10$options" "$file" $size
}

# qemu_writes FILE KEY COMMAND…: by qemu-io.
qemu_writes() {
  local file=$1 key=$2 commands=()
  shift 2
  while (($# > 0)); do
    commands+=(-c "$1")
    shift
  done
  qemu-io --object "secret,id=k,file=$key" --image-opts "driver=qcow2,encrypt.key-secret=k,file.filename=$file" \
    "${commands[@]}" >qemu-io.log || fail "qemu-io: $(cat qemu-io.log)"
}

# assert_judged FILE KEY RAW: QEMU finds the image sound and reads RAW in it.
assert_judged() {
  local image="driver=qcow2,encrypt.key-secret=k,file.filename=$1"
  qemu-img check -q --object "secret,id=k,file=$2" --image-opts "$image" >&2 || fail "qemu-img check finds faults in $1"
  qemu-img compare -q --object "secret,id=k,file=$2" --image-opts "$image" "driver=raw,file.filename=$3" >&2 ||
    fail "the content of $1 is not that of $3"
}

# write_and_judge FILE SEED: the image, which QEMU wrote to, reads as QEMU reads it, then takes our writes.
write_and_judge() {
  local file=$1 seed=$2
  qemu_writes "$file" key "write -P 0x11 0 1M" "write -P 0x22 5000 3000" "write -P 0x33 3M 70000" "write -z 2M 128k"
  qemu-img convert --object secret,id=k,file=key --image-opts "driver=qcow2,encrypt.key-secret=k,file.filename=$file" \
    -O raw shadow.raw
  mount_graph mnt --secret id=k,file=key "$file"
  assert_same mnt/disk shadow.raw
  dd if=pattern of=mnt/disk bs=50k count=20 seek=3 conv=notrunc status=none
  dd if=pattern of=shadow.raw bs=50k count=20 seek=3 conv=notrunc status=none
  "$helpers/shadow-writer" mnt/disk shadow.raw 4 150 "$seed" mixed
  assert_same mnt/disk shadow.raw
  unmount mnt
  "$BLOCKGRAPHFS" check -q "$file"
  assert_judged "$file" key shadow.raw
}

# our_image FILE KEY OPTIONS: the same by blockgraphfs.
our_image() {
  rm -f "$1"
  "$BLOCKGRAPHFS" create -f qcow2 --secret "id=k,file=$2" -o "encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10$3" "$1" $size
  qemu-img check -q --object "secret,id=k,file=$2" --image-opts "driver=qcow2,encrypt.key-secret=k,file.filename=$1" >&2 ||
    fail "qemu-img check"
}

mkdir -p mnt
if ! has_encryption; then
  note "without the library"
  luks_image disk.qcow2 key 2>/dev/null || skip "qemu-img cannot make encrypted images"
  for secret in "" "--secret id=k,file=key"; do
    # shellcheck disable=SC2086 # two words or none
    assert_fails "node 'disk': .*libgcrypt was missing.*apt-get install" "$BLOCKGRAPHFS" $secret disk.qcow2 mnt
  done
  assert_matches "$("$BLOCKGRAPHFS" info --json disk.qcow2)" '"encrypted" ?: ?true' "info"
  "$BLOCKGRAPHFS" check -q disk.qcow2
  assert_fails "libgcrypt was missing" "$BLOCKGRAPHFS" create -f qcow2 --secret id=k,file=key \
    -o encrypt.format=luks x.qcow2 1M
  [[ ! -e x.qcow2 ]] || fail "an image is left"
  skip "the rest: built without libgcrypt"
fi

# QEMU takes seconds for each image, to measure how long the key's derivation takes: few of them, others are made by us.
seed=51
by_qemu=("" "encrypt.cipher-alg=aes-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256,extended_l2=on,cluster_size=16k")
by_us=(",encrypt.cipher-alg=serpent-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=md5,encrypt.hash-alg=sha1"
  ",encrypt.cipher-alg=twofish-256,encrypt.hash-alg=sha512,cluster_size=512"
  ",encrypt.cipher-alg=cast5-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain64,compat=0.10")
if [[ -n ${E2E_ALL:-} ]]; then
  by_qemu+=("encrypt.cipher-alg=aes-128" "encrypt.cipher-alg=aes-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain"
    "encrypt.cipher-alg=cast5-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain64"
    "encrypt.cipher-alg=serpent-256,encrypt.hash-alg=sha512" "encrypt.cipher-alg=twofish-128,encrypt.hash-alg=sha1"
    "encrypt.hash-alg=ripemd160,cluster_size=512" "cluster_size=2M" "compat=0.10")
  by_us+=("" ",cluster_size=512" ",compat=0.10" ",extended_l2=on")
fi

for options in "${by_us[@]}"; do
  note "luks, made by us${options:+, ${options#,}}"
  our_image disk.qcow2 key "$options"
  write_and_judge disk.qcow2 $((seed++))
done
for options in "${by_qemu[@]}"; do
  note "luks, made by QEMU${options:+, $options}"
  rm -f disk.qcow2
  # shellcheck disable=SC2086 # an empty word is no option
  luks_image disk.qcow2 key $options || skip "qemu-img cannot make encrypted images"
  write_and_judge disk.qcow2 $((seed++))
done

note "what is told of it is what QEMU tells"
# facts: "encrypted", and all about the encryption, in a fixed order.
facts() {
  jq -S '{encrypted, encrypt: .["format-specific"].data.encrypt}'
}
told=$("$BLOCKGRAPHFS" info --json disk.qcow2 | facts)
assert_equal "$told" "$(qemu-img info --output=json disk.qcow2 | facts)" "info --json"
assert_equal "$(jq .encrypted <<<"$told")" true "encrypted"
qemu-img create -q -f qcow2 plain.qcow2 1M
assert_equal "$("$BLOCKGRAPHFS" info --json plain.qcow2 | facts)" "$(qemu-img info --output=json plain.qcow2 | facts)" "info --json"

note "without the key: told of, mapped, checked, but not mounted"
assert_fails "node 'disk': the image is encrypted, and its key is missing.*--secret" "$BLOCKGRAPHFS" disk.qcow2 mnt
assert_matches "$("$BLOCKGRAPHFS" info disk.qcow2)" 'aes-256.*cbc' "info"
assert_matches "$("$BLOCKGRAPHFS" map disk.qcow2)" '0 +0x[0-9a-f]+ +- ' "map"
"$BLOCKGRAPHFS" check -q disk.qcow2

note "wrong keys"
assert_fails "'k' opens none of the image's key slots" "$BLOCKGRAPHFS" --secret id=k,file=other disk.qcow2 mnt
assert_fails "key slots .it ends with a newline" "$BLOCKGRAPHFS" --secret id=k,file=newline disk.qcow2 mnt
assert_fails "no secret 'x'" "$BLOCKGRAPHFS" --key-secret x --secret id=k,file=key disk.qcow2 mnt
assert_fails "several secrets" "$BLOCKGRAPHFS" --secret id=k,file=key --secret id=l,file=other disk.qcow2 mnt
assert_fails "data=.* shows the secret" "$BLOCKGRAPHFS" --secret id=k,data=x disk.qcow2 mnt
assert_fails "cannot read 'nothing'.*No such file" "$BLOCKGRAPHFS" --secret id=k,file=nothing disk.qcow2 mnt
assert_fails "not as encrypt.format says" "$BLOCKGRAPHFS" --secret id=k,file=key \
  --blockdev driver=qcow2,node-name=d,encrypt.format=aes,file.driver=file,file.filename=disk.qcow2 mnt

note "secrets by other ways"
openssl base64 -in key -out key.base64
for secret in "--secret id=k,file=key.base64,format=base64" "--object secret,id=k,file=key" "-o secret=id=k\\,file=key"; do
  # shellcheck disable=SC2086 # two words
  mount_graph mnt $secret disk.qcow2
  assert_same mnt/disk shadow.raw
  unmount mnt
done

note "overlay and base have different keys"
mv disk.qcow2 base.qcow2
cp shadow.raw base.raw
"$BLOCKGRAPHFS" create -f qcow2 -b base.qcow2 -F qcow2 --secret id=k,file=other \
  -o encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10 disk.qcow2 $size
chain=(--secret "id=top,file=other" --secret "id=base,file=key" --blockdev
  "driver=qcow2,node-name=disk,auto-read-only=on,encrypt.key-secret=top,backing.encrypt.key-secret=base,file.driver=file,file.filename=disk.qcow2")
mount_graph mnt "${chain[@]}"
assert_same mnt/disk base.raw
dd if=pattern of=mnt/disk bs=1000 count=77 seek=3 conv=notrunc status=none
dd if=pattern of=shadow.raw bs=1000 count=77 seek=3 conv=notrunc status=none
assert_same mnt/disk shadow.raw
assert_same mnt/disk.backing base.raw
unmount mnt
qemu-img compare -q --object secret,id=k,file=other --object secret,id=b,file=key --image-opts \
  driver=qcow2,encrypt.key-secret=k,file.filename=disk.qcow2,backing.encrypt.key-secret=b,backing.driver=qcow2,backing.file.filename=base.qcow2 \
  driver=raw,file.filename=shadow.raw >&2 || fail "QEMU reads the chain otherwise"

note "a persistent bitmap stays plain, and has what was written"
our_image disk.qcow2 key ""
image=driver=qcow2,encrypt.key-secret=k,file.filename=disk.qcow2
qemu-img bitmap --object secret,id=k,file=key --image-opts --add -g 64k "$image" dirty
mount_graph mnt --secret id=k,file=key disk.qcow2
dd if=pattern of=mnt/disk bs=64k count=3 seek=5 conv=notrunc status=none
assert_equal "$(jq '.nodes[]."dirty-bitmaps"[]? | select(.name == "dirty") | .count' mnt/.graph/nodes.json)" $((3 << 16)) "dirty bytes"
cp mnt/disk shadow.raw
unmount mnt
assert_judged disk.qcow2 key shadow.raw
assert_equal "$(qemu-img info --output=json disk.qcow2 | jq -c '.["format-specific"].data.bitmaps[0].flags')" '["auto"]' "flags"
mount_graph mnt --secret id=k,file=key disk.qcow2
dd if=pattern of=mnt/disk bs=64k count=1 seek=20 conv=notrunc status=none
assert_equal "$(jq '.nodes[]."dirty-bitmaps"[]? | select(.name == "dirty") | .count' mnt/.graph/nodes.json)" $((4 << 16)) "dirty bytes"
unmount mnt

note "an external data file holds the encrypted data"
rm -f disk.qcow2
luks_image disk.qcow2 key data_file=data.raw || fail "qemu-img create"
qemu_writes disk.qcow2 key "write -P 0x44 100000 1M"
truncate -s 0 shadow.raw
truncate -s $size shadow.raw
qemu-io -f raw shadow.raw -c "write -P 0x44 100000 1M" >/dev/null
mount_graph mnt --secret id=k,file=key disk.qcow2
assert_same mnt/disk shadow.raw
"$helpers/shadow-writer" mnt/disk shadow.raw 4 150 71 mixed
dd if=pattern of=mnt/disk bs=64k count=1 seek=40 conv=notrunc status=none
dd if=pattern of=shadow.raw bs=64k count=1 seek=40 conv=notrunc status=none
assert_same mnt/disk shadow.raw
unmount mnt
assert_judged disk.qcow2 key shadow.raw
"$BLOCKGRAPHFS" check -q disk.qcow2
sample=$(od -An -v -tx1 -N 16 pattern | sed 's/ /\\x/g')
grep -qUaP "$sample" shadow.raw || fail "the sample is not in the plain text"
! grep -qUaP "$sample" data.raw || fail "the data file holds plain text"

# A file system on a loop device on an encrypted disk; fsck, by the loop device and of what QEMU reads, is the judge.
ext4_on_loop() {
  local loop
  rm -f disk.qcow2
  "$BLOCKGRAPHFS" create -f qcow2 --secret id=k,file=key -o encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10 disk.qcow2 64M
  mount_graph mnt --secret id=k,file=key disk.qcow2
  loop=$(losetup --show -f mnt/disk) || fail "losetup does not work"
  own_loops+=("$loop")
  own_mounts+=("$scratch/fs")
  mkdir -p fs
  mkfs.ext4 -q "$loop"
  mount -t ext4 "$loop" fs
  cp pattern fs/one
  cp pattern fs/two
  rm fs/one
  sync -f fs
  fstrim fs 2>/dev/null || true
  umount fs
  fsck.ext4 -fn "$loop" >fsck.log 2>&1 || fail "fsck finds faults: $(<fsck.log)"
  mount -t ext4 -o ro "$loop" fs
  assert_same fs/two pattern
  umount fs
  losetup -d "$loop"
  own_loops=()
  wait_for 5 "the loop device lets go of the disk" open_read_only "$daemon" disk.qcow2
  unmount mnt
  "$BLOCKGRAPHFS" check -q disk.qcow2
  qemu-img convert --object secret,id=k,file=key --image-opts "$image" -O raw disk.raw
  fsck.ext4 -fn disk.raw >fsck.log 2>&1 || fail "fsck finds faults in what QEMU reads: $(<fsck.log)"
}
if (($(id -u) == 0)) && losetup -f >/dev/null 2>&1 && command -v mkfs.ext4 fsck.ext4 >/dev/null; then
  note "ext4 on a loop device"
  ext4_on_loop
else
  note "no loop device, no ext4: left out"
fi

note "what cannot be made"
assert_fails "its key is missing" "$BLOCKGRAPHFS" create -f qcow2 -o encrypt.format=luks x.qcow2 1M
assert_fails "The mode 'ctr-plain64' of the encryption is not supported" "$BLOCKGRAPHFS" create -f qcow2 --secret id=k,file=key \
  -o encrypt.format=luks,encrypt.cipher-mode=ctr x.qcow2 1M
assert_fails "only one of them is possible" "$BLOCKGRAPHFS" create -f qcow2 --secret id=k,file=key \
  -o encrypt.format=luks,preallocation=metadata x.qcow2 1M
[[ ! -e x.qcow2 ]] || fail "an image is left"

note "a header that asks for more work than anybody would wait for is refused at once"
cp disk.qcow2 hostile.qcow2
offset=$(grep -obUaP 'LUKS\xba\xbe' hostile.qcow2 | sed -n '1s/:.*//p')
poke hostile.qcow2 $((offset + 212)) ff ff ff ff
SECONDS=0
assert_fails "not tried, .*slot 0 \\(4294967295 iterations" "$BLOCKGRAPHFS" --secret id=k,file=key hostile.qcow2 mnt
((SECONDS <= 2)) || sanitized || fail "the refusal took $SECONDS s"

note "the legacy method aes is read, not written"
create_encrypted --object secret,id=k,file=key -o encrypt.format=aes,encrypt.key-secret=k aes.qcow2 $size
qemu_writes aes.qcow2 key "write -P 0x55 1000 100000" "write -P 0x66 2M 1M"
truncate -s 0 shadow.raw
truncate -s $size shadow.raw
qemu-io -f raw shadow.raw -c "write -P 0x55 1000 100000" -c "write -P 0x66 2M 1M" >/dev/null
mount_graph mnt --secret id=k,file=key aes.qcow2
assert_same mnt/aes shadow.raw
assert_mode mnt/aes 444
assert_open_fails "Read-only file system" mnt/aes
assert_matches "$(attribute mnt/aes reason)" "legacy method AES, which is only read" "reason"
unmount mnt
