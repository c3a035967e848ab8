#!/bin/bash
# Images with extended L2 entries: clusters that are allocated in 32 parts.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img openssl
need_helper shadow-writer

size=$((8 << 20))
random_bytes $size 22 >pattern
head -c $((size * 3 / 4)) pattern >base.raw

# write_and_judge SEED: writes into disk.qcow2, which reads as shadow.raw, and has qemu-img read the outcome.
write_and_judge() {
  mount_graph mnt disk.qcow2
  dd if=pattern of=mnt/disk bs=50k count=20 seek=3 conv=notrunc status=none
  dd if=pattern of=shadow.raw bs=50k count=20 seek=3 conv=notrunc status=none
  "$helpers/shadow-writer" mnt/disk shadow.raw 8 200 "$1" mixed
  assert_same mnt/disk shadow.raw
  unmount mnt
  assert_clean disk.qcow2
  assert_content qcow2 disk.qcow2 shadow.raw
}

for cluster_size in 16k 64k 2M; do
  note "over a backing disk, clusters of $cluster_size"
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=$cluster_size -b base.raw -F raw disk.qcow2 $size
  cp base.raw shadow.raw
  truncate -s $size shadow.raw
  write_and_judge 41
done

note "a small write takes a small part of the backing disk along"
rm -f disk.qcow2
"$BLOCKGRAPHFS" create -f qcow2 -o extended_l2=on,cluster_size=2M -b base.raw -F raw disk.qcow2
mount_graph mnt disk.qcow2
printf x | dd of=mnt/disk conv=notrunc status=none
unmount mnt
assert_clean disk.qcow2
assert_matches "$(qemu-img map --output=json disk.qcow2)" '"start": 0, "length": 65536, "depth": 0' "map"

note "beside a snapshot, and over compressed clusters"
qemu-img convert -f raw -O qcow2 -o extended_l2=on pattern disk.qcow2
qemu-img snapshot -c before disk.qcow2
cp pattern shadow.raw
write_and_judge 42
qemu-img convert -f qcow2 -l before -O raw disk.qcow2 snapshot.raw
assert_same snapshot.raw pattern
qemu-img convert -c -f raw -O qcow2 -o extended_l2=on pattern disk.qcow2
cp pattern shadow.raw
write_and_judge 43

note "growth reads as zeros"
mount_graph mnt disk.qcow2
truncate -s $((size + 12345 * 512)) mnt/disk
truncate -s $((size + 12345 * 512)) shadow.raw
assert_same mnt/disk shadow.raw
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw
