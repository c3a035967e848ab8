#!/bin/bash
# What programs do to files: sizes, holes, times, names, attributes.
. "$(dirname "$0")/lib.sh"
need_fuse
need_write_through
need_tools qemu-img qemu-io fallocate getfattr jq openssl

size=$((8 << 20))
random_bytes $size 13 >shadow.raw
qemu-img convert -f raw -O qcow2 shadow.raw disk.qcow2
mount_graph mnt disk.qcow2

both() {
  "${@//FILE/shadow.raw}"
  "${@//FILE/mnt/disk}"
}

note "punching and zeroing"
both fallocate --punch-hole --offset 65536 --length 131072 FILE
both fallocate --punch-hole --offset 1000001 --length 70000 FILE
fallocate --zero-range --offset 4000000 --length 100000 mnt/disk
dd if=/dev/zero of=shadow.raw bs=100000 seek=40 count=1 conv=notrunc status=none
assert_same mnt/disk shadow.raw

note "holes are told"
map=$(qemu-img map -f raw --output=json mnt/disk)
jq -e 'any(.[]; .start == 65536 and .data == false and .length >= 131072)' <<<"$map" >/dev/null || fail "no hole at 65536: $map"
assert_equal "$(jq 'map(.length) | add' <<<"$map")" $size "sum of the extents"

note "sizes stay"
truncate -s 100 mnt/disk
assert_equal "$(stat -c %s mnt/disk)" $size "size"
truncate -s 100 shadow.raw
truncate -s $size shadow.raw
assert_same mnt/disk shadow.raw
random_bytes 1000000 14 >piece
both dd if=piece of=FILE bs=1000 seek=2000 conv=notrunc status=none

note "growing grows the disk"
truncate -s $((size + 1048576)) mnt/disk
truncate -s $((size + 1048576)) shadow.raw
assert_equal "$(stat -c %s mnt/disk)" $((size + 1048576)) "size"
assert_same mnt/disk shadow.raw

note "copies between nodes, times, modes"
cp mnt/disk copy.raw
assert_same copy.raw shadow.raw
cp -p copy.raw mnt/disk
assert_same mnt/disk shadow.raw
touch mnt/disk
sync mnt/disk

note "names cannot be changed"
for command in "touch mnt/new" "mkdir mnt/new" "mv mnt/disk mnt/other" "rm -f mnt/disk" "ln mnt/disk mnt/other"; do
  assert_fails "not permitted" sh -c "$command"
done
assert_matches "$(stat -f -c '%S' mnt)" '^[0-9]+$' "statfs"
df mnt >/dev/null

note "the graph in .graph"
jq -e '.nodes | length == 2' mnt/.graph/nodes.json >/dev/null || fail "$(cat mnt/.graph/nodes.json)"
jq -e '.nodes[] | select(."node-name" == "disk") | .driver == "qcow2" and ."write-state" == "available" and .reason != null' \
  mnt/.graph/nodes.json >/dev/null || fail "$(cat mnt/.graph/nodes.json)"
grep -q '^digraph' mnt/.graph/graph.dot || fail "no graph in graph.dot"
grep -q 'disk.file' mnt/.graph/tree.txt || fail "disk.file is not in tree.txt"
assert_fails "denied|not permitted|Read-only" sh -c 'echo x >mnt/.graph/tree.txt'
[[ -d mnt/.graph && $(find mnt -mindepth 1 -maxdepth 1 -name .graph) == mnt/.graph ]] || fail ".graph is not listed"
exec 7<mnt/disk
jq -e '.nodes[] | select(."node-name" == "disk") | .users | length == 1' mnt/.graph/nodes.json >/dev/null ||
  fail "no user of disk: $(cat mnt/.graph/nodes.json)"
exec 7<&-

note "attributes"
for name in driver filename write-state reason; do
  [[ -n $(attribute mnt/disk $name) ]] || fail "attribute $name is empty"
done
assert_matches "$(attribute mnt/disk filename)" "disk.qcow2$" "filename"
assert_fails "supported|permitted|Read-only|denied" setfattr -n user.blockgraph.driver -v x mnt/disk
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw

note "copy between two nodes of one mount"
qemu-img create -q -f qcow2 other.qcow2 $((size + 1048576))
mount_graph mnt --blockdev driver=qcow2,node-name=a,auto-read-only=on,file.driver=file,file.filename=disk.qcow2 \
  --blockdev driver=qcow2,node-name=b,auto-read-only=on,file.driver=file,file.filename=other.qcow2
cp mnt/a mnt/b
assert_same mnt/b shadow.raw
unmount mnt
assert_clean other.qcow2
assert_content qcow2 other.qcow2 shadow.raw
