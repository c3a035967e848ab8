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

note "created with a data file, as qemu-img does"
for options in "" ,data_file_raw=on ,data_file_raw=on,cluster_size=16k,extended_l2=on ,data_file_raw=on,cluster_size=4k; do
  rm -f made.* theirs.*
  "$BLOCKGRAPHFS" create -f qcow2 -o "data_file=made.raw$options" made.qcow2 $size
  assert_equal "$(stat -c %s made.raw)" $size "size of the data file"
  assert_clean made.qcow2
  qemu-img create -q -f qcow2 -o "data_file=theirs.raw$options" theirs.qcow2 $size
  ours=$(qemu-img info --output=json made.qcow2 | grep -A12 '"format-specific"' | sed 's/made\.raw/theirs.raw/')
  assert_equal "$ours" "$(qemu-img info --output=json theirs.qcow2 | grep -A12 '"format-specific"')" "info"
  # of extended L2 entries QEMU 7.2 allocates no subclusters here, although the file alone shows the disk
  if [[ $options == *extended* ]]; then
    qemu-io -f qcow2 -c "write -q -P 0 0 $size" theirs.qcow2
  fi
  ours=$(qemu-img map --output=json made.qcow2 | grep -o '"start.*"data": [a-z]*')
  assert_equal "$ours" "$(qemu-img map --output=json theirs.qcow2 | grep -o '"start.*"data": [a-z]*')" "map"
  mount_graph mnt made.qcow2
  dd if=pattern of=mnt/made bs=64k conv=notrunc status=none
  unmount mnt
  assert_clean made.qcow2
  assert_content qcow2 made.qcow2 pattern
  assert_same made.raw pattern
done
assert_fails "data file.*exists" "$BLOCKGRAPHFS" create -f qcow2 -o data_file=made.raw other.qcow2 1M
assert_same made.raw pattern
[[ ! -e other.qcow2 ]] || fail "a half-made image was left"
assert_fails "data_file only" "$BLOCKGRAPHFS" create -f qcow2 -o data_file_raw=on other.qcow2 1M
assert_fails "compat" "$BLOCKGRAPHFS" create -f qcow2 -o compat=0.10,data_file=new.raw other.qcow2 1M
assert_fails "backing" "$BLOCKGRAPHFS" create -f qcow2 -b made.raw -F raw -o data_file=new.raw,data_file_raw=on other.qcow2
assert_fails "protocol" "$BLOCKGRAPHFS" create -f qcow2 -o data_file=nbd:new.raw other.qcow2 1M
[[ ! -e new.raw && ! -e other.qcow2 ]] || fail "a half-made image was left"

note "checked and mended without a look at the data file"
qemu-img create -q -f qcow2 -o data_file=checked.raw,lazy_refcounts=on checked.qcow2 $size
qemu-io -f qcow2 -c "write -P 5 0 2M" -c "write -P 6 4M 64k" checked.qcow2 >/dev/null
"$BLOCKGRAPHFS" check checked.qcow2 >/dev/null || fail "check finds faults in a sound image"
before=$(digest checked.raw)
# the refcount of the L1 table's cluster, which is cluster 3: 16 bits in the block at cluster 2
poke checked.qcow2 $((2 * 65536 + 3 * 2)) 00 00
poke checked.qcow2 $((2 * 65536 + 9 * 2)) 00 01
assert_fails "" "$BLOCKGRAPHFS" check checked.qcow2
"$BLOCKGRAPHFS" check --repair all checked.qcow2 >/dev/null || fail "check --repair does not mend"
assert_clean checked.qcow2
assert_equal "$(digest checked.raw)" "$before" "digest of the data file"
mv checked.raw away.raw
"$BLOCKGRAPHFS" check checked.qcow2 >/dev/null || fail "check needs the data file"
mv away.raw checked.raw
qemu-io -f qcow2 -c "read -P 5 0 2M" -c "read -P 6 4M 64k" checked.qcow2 | grep -F "Pattern verification failed" &&
  fail "content differs"
true
