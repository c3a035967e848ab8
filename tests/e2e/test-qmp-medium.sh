#!/bin/bash
# blockdev-change-medium: another image behind a file of the mount.
. "$(dirname "$0")/lib.sh"
. "$e2e_dir/qmp-lib.sh"
need_fuse
need_write_through
need_tools qemu-img qemu-io python3 jq
socket=$PWD/socket

change() { # change IMAGE [MORE], MORE beginning with a comma
  echo "blockdev-change-medium {\"device\":\"disk\",\"filename\":\"$PWD/$1\"${2:-}}"
}

option() {
  jq -c ".nodes[] | select(.\"node-name\" == \"disk\") | .options.\"$1\"" mnt/.graph/nodes.json
}

random_bytes 4M 1 >a.raw
random_bytes 6M 2 >b.raw
qemu-img convert -O qcow2 a.raw disk.qcow2
qemu-img convert -O qcow2 b.raw b.qcow2
qemu-img snapshot -c before disk.qcow2
mount_graph mnt --qmp "unix:$socket" disk.qcow2
connect_client
cmp mnt/disk a.raw
number=$(stat -c %i mnt/disk)

note "the file keeps its name and number, the image below is another, the old one is free"
qmp_ok "$(change b.qcow2)"
cmp mnt/disk b.raw
assert_equal "$(stat -c '%i %s' mnt/disk)" "$number $((6 << 20))" "number and size"
assert_equal "$(cd mnt && echo *)" "disk disk.file" "files"
cmp mnt/disk.file b.qcow2
qemu-io -f qcow2 -c 'write -P 7 0 64k' disk.qcow2 >&2 || fail "the old image is not free"

note "and back: snapshots come with their image; raw images, too, whose format is named or found"
qmp_ok "$(change disk.qcow2)"
[[ -e mnt/disk@before ]] || fail "no snapshot: $(ls mnt)"
cmp mnt/disk@before a.raw
qmp_ok "$(change b.raw ',"format":"raw"')"
cmp mnt/disk b.raw
[[ ! -e mnt/disk@before ]] || fail "the snapshot is still there"
qmp_ok "$(change a.raw)"
cmp mnt/disk a.raw

note "what is refused changes nothing"
before=$(jq -S 'del(.nodes[].info)' mnt/.graph/nodes.json)
qmp_fails "No such file" "$(change missing)"
qmp_fails "Unknown driver 'nbd'" "$(change b.raw ',"format":"nbd"')"
qmp_fails "qcow2" "$(change b.raw ',"format":"qcow2"')"
qmp_fails "lies inside the mountpoint" "$(change mnt/disk)"
qmp_fails "does not accept value 'never'" "$(change b.raw ',"read-only-mode":"never"')"
qmp_fails "node-name='x'" "blockdev-change-medium {\"id\":\"x\",\"filename\":\"$PWD/b.raw\"}"
assert_equal "$(jq -S 'del(.nodes[].info)' mnt/.graph/nodes.json)" "$before" "the graph"
cmp mnt/disk a.raw

note "an open file is in the way; with force, readers go on with the new image, and writers are in the way all the same"
exec 7<mnt/disk
qmp_fails "in use by file 'disk'" "$(change b.raw)"
qmp_ok "$(change b.raw ',"force":true')"
cmp - b.raw <&7 || fail "the reader does not see the new image"
exec 7<&- 8<>mnt/disk
qmp_fails "in use by file 'disk'" "$(change a.raw ',"force":true')"
exec 8<&-
qmp_ok "$(change a.raw)"
cmp mnt/disk a.raw

note "a node on top is in the way"
qmp_ok 'blockdev-add {"driver":"raw","node-name":"top","file":"disk","read-only":true}'
qmp_fails "'top'" "$(change b.raw ',"force":true')"
qmp_ok 'blockdev-del {"node-name":"top"}'

note "read-only-mode"
assert_mode mnt/disk 644
qmp_ok "$(change b.raw ',"read-only-mode":"read-only"')"
assert_mode mnt/disk 444
qmp_ok "$(change a.raw)"
assert_mode mnt/disk 444
assert_open_fails "Read-only file system" mnt/disk
qmp_ok "$(change b.raw ',"read-only-mode":"auto"')"
assert_mode mnt/disk 644
assert_equal "$(option read-only) $(option auto-read-only)" "false true" "auto"
open_read_only "$daemon" b.raw || fail "b.raw is open for writing, and nobody writes"
qmp_ok "$(change a.raw ',"read-only-mode":"read-write"')"
open_for_writing "$daemon" a.raw || fail "a.raw is not open for writing"
qmp_ok "$(change b.raw)"
open_for_writing "$daemon" b.raw || fail "b.raw is not open for writing"
printf new | dd of=mnt/disk conv=notrunc status=none
qmp_ok "$(change a.raw ',"read-only-mode":"auto"')"
assert_equal "$(head -c 3 b.raw)" new "what was written before the change"

note "under readers: each change is done or refused, and what is read is one image or the other"
random_bytes 4M 2 >b.raw
reads_whole() {
  local sum
  while [[ ! -e stop ]]; do
    sum=$(sha256sum <mnt/disk) || continue
    echo "$sum" >>sums
  done
}
reads_whole 2>/dev/null &
reader=$!
own_processes+=("$reader")
for i in {1..30}; do
  image=a.raw
  ((i % 2 == 0)) || image=b.raw
  qmp "$(change "$image")" || assert_matches "$answer" "in use by file 'disk'" "answer"
done
touch stop
wait "$reader"
sort -u sums >seen
for image in a.raw b.raw; do sha256sum <$image; done | sort -u >whole
[[ -s seen && -z $(comm -23 seen whole) ]] || fail "mixed content was read: $(cat seen), not $(cat whole)"
unmount mnt
