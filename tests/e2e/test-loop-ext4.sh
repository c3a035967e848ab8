#!/bin/bash
# A file system on a loop device on the mounted disk: mkfs, files, fsck, and qemu-img as the last judge.
. "$(dirname "$0")/lib.sh"
need_fuse
need_root
need_tools qemu-img losetup mkfs.ext4 fsck.ext4 openssl
losetup -f >/dev/null 2>&1 || skip "loop devices are not available"

random_bytes 12M 7 >content
qemu-img create -q -f qcow2 base.qcow2 128M
mkdir fs
own_mounts+=("$scratch/fs")

try() {
  local direct=$1 loop before copies
  note "losetup --direct-io=$direct"
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
  mount_graph mnt disk.qcow2
  loop=$(losetup --show -f --direct-io="$direct" mnt/disk) || skip "losetup does not work"
  own_loops+=("$loop")
  assert_equal "$(losetup -n -O DIO "$loop" | tr -d ' ')" "$([[ $direct == on ]] && echo 1 || echo 0)" "direct I/O of $loop"
  mkfs.ext4 -q "$loop"
  mount -t ext4 "$loop" fs || skip "ext4 cannot be mounted"
  for copies in 1 2 3; do cp content "fs/copy$copies"; done
  mkdir fs/many
  for copies in {1..200}; do echo "file $copies" >"fs/many/$copies"; done
  rm fs/copy2
  sync -f fs
  fstrim fs || true
  umount fs
  fsck.ext4 -fn "$loop" >fsck.log 2>&1 || fail "fsck finds faults: $(cat fsck.log)"
  mount -t ext4 -o ro "$loop" fs
  cmp content fs/copy3 >&2 || fail "copy3 differs"
  assert_equal "$(cat fs/many/* | wc -l)" 200 "number of small files"
  umount fs
  before=$(sha256sum <"$loop")
  losetup -d "$loop"
  own_loops=()
  wait_for 5 "the loop device lets go of the disk" open_read_only "$daemon" disk.qcow2
  unmount mnt
  assert_clean disk.qcow2
  qemu-img convert -f qcow2 -O raw disk.qcow2 disk.raw
  assert_equal "$(sha256sum <disk.raw)" "$before" "content of the disk as qemu-img reads it"
  fsck.ext4 -fn disk.raw >fsck.log 2>&1 || fail "fsck finds faults in what qemu-img reads: $(cat fsck.log)"
}

try off
try on
