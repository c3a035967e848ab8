#!/bin/bash
# A failed fsync is told, stays told until the image is mounted anew, and takes nothing with it that was durable.
. "$(dirname "$0")/lib.sh"
need_fuse
need_root
need_tools qemu-img strace
strace -o strace.log true 2>/dev/null || skip "strace does not work here"

# While it is attached, the daemon cannot make anything durable.
break_sync() {
  strace -f -o strace.log -p "$daemon" -e trace=fdatasync,fsync -e inject=fdatasync,fsync:error=EIO 2>attach.log &
  breaker=$!
  own_processes+=("$breaker")
  wait_for 10 "strace is attached" grep -q attached attach.log
}

mend_sync() {
  kill -INT "$breaker"
  wait "$breaker" || true
}

writer=(dd if=data of=mnt/disk bs=64k "conv=notrunc,fsync" status=none)

head -c 65536 /dev/urandom >data
qemu-img create -q -f qcow2 disk.qcow2 4M
mount_graph mnt disk.qcow2
"${writer[@]}"

note "fsync tells of it"
exec 7<>mnt/disk
break_sync
assert_fails "Input/output error" "${writer[@]}" seek=1
mend_sync

note "and goes on telling while the image stays open"
assert_fails "Input/output error" "${writer[@]}" seek=2
assert_fails "Input/output error" sync mnt/disk
{ exec 7>&-; } 2>/dev/null || true

note "the daemon's status tells of it, too"
status=0
umount mnt
wait_for 30 "the daemon ends" process_gone "$daemon"
wait "$daemon" || status=$?
unset "daemon_of[mnt]"
assert_equal "$status" 1 "exit status of the daemon"
status=0
qemu-img check -q -f qcow2 disk.qcow2 >&2 || status=$?
((status == 0 || status == 3)) || fail "qemu-img check ends with $status"

note "mounted anew, the image works again"
mount_graph mnt disk.qcow2
cmp -n 65536 data mnt/disk >&2 || fail "what was durable before is gone"
"${writer[@]}" seek=3
unmount mnt
qemu-img convert -f qcow2 -O raw disk.qcow2 disk.raw
cmp -n 65536 -i 0:196608 data disk.raw >&2 || fail "what was written after mounting anew is not there"
