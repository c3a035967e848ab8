#!/bin/bash
# Nothing is open for writing until somebody writes; then exactly what must be; and nothing again after the last writer.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img openssl

random_bytes 2M 3 >base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw base.qcow2 4M
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
images=(disk.qcow2 base.qcow2 base.raw)
before=$(digest "${images[@]}")
backing=$(digest base.qcow2 base.raw)

note "reading everything opens nothing for writing and changes nothing"
mount_graph mnt disk.qcow2
all_read_only "$daemon" "${images[@]}" || fail "an image is open for writing right after mounting"
for image in "${images[@]}"; do
  [[ -n $(file_descriptors "$daemon" "$image") ]] || fail "the daemon has no descriptor on $image: nothing was tested"
done
cat mnt/* mnt/.graph/* >/dev/null
all_read_only "$daemon" "${images[@]}" || fail "an image is open for writing after reading"
unmount mnt
assert_equal "$(digest "${images[@]}")" "$before" "digest of the images"

note "a write through the top reopens the top alone"
mount_graph mnt disk.qcow2
exec 7<>mnt/disk
printf x | dd of=mnt/disk conv=notrunc status=none
assert_writers "$daemon" disk.qcow2 -- base.qcow2 base.raw
assert_equal "$(attribute mnt/disk write-state)" writable "write state of disk"
exec 7>&-
wait_for 1 "everything read-only after the last close" all_read_only "$daemon" "${images[@]}"
assert_equal "$(head -c 1 mnt/disk)" x "first byte of disk"
assert_equal "$(attribute mnt/disk write-state)" available "write state of disk"
unmount mnt
assert_equal "$(digest base.qcow2 base.raw)" "$backing" "digest of the backing images"
assert_clean disk.qcow2

note "a loop of dd works and ends read-only"
mount_graph mnt disk.qcow2
for i in 1 2 3 4 5 6 7 8; do
  printf '%s' "$i" | dd of=mnt/disk bs=1 seek="$i" conv=notrunc status=none
done
assert_equal "$(head -c 9 mnt/disk)" x12345678 "start of disk"
wait_for 1 "everything read-only after the loop" all_read_only "$daemon" "${images[@]}"

note "a write through the backing node reopens that and its file, nothing else"
exec 7<>mnt/disk.backing
printf y >&7
assert_writers "$daemon" base.qcow2 -- disk.qcow2 base.raw
exec 7>&-
wait_for 1 "everything read-only after the last close" all_read_only "$daemon" "${images[@]}"
assert_equal "$(head -c 1 mnt/disk.backing)" y "first byte of disk.backing"
assert_equal "$(head -c 1 mnt/disk)" x "first byte of disk"

note "two writers, one, none"
exec 7<>mnt/disk 8<>mnt/disk
assert_writers "$daemon" disk.qcow2 -- base.qcow2 base.raw
exec 7>&-
sleep 1
assert_writers "$daemon" disk.qcow2 -- base.qcow2 base.raw
printf z >&8
exec 8>&-
wait_for 1 "everything read-only after the second" all_read_only "$daemon" "${images[@]}"
assert_equal "$(head -c 2 mnt/disk)" z1 "start of disk"

note "a writer killed by SIGKILL counts as gone"
mkfifo feed
background dd if=feed of=mnt/disk bs=4k conv=notrunc status=none
writer=$!
exec 9>feed
head -c 64k /dev/zero >&9
wait_for 5 "dd has opened the disk for writing" open_for_writing "$daemon" disk.qcow2
kill -KILL "$writer"
exec 9>&-
wait "$writer" 2>/dev/null || true
wait_for 1 "everything read-only after the kill" all_read_only "$daemon" "${images[@]}"
unmount mnt
assert_clean disk.qcow2 base.qcow2

note "read-only=off, auto-read-only=off: read-write at once"
mount_graph mnt --blockdev driver=qcow2,node-name=disk,file.driver=file,file.filename=disk.qcow2
assert_writers "$daemon" disk.qcow2 -- base.qcow2 base.raw
unmount mnt
assert_clean disk.qcow2
