#!/bin/bash
# Plain bytes that the kernel serves by itself: the same files as ever, in any order of readers and writers.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_write_through
need_tools qemu-img openssl
[[ $(printf '%s\n' 6.9 "$(uname -r)" | sort -V | head -n 1) == 6.9 ]] || skip "Linux $(uname -r) has no passthrough"

size=$((16 << 20))
random_bytes $size 30 >shadow.raw
cp shadow.raw disk.raw

# Which of the files that are open run so, in the order of nodes.json.
passthrough() {
  grep -o '"passthrough" : [a-z]*' mnt/.graph/nodes.json | grep -o '[a-z]*$' | paste -sd ' '
}

# Bytes that the daemon itself read and wrote so far.
daemon_bytes() {
  awk '/^[rw]char/ { sum += $2 } END { print sum }' "/proc/$daemon/io"
}

# write_both FILE OFFSET SEED: 5000 bytes into the file and into the shadow.
write_both() {
  random_bytes 5000 "$3" >piece
  dd if=piece of="$1" bs=5000 oflag=seek_bytes seek="$2" conv=notrunc status=none
  dd if=piece of=shadow.raw bs=5000 oflag=seek_bytes seek="$2" conv=notrunc status=none
}

mount_graph mnt --format raw disk.raw

note "reads and writes do not come to the daemon"
before=$(daemon_bytes)
assert_same mnt/disk shadow.raw
cp shadow.raw copy.raw
dd if=copy.raw of=mnt/disk bs=1M conv=notrunc status=none
(($(daemon_bytes) - before < 1 << 20)) || fail "the daemon moved $(($(daemon_bytes) - before)) bytes"

note "readers and writers in any order, and who is told so"
exec 7<mnt/disk
assert_equal "$(passthrough)" true "a reader"
wait_for 3 "read-only again" all_read_only "$daemon" disk.raw
exec 8<>mnt/disk
assert_writers "$daemon" disk.raw --
exec 9<mnt/disk.file
assert_equal "$(passthrough)" "true true" "two files"
write_both mnt/disk 70000 31
assert_same mnt/disk.file shadow.raw
cmp <(cat <&9) shadow.raw
cmp <(cat <&7) shadow.raw
exec 7<&- 8>&- 9<&-
wait_for 3 "read-only after the last writer" all_read_only "$daemon" disk.raw
assert_same disk.raw shadow.raw

note "the host's own writes are seen at once, also by who has read before"
exec 7<mnt/disk
head -c 1M <&7 >/dev/null
write_both disk.raw 4000 32
assert_same mnt/disk shadow.raw
cmp <(tail -c +1 mnt/disk) shadow.raw
exec 7<&-

note "growth, truncation, holes, mappings"
random_bytes 4096 33 | dd of=mnt/disk bs=4096 oflag=append conv=notrunc status=none
random_bytes 4096 33 >>shadow.raw
assert_equal "$(stat -c %s mnt/disk)" $((size + 4096)) "size after an append"
wait_for 3 "the other file is as long" test "$(stat -c %s disk.raw)" = "$(stat -c %s mnt/disk.file)"
assert_same mnt/disk shadow.raw
fallocate --punch-hole --offset 1048576 --length 1048576 mnt/disk
fallocate --punch-hole --offset 1048576 --length 1048576 shadow.raw
assert_same mnt/disk shadow.raw
cp --sparse=always shadow.raw mnt/disk
assert_same disk.raw shadow.raw
exec 8<>mnt/disk
truncate -s 3000000 mnt/disk
truncate -s 3000000 shadow.raw
write_both mnt/disk 1500000 34
assert_same mnt/disk shadow.raw
exec 8>&-
assert_same disk.raw shadow.raw
unmount mnt
assert_same disk.raw shadow.raw

note "a window on the same bytes never shows old ones"
truncate -s $size disk.raw
mount_graph mnt --blockdev driver=file,node-name=bytes,auto-read-only=on,filename=disk.raw \
  --blockdev driver=raw,node-name=part,auto-read-only=on,offset=1048576,size=1048576,file=bytes
cp disk.raw shadow.raw
for first in part bytes; do
  exec 7<"mnt/$first"
  head -c 1M <&7 >/dev/null
  for round in 1 2 3; do
    write_both mnt/bytes $((1048576 + round * 5000)) "4$round"
    cmp mnt/part <(dd if=shadow.raw bs=1M skip=1 count=1 status=none)
    assert_same mnt/bytes shadow.raw
  done
  exec 7<&-
done
unmount mnt

note "the image file below a disk that is being written"
qemu-img convert -f raw -O qcow2 shadow.raw disk.qcow2
mount_graph mnt disk.qcow2
exec 7<>mnt/disk
exec 8<mnt/disk.file
assert_equal "$(passthrough)" "false true" "the disk itself comes to the daemon"
write_both mnt/disk 200000 50
sync mnt/disk
assert_same mnt/disk.file disk.qcow2
exec 7>&- 8<&-
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw

note "a plain backing disk, written while its overlay is closed"
cp shadow.raw disk.raw
qemu-img create -q -f qcow2 -b disk.raw -F raw overlay.qcow2
mount_graph mnt overlay.qcow2
for round in 1 2 3; do
  assert_same mnt/overlay shadow.raw
  write_both mnt/overlay.backing $((round * 300000)) "6$round"
done
assert_same mnt/overlay shadow.raw
exec 7<mnt/overlay
assert_open_fails "Device or resource busy" mnt/overlay.backing
exec 7<&-
unmount mnt

note "off, and beside cached writes: the daemon serves"
for option in passthrough=off cache=writeback; do
  mount_graph mnt -o $option --format raw disk.raw
  exec 7<>mnt/disk
  assert_equal "$(passthrough)" false "$option"
  write_both mnt/disk 90000 70
  exec 7>&-
  assert_same mnt/disk shadow.raw
  unmount mnt
  assert_same disk.raw shadow.raw
done
assert_fails "unknown mount option 'passthrough'" "$BLOCKGRAPHFS" -o passthrough=maybe --format raw disk.raw mnt
