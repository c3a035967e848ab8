#!/bin/bash
# Image locks interoperate with QEMU's in both directions.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img qemu-io getfattr

# hold IMAGE FORMAT: a qemu-io process that holds IMAGE for writing until its input, descriptor 9, is closed.
hold() {
  rm -f commands
  mkfifo commands
  qemu-io -f "$2" "$1" <commands >held 2>&1 &
  holder=$!
  own_processes+=("$holder")
  exec 9>commands
  printf "write 0 512\nflush\n" >&9
  wait_for 10 "qemu-io holds the image" grep -q wrote held
}

let_go() {
  exec 9>&-
  wait "$holder" || true
}

truncate -s 1M raw.img
chmod 644 raw.img
note "a raw image that another process holds for writing: 444, EBUSY naming the process; writable when it ends"
hold raw.img raw
mount_graph mnt --format raw raw.img
assert_mode mnt/raw 444 1
assert_open_fails "Device or resource busy" mnt/raw
reason=$(attribute mnt/raw reason)
assert_matches "$reason" "$holder|qemu-io" "reason"
assert_equal "$(attribute mnt/raw write-state)" blocked "write state"
grep -qE "$holder|qemu-io" mnt.log || fail "the log does not name the process: $(cat mnt.log)"
let_go
assert_mode mnt/raw 644 3
printf x | dd of=mnt/raw conv=notrunc status=none

note "held only while the mount stands: noticed as well"
wait_for 1 "released" open_read_only "$daemon" raw.img
hold raw.img raw
assert_mode mnt/raw 444 3
assert_open_fails "Device or resource busy" mnt/raw
let_go
assert_mode mnt/raw 644 3

note "while the mount writes, QEMU is refused; afterwards it is not"
exec 7<>mnt/raw
assert_fails 'Failed to get "?.*"?( lock)?' qemu-io -f raw -c "write 0 512" raw.img
exec 7>&-
wait_for 1 "released" open_read_only "$daemon" raw.img
wait_for 2 "qemu-io can write again" qemu-io -f raw -c "write 0 512" raw.img
unmount mnt

note "a qcow2 image that another process holds: refused, naming the holder; force-share reads it"
qemu-img create -q -f qcow2 disk.qcow2 1M
chmod 644 disk.qcow2
hold disk.qcow2 qcow2
mkdir refused
assert_fails "disk.qcow2.*($holder|qemu-io)" "$BLOCKGRAPHFS" disk.qcow2 refused
! is_mounted refused || fail "something is mounted"
mount_graph shared --blockdev driver=qcow2,node-name=disk,read-only=on,force-share=on,file.driver=file,file.filename=disk.qcow2
head -c 512 shared/disk | cmp - <(head -c 512 /dev/zero | tr '\0' '\315')
unmount shared
let_go
mount_graph mnt disk.qcow2
assert_mode mnt/disk 644

note "a mounted qcow2 image can be read by QEMU, not written"
qemu-img info disk.qcow2 >/dev/null
assert_fails "lock" qemu-io -c "write 0 512" disk.qcow2
unmount mnt
qemu-io -c "write 0 512" disk.qcow2 >/dev/null

note "locks are given back with blockgraphfs unmount, at once"
for _ in 1 2 3; do
  mount_graph mnt disk.qcow2
  printf x | dd of=mnt/disk conv=notrunc status=none
  "$BLOCKGRAPHFS" unmount mnt
  qemu-io -c "write 0 512" disk.qcow2 >/dev/null || fail "the image is still locked after blockgraphfs unmount"
  wait_for 5 "the daemon ends" process_gone "$daemon"
done
