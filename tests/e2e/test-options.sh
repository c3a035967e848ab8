#!/bin/bash
# Options that make other graphs: --blockdev in both syntaxes, --snapshot, --format, names.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img qemu-io openssl jq

random_bytes 4M 11 >content.raw
qemu-img convert -f raw -O qcow2 content.raw disk.qcow2
keyval=driver=qcow2,node-name=disk,auto-read-only=on,file.driver=file,file.filename=disk.qcow2
json='{"driver": "qcow2", "node-name": "disk", "auto-read-only": true, "file": {"driver": "file", "filename": "disk.qcow2"}}'
for blockdev in "$keyval" "$json"; do
  note "--blockdev $blockdev"
  mount_graph mnt --blockdev "$blockdev"
  assert_equal "$(ls mnt)" "disk
disk.file" "nodes"
  assert_same mnt/disk content.raw
  unmount mnt
done

note "references between nodes"
mount_graph mnt --blockdev driver=file,node-name=bytes,auto-read-only=on,filename=disk.qcow2 \
  --blockdev driver=qcow2,node-name=disk,auto-read-only=on,file=bytes \
  --blockdev '{"driver": "raw", "node-name": "part", "auto-read-only": true, "offset": 1048576, "size": 1048576, "file": "disk"}'
assert_equal "$(ls mnt)" "bytes
disk
part" "nodes"
cmp mnt/part <(dd if=content.raw bs=1M skip=1 count=1 status=none)
printf 'through the part' | dd of=mnt/part bs=1 seek=5 conv=notrunc status=none
printf 'through the part' | dd of=content.raw bs=1 seek=1048581 conv=notrunc status=none
assert_same mnt/disk content.raw
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 content.raw

note "an overlay over a node by reference, and backing= for none"
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 overlay.qcow2
mount_graph mnt --blockdev "$keyval" \
  --blockdev driver=qcow2,node-name=overlay,backing=disk,file.driver=file,file.filename=overlay.qcow2,auto-read-only=on
assert_same mnt/overlay content.raw
unmount mnt
mount_graph mnt --blockdev driver=qcow2,node-name=overlay,backing=,file.driver=file,file.filename=overlay.qcow2,auto-read-only=on
cmp mnt/overlay <(head -c 4M /dev/zero)
unmount mnt

note "overlap-check as an object"
mount_graph mnt --blockdev '{"driver": "qcow2", "node-name": "disk", "auto-read-only": true, "file": {"driver": "file", "filename": "disk.qcow2"},
  "overlap-check": {"template": "none", "main-header": true, "active-l1": false, "inactive-l2": true}}'
assert_equal "$(jq -c '.nodes[] | select(."node-name" == "disk") | .options | [."overlap-check.template", ."overlap-check.main-header",
  ."overlap-check.active-l1", ."overlap-check.inactive-l2"]' mnt/.graph/nodes.json)" '["none","on","off","on"]' "the options"
printf x | dd of=mnt/disk bs=1 seek=5 conv=notrunc status=none
printf x | dd of=content.raw bs=1 seek=5 conv=notrunc status=none
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 content.raw
assert_fails "main-header" "$BLOCKGRAPHFS" -f --blockdev '{"driver": "qcow2", "node-name": "disk", "overlap-check": {"main-header": 7},
  "file": {"driver": "file", "filename": "disk.qcow2"}}' mnt

note "null-co"
mount_graph mnt --blockdev driver=null-co,node-name=nothing,size=1M,read-zeroes=on
cmp mnt/nothing <(head -c 1M /dev/zero)
unmount mnt

note "--snapshot: writes vanish"
before=$(digest disk.qcow2)
mount_graph mnt --snapshot disk.qcow2
assert_equal "$(attribute mnt/disk write-state)" available "write state"
assert_equal "$(attribute mnt/disk.backing write-state)" read-only "write state of the image below"
cp content.raw shadow.raw
random_bytes 100000 12 >piece
for file in mnt/disk shadow.raw; do dd if=piece of="$file" bs=1000 seek=300 conv=notrunc status=none; done
assert_same mnt/disk shadow.raw
unmount mnt
assert_equal "$(digest disk.qcow2)" "$before" "digest of the image"
mount_graph mnt disk.qcow2
assert_same mnt/disk content.raw
unmount mnt

note "--format raw shows the bytes of a qcow2 image"
mount_graph mnt --format raw disk.qcow2
assert_same mnt/disk disk.qcow2
unmount mnt

note "names of files that are no names of nodes"
for name in "1 disk.qcow2" "_x.qcow2" "käse.qcow2" "a,b=c.qcow2" ".hidden.qcow2"; do
  cp disk.qcow2 "$name"
  mount_graph mnt "$name"
  nodes=(mnt/*)
  assert_equal "${#nodes[@]}" 2 "number of nodes of $name"
  [[ ${nodes[0]#mnt/} =~ ^[A-Za-z][A-Za-z0-9._-]*$ ]] || fail "'${nodes[0]#mnt/}' is no node name"
  unmount mnt
done
