#!/bin/bash
# Requests that come through io_uring: the same files as ever, on every processor, and the same end.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_tools qemu-img openssl
need_helper shadow-writer
[[ $(ldd "$BLOCKGRAPHFS") == *liburing* ]] || skip "built without liburing"

setting=/sys/module/fuse/parameters/enable_uring
[[ -e $setting ]] || skip "Linux $(uname -r) has no FUSE over io_uring"
[[ $(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0) == 0 ]] || skip "kernel.io_uring_disabled is set"
change_setting $setting Y || skip "$setting cannot be changed here"

size=$((32 << 20))
random_bytes $size 40 >base.raw

# The daemon's threads that take requests from io_uring.
ring_threads() {
  grep -l '^ring-' "/proc/$daemon"/task/*/comm | wc -l
}

# Bytes that those have read.
ring_bytes() {
  local comm
  grep -l "^ring-" "/proc/$daemon"/task/*/comm | while read -r comm; do
    sed -n 's/^rchar: //p' "${comm%comm}io"
  done | awk '{ sum += $1 } END { print sum + 0 }'
}

mount_gone() {
  ! is_mounted mnt
}

create() {
  qemu-img create -q -f qcow2 -b base.raw -F raw disk.qcow2 $size
  cp base.raw shadow.raw
}

note "every processor's queue has threads, and they do the work"
create
mount_graph mnt disk.qcow2
(($(ring_threads) >= 2 * $(nproc))) || fail "there are $(ring_threads) threads at the rings"
for ((i = 0; i < $(nproc); i++)); do
  taskset -c "$i" dd if=mnt/disk iflag=direct bs=256k status=none | cmp - base.raw >&2 || fail "processor $i reads something else"
done
(($(ring_bytes) >= $(nproc) * size)) || fail "they have read $(ring_bytes) bytes"

note "names, directories, attributes and errors"
assert_matches "$(ls mnt)" "disk.*disk.file" "the files"
assert_fails "No such file" cat mnt/nothing
assert_fails "Permission denied|Operation not permitted" touch mnt/new
getfattr -d mnt/disk >/dev/null
cat mnt/.graph/nodes.json >/dev/null

note "eight writers; read-only before and after"
open_read_only "$daemon" disk.qcow2 || fail "open for writing too early"
"$helpers/shadow-writer" mnt/disk shadow.raw 8 2000 41 mixed
cmp -n $size mnt/disk shadow.raw >&2 || fail "the disk is not what was written"
wait_for 3 "read-only again" all_read_only "$daemon" disk.qcow2 base.raw
note "while processors come and go beneath the writers"
"$helpers/shadow-writer" mnt/disk shadow.raw 8 3000 42 mixed &
own_processes+=("$!")
for ((i = 0; i < 40; i++)); do
  taskset -pac "$((i % $(nproc)))" "${own_processes[-1]}" >/dev/null 2>&1 || break
  sleep 0.02
done
wait "${own_processes[-1]}"
unmount mnt
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw

note "many processes at once"
mount_graph mnt disk.qcow2
for ((i = 0; i < 100; i++)); do
  (exec 9<>mnt/disk && dd bs=4k count=1 skip="$i" <&9 status=none | cmp -n 4096 -i "0:$((i * 4096))" - shadow.raw) >&2 &
  readers[i]=$!
done
for pid in "${readers[@]}"; do
  wait "$pid" || fail "a reader fails"
done

note "a second signal ends it beside open files"
exec 7<mnt/disk
kill -TERM "$daemon"
wait_for 10 "the mount goes" mount_gone
kill -TERM "$daemon"
wait_for 10 "the daemon ends" process_gone "$daemon"
exec 7<&-
unset 'daemon_of[mnt]'

note "killed while threads write: the image is sound, and what was flushed is there"
for ((i = 0; i < 3; i++)); do
  create
  mount_graph mnt disk.qcow2
  dd if=base.raw of=mnt/disk bs=1M count=1 seek=31 conv=notrunc,fsync status=none
  head -c $((31 << 20)) base.raw >shadow.raw
  "$helpers/shadow-writer" mnt/disk shadow.raw 8 100000 "$i" mixed 2>/dev/null &
  writer=$!
  own_processes+=("$writer")
  sleep 0.4
  kill -KILL "$daemon"
  wait "$daemon" 2>/dev/null || true
  wait "$writer" && fail "the writers did not notice"
  umount -l mnt 2>/dev/null || fusermount3 -uz mnt
  unset 'daemon_of[mnt]'
  status=0
  qemu-img check -q -f qcow2 disk.qcow2 >check.log 2>&1 || status=$?
  ((status == 0 || status == 3)) || fail "killed: $(head -n 5 check.log)"
  qemu-img convert -f qcow2 -O raw disk.qcow2 seen.raw
  cmp <(tail -c 1M seen.raw) <(head -c 1M base.raw) >&2 || fail "flushed data is lost"
done

note "io_uring=off, and a kernel that does not offer it"
create
mount_graph mnt -o io_uring=off disk.qcow2
assert_equal "$(ring_threads)" 0 "threads"
assert_same mnt/disk base.raw
unmount mnt
change_setting $setting N
mount_graph mnt disk.qcow2
assert_equal "$(ring_threads)" 0 "threads"
assert_same mnt/disk base.raw
unmount mnt
