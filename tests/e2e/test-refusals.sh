#!/bin/bash
# Bad input: one clear line, exit 1 or 2, soon, in little memory, nothing left mounted, no image touched.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img
[[ -x /usr/bin/time ]] || skip "GNU time is not installed"

mkdir images mnt elsewhere
refused=0

# refuse WHAT REGEX ARGUMENT…: blockgraphfs with these arguments fails as it must, and says REGEX.
refuse() {
  local what=$1 regex=$2 status=0 seconds kilobytes before
  shift 2
  before=$(find images elsewhere -type f -exec sha256sum {} + | sort)
  /usr/bin/time -q -o measured -f '%e %M' timeout 20 "$BLOCKGRAPHFS" -f "$@" </dev/null >out 2>err || status=$?
  read -r seconds kilobytes <measured
  ((status == 1 || status == 2)) || fail "$what: exit status $status, said: $(cat out err)"
  [[ ! -s out ]] || fail "$what: wrote to stdout: $(cat out)"
  (($(wc -l <err) == 1)) || fail "$what: not one line on stderr: $(cat err)"
  [[ $(cat err) =~ $regex ]] || fail "$what: does not say /$regex/: $(cat err)"
  if ! sanitized; then
    ((10#${seconds/./} < 200)) || fail "$what: took $seconds s"
    ((kilobytes < 65536)) || fail "$what: took $kilobytes KiB"
  fi
  ! is_mounted mnt || fail "$what: something is mounted"
  [[ $(find images elsewhere -type f -exec sha256sum {} + | sort) == "$before" ]] || fail "$what: an image was changed"
  # In the background it must be the same, and the exit status must reach the caller.
  status=0
  timeout 20 "$BLOCKGRAPHFS" "$@" </dev/null >out 2>err || status=$?
  ((status == 1 || status == 2)) || fail "$what, without -f: exit status $status, said: $(cat out err)"
  (($(wc -l <err) == 1)) || fail "$what, without -f: not one line on stderr: $(cat err)"
  ! is_mounted mnt || fail "$what, without -f: something is mounted"
  refused=$((refused + 1))
}

new_image() {
  rm -rf images/*
  qemu-img create -q -f qcow2 images/a.qcow2 64M
}

# refuse_poked WHAT REGEX OFFSET HEX…: the image with these bytes in its header is refused.
refuse_poked() {
  local what=$1 regex=$2
  shift 2
  new_image
  poke images/a.qcow2 "$@"
  refuse "$what" "$regex" images/a.qcow2 mnt
}

# backing WHAT REGEX REFERENCE FORMAT: an image whose header refers to REFERENCE is refused.
refuse_backing() {
  rm -rf images/*
  qemu-img create -q -f qcow2 images/a.qcow2 64M
  qemu-img rebase -q -u -b "$3" -F "$4" images/a.qcow2
  refuse "$1" "$2" images/a.qcow2 mnt
}

ff8=(ff ff ff ff ff ff ff ff)

new_image
refuse "missing image" "images/none.qcow2.*No such file" images/none.qcow2 mnt
refuse "image is a directory" "images" images mnt
head -c 40 images/a.qcow2 >images/short.qcow2
refuse "truncated header" "short.qcow2|short" images/short.qcow2 mnt
refuse "truncated header, format given" "short" --format qcow2 images/short.qcow2 mnt
head -c 4096 /dev/zero >images/zero.img
refuse "not an image" "zero" --format qcow2 images/zero.img mnt
: >images/empty.img
refuse "empty file as qcow2" "empty" --format qcow2 images/empty.img mnt
refuse "unknown format" "nonsense" --format nonsense images/a.qcow2 mnt

refuse_poked "version 9" "version" 7 09
refuse_poked "cluster_bits 40" "cluster" 20 00 00 00 28
refuse_poked "cluster_bits 8" "cluster" 20 00 00 00 08
refuse_poked "L1 table beyond the cap" "L1" 36 7f ff ff ff
refuse_poked "L1 table too small for the disk" "L1" 36 00 00 00 00
refuse_poked "L1 table unaligned" "L1" 40 00 00 00 00 00 03 00 01
refuse_poked "L1 table offset overflows" "L1" 40 "${ff8[@]:0:6}" 00 00
refuse_poked "L1 table beyond the end of the file" "L1" 40 00 00 7f ff 00 00 00 00
refuse_poked "refcount table beyond the cap" "refcount" 56 7f ff ff ff
refuse_poked "refcount table unaligned" "refcount" 48 00 00 00 00 00 01 00 01
refuse_poked "refcount table offset overflows" "refcount" 48 "${ff8[@]:0:6}" 00 00
refuse_poked "refcount table of no clusters" "refcount" 56 00 00 00 00
refuse_poked "size that no table can hold" "size|L1|large" 24 7f ff ff ff ff ff ff ff
refuse_poked "size with the sign bit" "size|L1|large" 24 "${ff8[@]}"
refuse_poked "refcount order 9" "refcount" 96 00 00 00 09
refuse_poked "header length 0" "header" 100 00 00 00 00
refuse_poked "header length beyond the cluster" "header" 100 7f ff ff f0
refuse_poked "unknown incompatible bits" "feature|incompatible" 72 80 00 00 00 00 00 00 00
refuse_poked "too many snapshots" "snapshot" 60 00 02 00 00
refuse_poked "backing file name too long" "backing" 8 00 00 00 00 00 00 02 00 00 00 04 00

note "references"
rm -rf images/* elsewhere/*
qemu-img create -q -f qcow2 elsewhere/base.qcow2 64M
refuse_backing "missing backing file" "gone.qcow2" gone.qcow2 qcow2
refuse_backing "backing file outside the directory" "--allow-reference" "$scratch/elsewhere/base.qcow2" qcow2
refuse_backing "backing file outside, relative" "--allow-reference" ../elsewhere/base.qcow2 qcow2
refuse_backing "json: backing file" "json:.*--(allow-reference|trust-images)|--(allow-reference|trust-images).*json:" \
  'json:{"driver":"null-co","size":67108864}' raw
refuse_backing "nbd: backing file" "nbd:" nbd://localhost:10999/x raw
refuse_backing "backing file is a device" "/dev/zero" /dev/zero raw
refuse_backing "backing loop of one" "comes back|cycle|loop" a.qcow2 qcow2
new_image
qemu-img create -q -f qcow2 images/b.qcow2 64M
qemu-img rebase -q -u -b b.qcow2 -F qcow2 images/a.qcow2
qemu-img rebase -q -u -b a.qcow2 -F qcow2 images/b.qcow2
refuse "backing loop of two" "comes back|cycle|loop" images/a.qcow2 mnt
new_image
ln -s ../elsewhere/base.qcow2 images/link.qcow2
qemu-img rebase -q -u -b link.qcow2 -F qcow2 images/a.qcow2
refuse "link that leads outside" "--allow-reference" images/a.qcow2 mnt
rm images/link.qcow2
qemu-img create -q -f qcow2 images/c.qcow2 64M
qemu-img rebase -q -u -b c.qcow2 -F qcow2 images/a.qcow2
forget_backing_format images/a.qcow2
refuse "backing file without a format" "format" images/a.qcow2 mnt
rm -rf images/*
for i in {0..299}; do
  qemu-img create -q -f qcow2 -u -b "$((i + 1)).qcow2" -F qcow2 "images/$i.qcow2" 1M
done
qemu-img create -q -f qcow2 images/300.qcow2 1M
refuse "chain deeper than 256" "256|deep|depth" images/0.qcow2 mnt

note "options"
new_image
file=driver=file,filename=images/a.qcow2
refuse "unknown option" "frobnicate" --frobnicate images/a.qcow2 mnt
refuse "unknown -o option" "frobnicate" -o frobnicate images/a.qcow2 mnt
refuse "unknown option of a driver" "colour" --blockdev "$file,node-name=a,colour=red" mnt
refuse "unknown driver" "vhdx9" --blockdev driver=vhdx9,node-name=a mnt
refuse "no driver" "driver" --blockdev node-name=a mnt
refuse "duplicate node name" "'?a'?" --blockdev "$file,node-name=a" --blockdev driver=null-co,node-name=a mnt
refuse "bad node name" "node-name|node name" --blockdev "$file,node-name=9/x" mnt
refuse "duplicate key" "filename" --blockdev "$file,filename=x,node-name=a" mnt
refuse "broken JSON" "JSON|json|--blockdev" --blockdev '{"driver": "file", ' mnt
refuse "bad value" "read-only" --blockdev "$file,node-name=a,read-only=perhaps" mnt
refuse "bad number" "size" --blockdev driver=null-co,node-name=a,size=minus mnt
refuse "reference to no node" "nowhere" --blockdev driver=raw,node-name=a,file=nowhere mnt
refuse "reference to itself" "'?a'?" --blockdev driver=raw,node-name=a,file=a mnt
refuse "no arguments" "usage|IMAGE|MOUNTPOINT|mount point"
refuse "too many arguments" "usage|argument" images/a.qcow2 mnt more

note "mount points"
refuse "missing mount point" "nowhere.*No such file" images/a.qcow2 nowhere
: >a-file
refuse "mount point is a file" "a-file.*[Nn]ot a directory" images/a.qcow2 a-file
mkdir full && : >full/something
refuse "mount point is not empty" "full.*[Nn]ot empty" images/a.qcow2 full
mkdir inside && cp images/a.qcow2 inside/
refuse "image inside the mount point" "inside" inside/a.qcow2 inside

note "an image inside a mount of its own"
mount_graph outer --format raw images/a.qcow2
refuse "image lies in the mount that shows it, other mount point" "outer|mount" outer/a outer
unmount outer
((refused > 50)) || fail "only $refused cases"
note "$refused inputs were refused"
