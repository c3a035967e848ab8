#!/bin/bash
# Many files over the same bytes: what is written through one is seen through the others, however much of them the
# kernel has cached.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img openssl

size=$((8 << 20))
random_bytes $size 20 >shadow.raw
qemu-img convert -f raw -O qcow2 shadow.raw disk.qcow2

# write_both NODE NODE-OFFSET OFFSET SEED: writes 5000 bytes through the node, and into the shadow of the disk at OFFSET.
write_both() {
  random_bytes 5000 "$4" >piece
  dd if=piece of="$1" bs=5000 oflag=seek_bytes seek="$2" conv=notrunc status=none
  dd if=piece of=shadow.raw bs=5000 oflag=seek_bytes seek="$3" conv=notrunc status=none
}

mount_graph mnt --blockdev driver=file,node-name=bytes,auto-read-only=on,filename=disk.qcow2 \
  --blockdev driver=qcow2,node-name=disk,auto-read-only=on,file=bytes \
  --blockdev driver=raw,node-name=part,auto-read-only=on,offset=1048576,size=1048576,file=disk
part=1048576
part_is_seen() {
  cmp mnt/part <(dd if=shadow.raw bs=1M skip=1 count=1 status=none)
}

note "a window and the disk below it"
assert_same mnt/disk shadow.raw
part_is_seen
for round in 1 2 3 4 5; do
  write_both mnt/part $((round * 70000)) $((part + round * 70000)) "$round"
  assert_same mnt/disk shadow.raw
  part_is_seen
  write_both mnt/disk $((part + round * 80000)) $((part + round * 80000)) "1$round"
  part_is_seen
  assert_same mnt/disk shadow.raw
done

note "a reader that keeps the disk open while the window is written"
exec 7<mnt/disk
head -c 2M <&7 >/dev/null
write_both mnt/part 500000 $((part + 500000)) 21
assert_same mnt/disk shadow.raw
cmp <(dd bs=1M count=1 skip=1 iflag=fullblock status=none <mnt/disk) <(dd if=shadow.raw bs=1M skip=1 count=1 status=none)
exec 7<&-

note "the bytes of the image file: metadata is written out before they are read"
assert_same mnt/bytes disk.qcow2
exec 7<>mnt/disk
write_both mnt/disk 3000000 3000000 22
fallocate --punch-hole --offset 4194304 --length 1048576 mnt/disk
dd if=/dev/zero of=shadow.raw bs=1M seek=4 count=1 conv=notrunc status=none
cp mnt/bytes copy.qcow2
exec 7>&-
poke copy.qcow2 79 00
assert_content qcow2 copy.qcow2 shadow.raw
sleep 1
assert_same mnt/bytes disk.qcow2
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw

note "an overlay and its backing disk"
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 overlay.qcow2
mount_graph mnt overlay.qcow2
assert_same mnt/overlay shadow.raw
for round in 1 2 3; do
  write_both mnt/overlay.backing $((round * 100000)) $((round * 100000)) "3$round"
  assert_same mnt/overlay shadow.raw
  assert_same mnt/overlay.backing shadow.raw
done
unmount mnt

note "a raw image that the host writes to"
cp shadow.raw raw.img
mount_graph mnt --format raw raw.img
assert_same mnt/raw raw.img
sleep 0.1
write_both raw.img 123456 123456 40
seen_through_mount() {
  cmp mnt/raw raw.img
}
wait_for 3 "what the host wrote" seen_through_mount
unmount mnt
