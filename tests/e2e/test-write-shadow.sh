#!/bin/bash
# Writes through the mount leave images that qemu-img finds clean and equal to a shadow that got the same writes.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img qemu-io openssl fallocate
need_helper shadow-writer

size=$((16 << 20))
random_bytes $size 5 >pattern
random_bytes $((size * 3 / 4)) 6 >base.raw

# case_of CLUSTER-SIZE REFCOUNT-BITS with|without EXTRA-OPTIONS: makes disk.qcow2 and its shadow.
make_case() {
  local options=cluster_size=$1,refcount_bits=$2$4
  rm -f disk.qcow2 shadow.raw
  if [[ $3 == with ]]; then
    qemu-img create -q -f qcow2 -o "$options" -b base.raw -F raw disk.qcow2 $size
    cp base.raw shadow.raw
    truncate -s $size shadow.raw
  else
    qemu-img create -q -f qcow2 -o "$options" disk.qcow2 $size
    truncate -s $size shadow.raw
  fi
}

# Sequential dd, from the middle so that the first and last clusters are partial.
write_sequentially() {
  local file
  for file in mnt/disk shadow.raw; do
    dd if=pattern of="$file" bs=100001 skip=10 seek=10 count=60 conv=notrunc status=none
  done
}

run_case() {
  note "cluster size $1, refcount bits $2, $3 backing$4"
  make_case "$@"
  mount_graph mnt disk.qcow2
  write_sequentially
  cmp mnt/disk shadow.raw >&2 || fail "the mount shows something else after dd"
  "$helpers/shadow-writer" mnt/disk shadow.raw 8 200 "$1"
  "$helpers/shadow-writer" mnt/disk shadow.raw 8 200 "$2" mixed
  cmp mnt/disk shadow.raw >&2 || fail "the mount shows something else after random writes"
  unmount mnt
  assert_clean disk.qcow2
  assert_content qcow2 disk.qcow2 shadow.raw
}

for backing in with without; do
  for cluster_size in 512 4096 65536 2097152; do
    run_case $cluster_size 16 $backing ""
  done
  for refcount_bits in 1 64; do
    run_case 65536 $refcount_bits $backing ""
  done
done
run_case 4096 16 with ,lazy_refcounts=on

note "clusters that an internal snapshot shares are copied before they are written"
make_case 65536 16 with ""
qemu-io -c "write -q -P 1 0 1M" disk.qcow2
qemu-img snapshot -c before disk.qcow2
qemu-img convert -f qcow2 -O raw disk.qcow2 shadow.raw
cp shadow.raw before.raw
mount_graph mnt disk.qcow2
"$helpers/shadow-writer" mnt/disk shadow.raw 8 200 11 mixed
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw
qemu-img convert -f qcow2 -l before -O raw disk.qcow2 snapshot.raw
assert_same snapshot.raw before.raw

note "writing over compressed clusters"
qemu-img convert -c -f raw -O qcow2 pattern disk.qcow2
cp pattern shadow.raw
mount_graph mnt disk.qcow2
"$helpers/shadow-writer" mnt/disk shadow.raw 8 200 12 mixed
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw

note "raw with offset and size"
random_bytes $((size + 1048576)) 13 >whole.raw
cp whole.raw whole-shadow.raw
dd if=whole.raw of=shadow.raw bs=1M skip=1 count=4 status=none
mount_graph mnt --blockdev driver=raw,node-name=part,offset=1048576,size=4194304,file.driver=file,file.filename=whole.raw
"$helpers/shadow-writer" mnt/part shadow.raw 8 200 14 mixed
unmount mnt
dd if=shadow.raw of=whole-shadow.raw bs=1M seek=1 conv=notrunc status=none
assert_same whole.raw whole-shadow.raw
