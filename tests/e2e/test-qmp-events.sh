#!/bin/bash
# What a management tool learns of I/O: counters, errors, damaged images, and the end of the mount.
. "$(dirname "$0")/lib.sh"
. "$e2e_dir/qmp-lib.sh"
need_fuse
need_tools qemu-img python3 jq
socket=$PWD/socket
ctl=${BLOCKGRAPHFS%/*}/blockgraphctl

# events_of NAME: their data, one a line.
events_of() {
  jq -c "select(.event == \"$1\").data" events 2>/dev/null || true
}

event_came() {
  [[ -n $(events_of "$1") ]]
}

errors_came() {
  (($(events_of BLOCK_IO_ERROR | wc -l) >= $1))
}

is_watched() {
  "$ctl" add -s "$socket" driver=null-co,node-name=probe,size=1M,read-only=on
  "$ctl" del -s "$socket" probe
  [[ -s events ]]
}

# Events of the mount go to the file `events` from now on.
watch() {
  rm -f events
  background "$ctl" watch --json -s "$socket" >events 2>/dev/null
  wait_for 10 "events come" is_watched
}

# counter NODE NAME: of the node by itself.
counter() {
  qmp_ok 'query-blockstats {"query-nodes":true}'
  jq -r ".return[] | select(.\"node-name\" == \"$1\") | .stats.$2" <<<"$answer"
}

assert_counters() {
  local node=$1 pair
  shift
  for pair in "$@"; do
    assert_equal "$(counter "$node" "${pair%=*}")" "${pair#*=}" "$node: ${pair%=*}"
  done
}

note "what programs do is counted at the node that they do it to"
qemu-img create -q -f qcow2 base.qcow2 8M
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
mount_graph mnt -o cache=none --qmp "unix:$socket" disk.qcow2
watch
connect_client
assert_counters disk rd_operations=0 wr_operations=0 wr_highest_offset=0 account_failed=true
dd if=/dev/urandom of=mnt/disk bs=64k count=4 seek=16 conv=notrunc status=none
dd if=mnt/disk of=/dev/null bs=64k count=2 status=none
assert_counters disk wr_bytes=262144 wr_operations=4 rd_bytes=131072 rd_operations=2 wr_highest_offset=1310720 failed_wr_operations=0
(($(counter disk wr_total_time_ns) > 0)) || fail "writing took no time"
flushes=$(counter disk flush_operations)
sync mnt/disk
(($(counter disk flush_operations) > flushes)) || fail "no flush was counted"
fallocate -p -o 1M -l 64k mnt/disk
assert_counters disk unmap_operations=1 unmap_bytes=65536
assert_fails "No space left" dd if=/dev/zero of=mnt/disk bs=64k count=1 seek=200 conv=notrunc status=none
assert_counters disk invalid_wr_operations=1 failed_wr_operations=0
assert_counters disk.file rd_operations=0 wr_operations=0
(($(counter disk.file wr_highest_offset) > 262144)) || fail "the image grew, and nobody knows how far it was written"

note "without query-nodes: what is on top, with what is below"
qmp_ok query-blockstats
assert_equal "$(jq -c '[.return[] | [.device, .parent."node-name", .backing."node-name", .backing.parent."node-name"]]' <<<"$answer")" \
  '[["disk","disk.file","disk.backing","disk.backing.file"]]' "shape of the answer"

note "counters go on while the disk is copied: a job's requests are no program's"
qemu-img create -q -f raw copy.raw 8M
qmp_ok "blockdev-add {\"driver\":\"file\",\"node-name\":\"copy\",\"filename\":\"$PWD/copy.raw\",\"auto-read-only\":true}" \
  'blockdev-backup {"device":"disk","target":"copy","sync":"full","job-id":"b"}'
wait_for 20 "the copy is there" event_came BLOCK_JOB_COMPLETED
assert_counters disk rd_bytes=131072
assert_counters copy wr_operations=0

note "quit is told before the connection ends"
qmp_ok quit
disconnect_client
wait_for 10 "SHUTDOWN came" event_came SHUTDOWN
assert_equal "$(events_of SHUTDOWN)" '{"guest":false,"reason":"host-qmp-quit"}' "the event"
wait_for 20 "the daemon ends" process_gone "$daemon"
unset "daemon_of[mnt]"

note "a failed read is told once a second; damage once"
qemu-img create -q -f qcow2 broken.qcow2 8M
poke broken.qcow2 $((0x$(od -An -tx1 -j 40 -N 8 broken.qcow2 | tr -d ' \n'))) 80 00 00 00 00 00 02 00
mount_graph mnt -o cache=none --qmp "unix:$socket" broken.qcow2
watch
connect_client
for _ in 1 2 3 4 5 6; do
  assert_fails "Input/output error" dd if=mnt/broken of=/dev/null bs=4k count=1 status=none
done
wait_for 10 "both events came" event_came BLOCK_IMAGE_CORRUPTED
wait_for 10 "the last error came, too" errors_came 2
assert_equal "$(events_of BLOCK_IO_ERROR | sort -u)" \
  '{"device":"broken","node-name":"broken","operation":"read","action":"report","nospace":false,"reason":"Input/output error"}' "the event"
assert_matches "$(events_of BLOCK_IMAGE_CORRUPTED)" '"node-name":"broken","msg":".*","fatal":false' "the event"
assert_equal "$(events_of BLOCK_IMAGE_CORRUPTED | wc -l)" 1 "events of damage"
(($(events_of BLOCK_IO_ERROR | wc -l) <= 3)) || fail "errors are told too often: $(events_of BLOCK_IO_ERROR)"
assert_counters broken failed_rd_operations=6 rd_operations=0

note "the end of the mount from outside is told, too"
unmount mnt
wait_for 10 "SHUTDOWN came" event_came SHUTDOWN
assert_matches "$(events_of SHUTDOWN)" '"reason":"host-ui"' "the event"

note "a disk that is full"
mkdir small
if mount -t tmpfs -o size=2m tmpfs small 2>/dev/null; then
  own_mounts+=("$scratch/small")
  qemu-img create -q -f qcow2 small/full.qcow2 8M
  mount_graph mnt -o cache=none --qmp "unix:$socket" small/full.qcow2
  watch
  assert_fails "No space left" dd if=/dev/urandom of=mnt/full bs=64k count=64 conv=notrunc status=none
  wait_for 10 "the error came" event_came BLOCK_IO_ERROR
  assert_matches "$(events_of BLOCK_IO_ERROR)" '"operation":"write","action":"report","nospace":true' "the event"
  kill -TERM "$daemon"
  wait_for 20 "the daemon ends" process_gone "$daemon"
  unset "daemon_of[mnt]"
  assert_matches "$(events_of SHUTDOWN)" '"reason":"host-signal"' "the event"
fi
