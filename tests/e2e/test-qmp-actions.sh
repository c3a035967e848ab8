#!/bin/bash
# Transactions of all kinds of actions over the control socket, and bitmaps that images keep.
. "$(dirname "$0")/lib.sh"
. "$e2e_dir/qmp-lib.sh"
need_fuse
need_tools qemu-img python3
socket=$PWD/socket

# action TYPE DATA: one of a transaction.
action() { printf '{"type":"%s","data":{%s}}' "$1" "$2"; }

# transaction ACTION…: as a command.
transaction() {
  local IFS=,
  printf 'transaction {"actions":[%s]%s}' "$*" "${properties:-}"
}

no_jobs() {
  qmp query-jobs && [[ $answer == '{"return": []}' ]]
}

# bitmap IMAGE NAME: what qemu-img says of it.
bitmap() {
  qemu-img info -U --output=json "$1" | python3 -c '
import json, sys
for bitmap in json.load(sys.stdin)["format-specific"]["data"].get("bitmaps", []):
    if bitmap["name"] == sys.argv[1]:
        print(bitmap["granularity"], ",".join(bitmap["flags"]))' "$2"
}

# dirty NAME: how much of it the daemon says is dirty.
dirty() {
  qmp_ok 'query-named-block-nodes {"flat":true}'
  sed -nE "s/.*\"name\": \"$1\", \"count\": ([0-9]+).*/\1/p" <<<"$answer"
}

# busy NAME: whether the daemon says that a job works with the bitmap.
busy() {
  qmp_ok 'query-named-block-nodes {"flat":true}'
  python3 -c '
import json, sys
print(*[json.dumps(bitmap["busy"]) for node in json.load(sys.stdin)["return"]
        for bitmap in node.get("dirty-bitmaps", []) if bitmap["name"] == sys.argv[1]])' "$1" <<<"$answer"
}

put() { printf "%s" "$2" | dd of="mnt/$1" bs=1 "seek=$3" conv=notrunc status=none; }

write_back_over() {
  wait_for 5 "$1 is read-only again" open_read_only "$daemon" "$1"
}

# dirty_extents IMAGE BITMAP: "OFFSET+LENGTH …", as an NBD client sees it.
dirty_extents() {
  rm -f nbd
  qemu-nbd --fork --pid-file=nbd.pid -r -k "$PWD/nbd" -B "$2" -f qcow2 "$1"
  qemu-img map --output=json --image-opts "driver=nbd,server.type=unix,server.path=$PWD/nbd,x-dirty-bitmap=qemu:dirty-bitmap:$2" |
    python3 -c '
import json, sys
print(" ".join("%d+%d" % (e["start"], e["length"]) for e in json.load(sys.stdin) if not e["data"]))'
  wait_for 10 "qemu-nbd ends with its client" test ! -e "/proc/$(<nbd.pid)"
}

qemu-img create -q -f qcow2 disk.qcow2 8M
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 over.qcow2
qemu-img create -q -f qcow2 other.qcow2 8M
truncate -s 8M target1 target2
mount_graph mnt --qmp "unix:$socket" --blockdev driver=null-co,node-name=nil,size=512,read-only=on
connect_client
for name in disk other; do
  qmp_ok "blockdev-add {\"driver\":\"qcow2\",\"node-name\":\"$name\",\"auto-read-only\":true,\"file\":{\"driver\":\"file\",\"filename\":\"$PWD/$name.qcow2\",\"auto-read-only\":true}}"
done
qmp_ok "blockdev-add {\"driver\":\"qcow2\",\"node-name\":\"over\",\"auto-read-only\":true,\"backing\":null,\"file\":{\"driver\":\"file\",\"filename\":\"$PWD/over.qcow2\",\"auto-read-only\":true}}"
for name in target1 target2; do
  qmp_ok "blockdev-add {\"driver\":\"file\",\"node-name\":\"$name\",\"filename\":\"$PWD/$name\",\"auto-read-only\":true}"
done

note "a new bitmap gets into the image when the last writer has left, and records from then on"
qmp_ok 'block-dirty-bitmap-add {"node":"disk","name":"kept","persistent":true,"granularity":65536}'
write_back_over disk.qcow2
assert_equal "$(bitmap disk.qcow2 kept)" "65536 auto" "new bitmap"
put disk x 1M
assert_equal "$(bitmap disk.qcow2 kept)" "65536 in-use,auto" "bitmap under a writer"
write_back_over disk.qcow2
assert_equal "$(dirty kept)" 65536 "what is dirty"
assert_equal "$(dirty_extents disk.qcow2 kept)" "1048576+65536" "what QEMU sees"

note "changes of a bitmap in an image are there afterwards; so is its absence"
qmp_ok 'block-dirty-bitmap-disable {"node":"disk","name":"kept"}'
write_back_over disk.qcow2
assert_equal "$(bitmap disk.qcow2 kept)" "65536 " "disabled bitmap"
put disk y 2M
qmp_ok 'block-dirty-bitmap-add {"node":"disk","name":"second","persistent":true,"disabled":true}' \
  'block-dirty-bitmap-merge {"node":"disk","target":"second","bitmaps":["kept"]}' \
  'block-dirty-bitmap-clear {"node":"disk","name":"kept"}' \
  'block-dirty-bitmap-enable {"node":"disk","name":"kept"}'
write_back_over disk.qcow2
assert_equal "$(dirty_extents disk.qcow2 second)|$(dirty_extents disk.qcow2 kept)" "1048576+65536|" "merged and cleared"
assert_equal "$(bitmap disk.qcow2 kept)|$(bitmap disk.qcow2 second)" "65536 auto|65536 " "flags"
qmp_ok 'block-dirty-bitmap-remove {"node":"disk","name":"second"}'
write_back_over disk.qcow2
assert_equal "$(bitmap disk.qcow2 second)" "" "a bitmap that was removed"
qemu-img check -q -U disk.qcow2 || fail "qemu-img check finds something"
qmp_fails "Can't store persistent bitmaps" 'block-dirty-bitmap-add {"node":"target1","name":"p","persistent":true}'
qmp_fails "already exists" 'block-dirty-bitmap-add {"node":"disk","name":"kept","persistent":true}'

note "bitmaps, a backup, a snapshot and an overlay at one instant"
random_bytes 3000000 11 | dd of=mnt/disk conv=notrunc status=none
cat mnt/disk >before
qmp_ok "$(transaction \
  "$(action block-dirty-bitmap-add '"node":"disk","name":"since","persistent":true')" \
  "$(action block-dirty-bitmap-disable '"node":"disk","name":"kept"')" \
  "$(action blockdev-backup '"job-id":"b1","device":"disk","target":"target1","sync":"full","speed":4000000')" \
  "$(action blockdev-snapshot-internal-sync '"device":"other","name":"then"')")"
put disk after 0
wait_for 30 "the backup is done" no_jobs
cmp before target1
[[ -e mnt/other@then ]] || fail "the snapshot's file is missing"
assert_equal "$(dirty since)" 65536 "what was written since"
order=$(grep -oE '"(created|running|waiting|pending|concluded|null)"|BLOCK_JOB_[A-Z]+' events | tr -d '"' | tr '\n' ' ')
assert_equal "$order" "created running waiting pending BLOCK_JOB_COMPLETED concluded null " "order of events"

note "a bitmap that a backup works with is busy, and nobody changes it"
since=$(dirty since)
qmp_ok 'block-dirty-bitmap-add {"node":"disk","name":"free"}'
qmp_ok 'blockdev-backup {"job-id":"b3","device":"disk","target":"target2","sync":"bitmap","bitmap":"since","bitmap-mode":"never","speed":1}'
assert_equal "$(busy since)|$(busy free)" "true|false" "busy"
for change in clear disable enable remove; do
  qmp_fails "Bitmap 'since' is currently in use by backup job 'b3' and cannot be used" "block-dirty-bitmap-$change {\"node\":\"disk\",\"name\":\"since\"}"
done
qmp_fails "'since' is currently in use by backup job 'b3'" 'block-dirty-bitmap-merge {"node":"disk","target":"since","bitmaps":["free"]}'
qmp_fails "'since' of node 'disk' is in use by backup job 'b3'" \
  'blockdev-backup {"job-id":"b4","device":"disk","target":"target1","sync":"bitmap","bitmap":"since","bitmap-mode":"never"}'
put disk more 3M
qmp_ok 'job-cancel {"id":"b3"}'
wait_for 20 "there are no jobs" no_jobs
assert_equal "$(busy since)|$(dirty since)" "false|$((since + 65536))" "after the backup"
qmp_ok 'block-dirty-bitmap-disable {"node":"disk","name":"since"}' 'block-dirty-bitmap-enable {"node":"disk","name":"since"}' \
  'block-dirty-bitmap-remove {"node":"disk","name":"free"}'

note "a transaction that fails at its end leaves nothing"
: >events
kept=$(dirty since)
qmp_fails "aborted using Abort" "$(transaction \
  "$(action block-dirty-bitmap-clear '"node":"disk","name":"since"')" \
  "$(action block-dirty-bitmap-add '"node":"disk","name":"never","persistent":true')" \
  "$(action blockdev-snapshot-internal-sync '"device":"disk","name":"never"')" \
  "$(action blockdev-backup '"job-id":"b2","device":"disk","target":"target2","sync":"incremental","bitmap":"since"')" \
  "$(action blockdev-snapshot '"node":"disk","overlay":"over"')" \
  "$(action abort '')")"
wait_for 5 "there are no jobs" no_jobs
assert_equal "$(dirty since)" "$kept" "bitmap after a transaction that failed"
assert_equal "$(dirty never)" "" "a bitmap that should not be"
[[ ! -e mnt/disk@never ]] || fail "a snapshot stayed"
order=$(grep -oE '"(created|running|aborting|concluded|null)"|BLOCK_JOB_[A-Z]+' events | tr -d '"' | tr '\n' ' ')
assert_equal "$order" "created aborting concluded null " "events of a job that never ran"
write_back_over disk.qcow2
assert_equal "$(qemu-img snapshot -U -l disk.qcow2)" "" "snapshots"
assert_equal "$(bitmap disk.qcow2 never)" "" "bitmaps in the image"

note "grouped jobs: the one that is done waits, and fails with the other"
properties=',"properties":{"completion-mode":"grouped"}'
two="$(action blockdev-backup '"job-id":"g1","device":"disk","target":"target1","sync":"incremental","bitmap":"since"')"
qmp_ok 'block-dirty-bitmap-add {"node":"other","name":"o"}'
put other abc 0
qmp_ok "$(transaction "$two" "$(action blockdev-backup '"job-id":"g2","device":"other","target":"target2","sync":"full","speed":1')")"
is_waiting() { qmp query-jobs && [[ $answer == *waiting* ]]; }
wait_for 20 "the first has done its work" is_waiting
qmp_ok 'job-cancel {"id":"g2"}'
wait_for 20 "there are no jobs" no_jobs
assert_equal "$(dirty since)" "$kept" "what a failed backup had to copy"
qmp_ok "$(transaction "$two" "$(action blockdev-backup '"job-id":"g2","device":"other","target":"target2","sync":"full"')")"
wait_for 20 "there are no jobs" no_jobs
assert_equal "$(dirty since)" 0 "after a backup of both"
cmp mnt/disk target1
cmp mnt/other target2
properties=

note "an overlay comes in the same change as the bitmap of what is below"
qmp_ok "$(transaction "$(action block-dirty-bitmap-remove '"node":"disk","name":"since"')" \
  "$(action block-dirty-bitmap-add '"node":"over","name":"above","persistent":true')" \
  "$(action blockdev-snapshot '"node":"disk","overlay":"over"')")"
cmp mnt/disk mnt/over
put over z 5M
assert_equal "$(dirty above)" 65536 "what was written above"

note "a daemon that is killed leaves bitmaps that are not to be trusted, never false ones"
write_back_over over.qcow2
exec 7<>mnt/over
printf killed >&7
kill -KILL "$daemon"
exec 7>&- || true
wait_for 10 "the daemon is gone" process_gone "$daemon"
assert_equal "$(bitmap over.qcow2 above)" "65536 in-use,auto" "bitmap after a crash"
assert_equal "$(bitmap disk.qcow2 kept)" "65536 " "bitmap that did not record"
qemu-img check -q over.qcow2 || fail "qemu-img check finds something"
