#!/bin/bash
# A chain of three images mounts, and every node holds what qemu-img says it holds.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img openssl

random_bytes 3M 1 >base.raw
truncate -s 8M base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw mid.qcow2
random_bytes 1M 2 >piece
qemu-io -c "write -q -s piece 2M 1M" -c "write -q -z 0 64k" mid.qcow2 >/dev/null
qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2
qemu-io -c "write -q -P 7 5M 300k" -c "write -q -P 9 77 1" top.qcow2 >/dev/null
before=$(digest ./*.qcow2 base.raw)
for image in mid top; do qemu-img convert -f qcow2 -O raw "$image.qcow2" "$image.raw"; done

mount_graph mnt top.qcow2
assert_equal "$(ls mnt)" "top
top.backing
top.backing.file
top.backing2
top.backing2.file
top.file" "the nodes"

note "each node holds what qemu-img converts"
assert_same mnt/top top.raw
assert_same mnt/top.backing mid.raw
assert_same mnt/top.backing2 base.raw

note "each .file holds the bytes of its image"
assert_same mnt/top.file top.qcow2
assert_same mnt/top.backing.file mid.qcow2
assert_same mnt/top.backing2.file base.raw

note "sizes are those of the disks"
assert_equal "$(stat -c %s mnt/top)" "$((8 << 20))" "size of top"
assert_equal "$(stat -c %s mnt/top.file)" "$(stat -c %s top.qcow2)" "size of top.file"

note "qemu-img reads the nodes as well"
qemu-img compare -q -f raw -F raw mnt/top top.raw
qemu-img check -q 'json:{"driver":"qcow2","backing":null,"file":{"driver":"file","filename":"mnt/top.file"}}'

unmount mnt
assert_equal "$(digest ./*.qcow2 base.raw)" "$before" "digest of the images"

note "a shorter backing file reads as zeros behind its end"
qemu-img create -q -f qcow2 -b base.raw -F raw long.qcow2 20M
qemu-img convert -f qcow2 -O raw long.qcow2 long.raw
mount_graph mnt2 long.qcow2
assert_same mnt2/long long.raw
unmount mnt2

note "compressed clusters, zlib and zstd"
for kind in zlib zstd; do
  qemu-img convert -c -f raw -O qcow2 -o compression_type=$kind mid.raw $kind.qcow2
  mount_graph mnt-$kind $kind.qcow2
  assert_same mnt-$kind/$kind mid.raw
  unmount mnt-$kind
done

note "version 2 images"
qemu-img convert -f raw -O qcow2 -o compat=0.10 mid.raw old.qcow2
mount_graph mnt3 old.qcow2
assert_same mnt3/old mid.raw
unmount mnt3
