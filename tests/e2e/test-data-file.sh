#!/bin/bash
# Images whose data lies in a file of its own.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img openssl
need_helper shadow-writer

size=$((8 << 20))
random_bytes $size 21 >pattern

# run_case SEED OPTIONS: writes through the mount, and has qemu-img read the outcome.
run_case() {
  rm -f disk.qcow2 data.raw
  qemu-img create -q -f qcow2 -o "data_file=data.raw$2" disk.qcow2 $size
  truncate -s 0 shadow.raw
  truncate -s $size shadow.raw
  mount_graph mnt disk.qcow2
  assert_mode mnt/disk 644 1
  dd if=pattern of=mnt/disk bs=100k count=20 conv=notrunc status=none
  dd if=pattern of=shadow.raw bs=100k count=20 conv=notrunc status=none
  "$helpers/shadow-writer" mnt/disk shadow.raw 8 200 "$1" mixed
  assert_same mnt/disk shadow.raw
  unmount mnt
  assert_clean disk.qcow2
  assert_content qcow2 disk.qcow2 shadow.raw
  (($(stat -c %s disk.qcow2) < 1 << 20)) || fail "data went into the image itself"
}

note "data goes into the data file"
run_case 31 ""
run_case 32 ",cluster_size=16k,extended_l2=on"

note "a raw data file goes on reading as the disk does"
run_case 33 ",data_file_raw=on"
assert_same data.raw shadow.raw
mount_graph mnt disk.qcow2
truncate -s $((size + 1048576)) mnt/disk
printf end | dd of=mnt/disk bs=1 seek=$((size + 1048573)) conv=notrunc status=none
cp mnt/disk shadow.raw
unmount mnt
assert_same data.raw shadow.raw
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw

note "nobody writes to the data file by another way than the disk"
mount_graph mnt disk.qcow2
assert_mode mnt/disk.data-file 444 1
assert_open_fails "busy" mnt/disk.data-file
assert_same mnt/disk.data-file shadow.raw
unmount mnt

note "a data file elsewhere needs permission, or to be named"
mkdir here there
qemu-img create -q -f qcow2 -o "data_file=$scratch/there/data.raw" here/disk.qcow2 1M
assert_fails "--allow-reference" "$BLOCKGRAPHFS" here/disk.qcow2 mnt
mount_graph mnt --allow-reference "$scratch/there" here/disk.qcow2
unmount mnt
mount_graph mnt --blockdev "driver=qcow2,node-name=disk,file.driver=file,file.filename=here/disk.qcow2,\
data-file.driver=file,data-file.filename=there/data.raw"
unmount mnt
rm there/data.raw
assert_fails "data.raw" "$BLOCKGRAPHFS" --trust-images here/disk.qcow2 mnt
