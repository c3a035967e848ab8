#!/bin/bash
# cp and dd behave on a node as they do on a regular file that is then padded with zeros to the size of the disk.
. "$(dirname "$0")/lib.sh"
need_fuse
need_write_through
need_tools qemu-img qemu-io openssl

size=$((8 << 20))
random_bytes $size 8 >full
truncate -s $size sparse
dd if=full of=sparse bs=64k count=3 seek=10 conv=notrunc status=none
dd if=full of=sparse bs=64k count=1 seek=100 conv=notrunc status=none
random_bytes 3000001 9 >shorter

# try NAME COMMAND…: the command, with FILE replaced, on a node full of data and on a regular file full of the same data.
try() {
  local name=$1 status_node=0 status_file=0
  shift
  note "$name"
  cp full expected
  qemu-img convert -f raw -O qcow2 full disk.qcow2
  mount_graph mnt disk.qcow2
  "${@//FILE/expected}" || status_file=$?
  "${@//FILE/mnt/disk}" || status_node=$?
  assert_equal "$status_node" "$status_file" "exit status"
  truncate -s $size expected
  assert_equal "$(stat -c %s mnt/disk)" $size "size of the node"
  assert_same mnt/disk expected
  unmount mnt
  assert_clean disk.qcow2
  assert_content qcow2 disk.qcow2 expected
}

try "cp of a sparse file over a full node" cp sparse FILE
try "cp --sparse=always" cp --sparse=always sparse FILE
try "cp --sparse=never" cp --sparse=never sparse FILE
try "cp of a shorter file" cp shorter FILE
try "cp -p" cp -p shorter FILE
try "cp of a full file" cp full FILE
try "dd with truncation" dd if=shorter of=FILE bs=64k status=none
try "dd conv=notrunc" dd if=shorter of=FILE bs=64k conv=notrunc status=none
try "dd with seek, truncating there" dd if=shorter of=FILE bs=64k seek=5 count=3 status=none
try "dd with seek and notrunc" dd if=shorter of=FILE bs=64k seek=5 count=3 conv=notrunc status=none
try "dd conv=sparse" dd if=sparse of=FILE bs=64k conv=sparse status=none
try "shell truncation" sh -c ': >FILE'
try "truncate to a smaller size and back" sh -c "truncate -s 1000000 FILE; truncate -s $size FILE"
try "appending-like write in the middle" dd if=shorter of=FILE bs=1 count=100 seek=777777 conv=notrunc status=none

note "the overlay of a full base: truncation hides what the base holds"
qemu-img convert -f raw -O qcow2 full base.qcow2
rm -f disk.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
mount_graph mnt disk.qcow2
cp sparse mnt/disk
assert_same mnt/disk sparse
assert_same mnt/disk.backing full
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 sparse

note "writing past the end"
mount_graph mnt disk.qcow2
assert_fails "No space left on device" dd if=full of=mnt/disk bs=1M seek=8 count=1 conv=notrunc
dd if=full of=mnt/disk bs=1000000 seek=8 count=1 conv=notrunc 2>/dev/null && fail "dd across the end succeeded"
dd if=full of=sparse bs=1 seek=8000000 count=$((size - 8000000)) conv=notrunc status=none 2>/dev/null
assert_same mnt/disk sparse
unmount mnt

note "a raw node is a host file's bytes and grows as that file does"
cp full raw.img
mount_graph mnt --format raw raw.img
dd if=shorter of=mnt/raw bs=1M seek=9 conv=notrunc status=none
wait_for 1 "the new size" [ "$(stat -c %s mnt/raw)" = "$(stat -c %s raw.img)" ]
assert_same mnt/raw raw.img
unmount mnt

note "1 TiB holding 64 MiB: copied in seconds, holes kept"
rm -f disk.qcow2 ./*.img
qemu-img create -q -f qcow2 disk.qcow2 1T
for gigabyte in 0 1 100 1023; do
  qemu-io -c "write -q -P $((gigabyte % 250 + 1)) ${gigabyte}G 16M" disk.qcow2
done
mount_graph mnt disk.qcow2
begin=$SECONDS
cp --sparse=auto mnt/disk copy || skip "no file of 1 TiB can be made here"
((SECONDS - begin < 20)) || fail "cp took $((SECONDS - begin)) s"
assert_equal "$(stat -c %s copy)" $((1 << 40)) "size of the copy"
(($(stat -c %b copy) * 512 <= 96 << 20)) || fail "the copy takes $(stat -c %b copy) blocks"
(($(stat -c %b mnt/disk) * 512 <= 96 << 20)) || fail "the node says it takes $(stat -c %b mnt/disk) blocks"
unmount mnt
qemu-img compare -q -f qcow2 -F raw disk.qcow2 copy
rm copy

note "and back: cp of a sparse file into a node allocates what it must only"
qemu-img create -q -f qcow2 back.qcow2 1G
truncate -s 1G sparse-gigabyte
dd if=full of=sparse-gigabyte bs=1M seek=500 conv=notrunc status=none
mount_graph mnt back.qcow2
cp sparse-gigabyte mnt/back
unmount mnt
assert_clean back.qcow2
assert_content qcow2 back.qcow2 sparse-gigabyte
(($(stat -c %b back.qcow2) * 512 <= 16 << 20)) || fail "the image takes $(stat -c %b back.qcow2) blocks"
