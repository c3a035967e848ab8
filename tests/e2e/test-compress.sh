#!/bin/bash
# Writes through the filter `compress`.
. "$(dirname "$0")/lib.sh"
need_fuse
need_write_through
need_tools qemu-img openssl
need_helper shadow-writer

size=$((8 << 20))
# Text: gets smaller by about half.
random_bytes $((size / 2)) 61 | od -An -v -tx1 | tr -d ' \n' | head -c $size >text.raw

# QEMU before 8.2 does not tell in its map what is compressed, but counts it.
count_compressed() {
  qemu-img check --output=json -f qcow2 "$1" | sed -n 's/.*"compressed-clusters": \([0-9]*\).*/\1/p'
}

for type in zlib zstd; do
  for cluster_size in 4096 65536; do
    note "$type, clusters of $cluster_size bytes: dd"
    rm -f disk.qcow2
    qemu-img create -q -f qcow2 -o compression_type=$type,cluster_size=$cluster_size disk.qcow2 $size
    mount_graph mnt --compress disk.qcow2
    assert_mode mnt/disk 644
    assert_mode mnt/disk.file 644
    assert_mode mnt/disk.file.file 444
    dd if=text.raw of=mnt/disk bs=1M conv=notrunc status=none
    assert_same mnt/disk text.raw
    assert_same mnt/disk.file text.raw
    unmount mnt
    assert_clean disk.qcow2
    assert_content qcow2 disk.qcow2 text.raw
    (($(count_compressed disk.qcow2) * cluster_size * 100 > size * 99)) ||
      fail "only $(count_compressed disk.qcow2) clusters are compressed"
    (($(stat -c %s disk.qcow2) < size * 7 / 10)) || fail "the image has $(stat -c %s disk.qcow2) bytes"
  done
done

note "cp, into a new image by --blockdev, its map, and reading again after a restart"
rm -f disk.qcow2
"$BLOCKGRAPHFS" create -f qcow2 disk.qcow2 $size
mount_graph mnt --blockdev driver=qcow2,node-name=disk,file.driver=file,file.filename=disk.qcow2,auto-read-only=on \
  --blockdev driver=compress,node-name=c,file=disk,auto-read-only=on
cp text.raw mnt/c
assert_same mnt/disk text.raw
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 text.raw
assert_equal "$(count_compressed disk.qcow2)" $((size >> 16)) "compressed clusters"
(($(stat -c %s disk.qcow2) < size * 7 / 10)) || fail "the image has $(stat -c %s disk.qcow2) bytes"
map=$("$BLOCKGRAPHFS" map --json disk.qcow2)
assert_matches "$map" "\"length\": $size, .*\"compressed\": true" "map"
seen=$(qemu-img map --output=json disk.qcow2)
assert_equal "${map//, \"compressed\": true/}" "${seen//, \"compressed\": true/}" "map"

note "random writes over compressed clusters, mixed with zeros and holes"
cp text.raw shadow.raw
mount_graph mnt --compress disk.qcow2
"$helpers/shadow-writer" mnt/disk shadow.raw 8 200 5 mixed
assert_same mnt/disk shadow.raw
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw

note "shared with a snapshot, both ways"
rm -f disk.qcow2
qemu-img convert -c -f raw -O qcow2 text.raw disk.qcow2
qemu-img snapshot -c plain disk.qcow2
cp text.raw shadow.raw
mount_graph mnt --compress disk.qcow2
for file in mnt/disk shadow.raw; do dd if=text.raw of=$file bs=100k count=60 seek=7 conv=notrunc status=none; done
unmount mnt
qemu-img snapshot -c compressed disk.qcow2
cp shadow.raw second.raw
mount_graph mnt --compress disk.qcow2
for file in mnt/disk shadow.raw; do dd if=text.raw of=$file bs=30k count=90 seek=9 skip=3 conv=notrunc status=none; done
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw
qemu-img convert -f qcow2 -l plain -O raw disk.qcow2 seen.raw
assert_same seen.raw text.raw
qemu-img convert -f qcow2 -l compressed -O raw disk.qcow2 seen.raw
assert_same seen.raw second.raw
qemu-img snapshot -d plain disk.qcow2
qemu-img snapshot -a compressed disk.qcow2
qemu-img snapshot -d compressed disk.qcow2
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 second.raw

note "compressed, then resized, then filled"
rm -f disk.qcow2
qemu-img create -q -f qcow2 disk.qcow2 $((size / 2))
mount_graph mnt --compress disk.qcow2
head -c $((size / 2)) text.raw | dd of=mnt/disk bs=1M conv=notrunc status=none
truncate -s $size mnt/disk
dd if=text.raw of=mnt/disk bs=1M conv=notrunc status=none
assert_same mnt/disk text.raw
unmount mnt
qemu-img resize -q disk.qcow2 $((size + 65536 * 3 + 512))
mount_graph mnt disk.qcow2
random_bytes $((size + 65536 * 3 + 512)) 62 >noise.raw
dd if=noise.raw of=mnt/disk bs=1M conv=notrunc status=none
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 noise.raw

note "noise stays plain, and so does what an external data file has"
rm -f disk.qcow2 data.raw
qemu-img create -q -f qcow2 disk.qcow2 $size
mount_graph mnt --compress disk.qcow2
head -c 2M noise.raw | dd of=mnt/disk bs=1M conv=notrunc status=none
unmount mnt
assert_clean disk.qcow2
assert_equal "$(count_compressed disk.qcow2)" "" "compressed clusters"
qemu-img create -q -f qcow2 -o data_file=data.raw,data_file_raw=on external.qcow2 $size
mount_graph mnt --compress external.qcow2
dd if=text.raw of=mnt/external bs=1M conv=notrunc status=none
unmount mnt
assert_clean external.qcow2
assert_same data.raw text.raw

note "what cannot compress is refused"
printf 'a key of text' >key
if has_encryption && create_encrypted --object secret,id=s,file=key \
  -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 locked.qcow2 1M 2>/dev/null; then
  assert_fails "does not support compressed writes" "$BLOCKGRAPHFS" --secret id=s,file=key --blockdev \
    driver=compress,node-name=c,file.driver=qcow2,file.encrypt.format=luks,file.encrypt.key-secret=s,file.file.driver=file,file.file.filename=locked.qcow2 mnt
fi
assert_fails "does not support compressed writes" "$BLOCKGRAPHFS" --compress --format raw text.raw mnt
assert_fails "does not support compressed writes" "$BLOCKGRAPHFS" --blockdev \
  driver=compress,node-name=c,file.driver=file,file.filename=text.raw mnt

if command -v fio >/dev/null; then
  note "several threads write 4 KiB over compressed clusters, and read back what they wrote"
  rm -f disk.qcow2
  qemu-img convert -c -f raw -O qcow2 text.raw disk.qcow2
  mount_graph mnt --compress disk.qcow2
  fio --name=verify --filename=mnt/disk --ioengine=psync --rw=randwrite --bs=4k --size=1M --offset_increment=1M \
    --numjobs=4 --buffer_compress_percentage=60 --refill_buffers --verify=crc32c --verify_fatal=1 --randseed=18 \
    --minimal >fio.log 2>fio.err || fail "fio: $(cat fio.log fio.err)"
  unmount mnt
  assert_clean disk.qcow2
fi

(($(id -u) == 0)) || exit 0
mkdir small
mount -t tmpfs -o size=3m tmpfs small 2>/dev/null || exit 0
own_mounts+=("$scratch/small")
note "the host's disk is full"
qemu-img create -q -f qcow2 small/disk.qcow2 $size
head -c 1M /dev/zero >small/ballast
mount_graph mnt --compress small/disk.qcow2
assert_fails "No space left on device" dd if=text.raw of=mnt/disk bs=64k conv=notrunc,fsync
assert_equal "$(cmp -n 2M mnt/disk text.raw && echo same)" same "what was written before"
rm small/ballast
dd if=text.raw of=mnt/disk bs=64k count=72 conv=notrunc,fsync status=none || fail "no writing after space was freed"
cmp -n 4608K mnt/disk text.raw >&2 || fail "content differs"
unmount mnt
assert_clean small/disk.qcow2
