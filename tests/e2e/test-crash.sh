#!/bin/bash
# The daemon is killed while threads write: the image is never corrupt, and what was flushed is there.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img qemu-io openssl fallocate
need_helper shadow-writer

size=$((16 << 20))
random_bytes $size 18 >base.raw
random_bytes 1M 19 >flushed

crash_after() {
  local seconds=$1 status=0 writer
  shift
  # The last MiB of the disk is beyond the part that the threads write.
  qemu-img create -q -f qcow2 -o "$1" -b base.raw -F raw disk.qcow2 $((size + (1 << 20)))
  cp base.raw shadow.raw
  mount_graph mnt disk.qcow2
  dd if=flushed of=mnt/disk bs=1M seek=$((size >> 20)) conv=notrunc,fsync status=none
  "$helpers/shadow-writer" mnt/disk shadow.raw 8 100000 "${seconds/./}" mixed 2>/dev/null &
  writer=$!
  own_processes+=("$writer")
  sleep "$seconds"
  process_runs "$writer" || fail "the writers ended before the kill"
  kill -KILL "$daemon"
  wait "$daemon" 2>/dev/null || true
  wait "$writer" && fail "the writers did not notice"
  umount -l mnt 2>/dev/null || fusermount3 -uz mnt
  unset 'daemon_of[mnt]'
  qemu-img check -q -f qcow2 disk.qcow2 >check.log 2>&1 || status=$?
  ((status == 0 || status == 3)) || fail "killed after $seconds s: $(head -n 5 check.log)"
  qemu-img convert -f qcow2 -O raw disk.qcow2 seen.raw
  cmp <(tail -c 1M seen.raw) flushed >&2 || fail "killed after $seconds s: flushed data is lost"
}

for seconds in 0.1 0.3 0.6 1.0 1.5; do
  for options in cluster_size=4096 cluster_size=65536,refcount_bits=1; do
    note "killed after $seconds s, $options"
    crash_after $seconds $options
  done
done
