#!/bin/bash
# What an image may refer to, and the options that allow more.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img

mkdir here there mnt
random_bytes 1M 10 >there/base.raw
qemu-img create -q -f qcow2 -b "$scratch/there/base.raw" -F raw here/disk.qcow2

note "outside the directory: refused, and the message names the option that works"
said=$("$BLOCKGRAPHFS" here/disk.qcow2 mnt 2>&1) && fail "mounted without being allowed to"
assert_matches "$said" "--allow-reference" "message"
mount_graph mnt --allow-reference "$scratch/there/base.raw" here/disk.qcow2
assert_same mnt/disk there/base.raw
unmount mnt
mount_graph mnt --allow-reference "$scratch/there" here/disk.qcow2
assert_same mnt/disk there/base.raw
unmount mnt
mount_graph mnt --trust-images here/disk.qcow2
assert_same mnt/disk there/base.raw
unmount mnt

note "allowing another place, or a name that only begins alike, does not help"
assert_fails "--allow-reference" "$BLOCKGRAPHFS" --allow-reference "$scratch/here" here/disk.qcow2 mnt
assert_fails "--allow-reference" "$BLOCKGRAPHFS" --allow-reference "$scratch/ther" here/disk.qcow2 mnt

note "inside the tree of the image: allowed, relative, absolute and through links"
mkdir here/below
cp there/base.raw here/below/base.raw
for reference in below/base.raw "$scratch/here/below/base.raw" ./below/../below/base.raw; do
  qemu-img rebase -q -u -b "$reference" -F raw here/disk.qcow2
  mount_graph mnt here/disk.qcow2
  assert_same mnt/disk there/base.raw
  unmount mnt
done

note "a child the user names himself needs no permission"
qemu-img rebase -q -u -b "$scratch/there/base.raw" -F raw here/disk.qcow2
mount_graph mnt --blockdev "driver=qcow2,node-name=disk,file.driver=file,file.filename=here/disk.qcow2,\
backing.driver=raw,backing.file.driver=file,backing.file.filename=there/base.raw"
assert_same mnt/disk there/base.raw
unmount mnt

note "without a recorded format: raw where the head matches no format"
qemu-img rebase -q -u -b below/base.raw -F raw here/disk.qcow2
forget_backing_format here/disk.qcow2
mount_graph mnt here/disk.qcow2
assert_same mnt/disk there/base.raw
unmount mnt
