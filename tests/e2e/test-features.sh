#!/bin/bash
# Marks and features in a qcow2 header: what is readable, what is writable, what is refused, what is kept.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img qemu-io getfattr openssl

random_bytes 2M 15 >content.raw

# header_bit IMAGE OFFSET BIT: the bit in the eight bytes of feature bits at OFFSET.
header_bit() {
  local byte
  byte=$(od -An -tu1 -j $(($2 + 7 - $3 / 8)) -N 1 "$1")
  echo $((byte >> ($3 % 8) & 1))
}

incompatible=72 compatible=80 autoclear=88

# readable_only WHAT REASON: disk.qcow2 is readable, not writable for REASON, and no byte of it changes.
readable_only() {
  local before
  note "$1: readable, not writable"
  before=$(digest disk.qcow2)
  mount_graph mnt disk.qcow2
  assert_same mnt/disk content.raw
  assert_mode mnt/disk 444 1
  assert_open_fails "Read-only file system" mnt/disk
  assert_matches "$(attribute mnt/disk reason)" "$2" "reason"
  assert_equal "$(attribute mnt/disk write-state)" unwritable "write state"
  unmount mnt
  assert_equal "$(digest disk.qcow2)" "$before" "digest of the image"
}

qemu-img convert -f raw -O qcow2 content.raw disk.qcow2
poke disk.qcow2 $((incompatible + 7)) 02
readable_only "an image marked corrupt" "corrupt"

note "lazy refcounts: the dirty bit is set while somebody writes, cleared afterwards; the flag is kept"
qemu-img convert -f raw -O qcow2 -o lazy_refcounts=on content.raw disk.qcow2
mount_graph mnt disk.qcow2
exec 7<>mnt/disk
dd if=/dev/zero bs=64k count=1 status=none >&7
sync mnt/disk
assert_equal "$(header_bit disk.qcow2 $incompatible 0)" 1 "dirty bit while writing"
exec 7>&-
wait_for 1 "the downgrade" open_read_only "$daemon" disk.qcow2
assert_equal "$(header_bit disk.qcow2 $incompatible 0)" 0 "dirty bit afterwards"
assert_equal "$(header_bit disk.qcow2 $compatible 0)" 1 "the flag for lazy refcounts"
unmount mnt
assert_clean disk.qcow2

note "unknown autoclear bits: untouched by readers, cleared by the first writer"
qemu-img convert -f raw -O qcow2 content.raw disk.qcow2
poke disk.qcow2 $autoclear 80
mount_graph mnt disk.qcow2
cat mnt/disk >/dev/null
assert_equal "$(header_bit disk.qcow2 $autoclear 63)" 1 "autoclear bit after reading"
printf x | dd of=mnt/disk conv=notrunc status=none
unmount mnt
assert_equal "$(header_bit disk.qcow2 $autoclear 63)" 0 "autoclear bit after writing"
assert_clean disk.qcow2

note "what is not supported is refused by name"
mkdir refused
refuse_feature() {
  local said
  said=$("$BLOCKGRAPHFS" "$2" refused 2>&1) && fail "$2 was mounted"
  assert_matches "$said" "$1" "message"
}
create_encrypted --object secret,id=key,data=1234 -o encrypt.format=luks,encrypt.key-secret=key secret.qcow2 1M
refuse_feature "[Ee]ncrypt" secret.qcow2
