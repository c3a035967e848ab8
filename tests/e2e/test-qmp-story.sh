#!/bin/bash
# What a management tool does, over the control socket of a mounted graph: a chain built node by node, a commit in its middle; overlays,
# snapshots, bitmaps and secrets.
. "$(dirname "$0")/lib.sh"
. "$e2e_dir/qmp-lib.sh"
. "$e2e_dir/story-lib.sh"
need_fuse
need_write_through
need_tools qemu-img qemu-io python3
socket=$PWD/socket

storage() {
  printf '"driver":"file","filename":"%s"' "$PWD/$1"
}

storage_is_read_only() {
  open_read_only "$daemon" l0
}

note "a chain of five is built; every protocol node is auto-read-only, every backing format node read-only"
make_chain
mount_graph mnt --qmp "unix:$socket" --blockdev driver=null-co,node-name=nil,size=512,read-only=on
connect_client
add_chain
assert_writers "$daemon" -- l0 l1 l2 l3 l4

note "a commit of the middle: the base is open for writing for just that time, its file refuses others"
files_of_the_job() {
  assert_writers "$daemon" l0 -- l1 l2 l3
  assert_fails "lock" qemu-io -c "write 0 512" l0
}
commit_the_middle files_of_the_job

note "a stream into the top, which is written meanwhile"
qmp_ok 'block-stream {"job-id":"s","device":"l4","base-node":"l3"}'
wait_for 20 "there are no jobs" no_jobs
qmp_ok 'block-stream {"job-id":"s","device":"l4"}'
printf new | dd of=mnt/l4 bs=1 seek=7M conv=notrunc status=none
wait_for 20 "there are no jobs" no_jobs
printf new | dd of=before bs=1 seek=7M conv=notrunc status=none
cmp before mnt/l4
qmp_fails "Job not found" 'job-cancel {"id":"s"}'
qmp_fails DeviceNotActive 'block-job-cancel {"device":"s"}'

note "an overlay goes on top of a node; snapshots inside its image come and go as files"
qemu-img create -q -f qcow2 over 8M
add_disk over over null '"auto-read-only":true'
qmp_ok 'blockdev-snapshot {"node":"l4","overlay":"over"}'
cmp before mnt/over
printf over | dd of=mnt/over conv=notrunc status=none
cmp before mnt/l4
qmp_fails "already has a backing image" 'blockdev-snapshot {"node":"l4","overlay":"over"}'
qmp_ok 'blockdev-snapshot-internal-sync {"device":"over","name":"kept"}'
printf lost | dd of=mnt/over conv=notrunc status=none
assert_equal "$(head -c 4 mnt/over@kept)" over "content of the snapshot"
qmp_fails "already exists" 'transaction {"actions":[{"type":"blockdev-snapshot-internal-sync","data":{"device":"over","name":"second"}},{"type":"blockdev-snapshot-internal-sync","data":{"device":"over","name":"kept"}}]}'
[[ ! -e mnt/over@second ]] || fail "a transaction that failed left a snapshot"
qmp_fails "internal snapshot" 'blockdev-del {"node-name":"over@kept"}'
qmp_ok 'blockdev-snapshot-delete-internal-sync {"device":"over","name":"kept"}'
assert_matches "$answer" '"name": "kept"' "what was deleted"
[[ ! -e mnt/over@kept ]] || fail "a deleted snapshot is still there"
qmp_ok 'block_resize {"node-name":"over","size":16777216}'
assert_equal "$(stat -c %s mnt/over)" 16777216 "size"

note "bitmaps: several at one instant, or none"
qmp_ok 'block-dirty-bitmap-add {"node":"over","name":"a"}'
printf x | dd of=mnt/over bs=1 seek=3M conv=notrunc status=none
bitmap_action() { printf '{"type":"block-dirty-bitmap-%s","data":{"node":"over",%s}}' "$1" "$2"; }
qmp_ok "transaction {\"actions\":[$(bitmap_action add '"name":"b"'),$(bitmap_action merge '"target":"b","bitmaps":["a"]'),$(bitmap_action clear '"name":"a"'),$(bitmap_action disable '"name":"a"')]}"
bitmaps() {
  qmp_ok 'query-named-block-nodes {"flat":true}'
  grep -oE '"name": "[ab]", "count": [0-9]+, "granularity": [0-9]+, "recording": [a-z]+' <<<"$answer"
}
kept=$(bitmaps)
assert_equal "$(cut -d, -f1,2,4 <<<"$kept" | tr '\n' ';')" '"name": "a", "count": 0, "recording": false;"name": "b", "count": 65536, "recording": true;' "bitmaps"
qmp_fails "already exists: b" "transaction {\"actions\":[$(bitmap_action clear '"name":"b"'),$(bitmap_action enable '"name":"a"'),$(bitmap_action add '"name":"b"')]}"
assert_equal "$(bitmaps)" "$kept" "bitmaps after a transaction that failed"
qmp_fails "aborted" "transaction {\"actions\":[$(bitmap_action remove '"name":"a"'),{\"type\":\"abort\",\"data\":{}}]}"
assert_equal "$(bitmaps)" "$kept" "bitmaps after an aborted transaction"

note "a file and an image in it are made, and get another backing file"
qmp_ok "blockdev-create {\"job-id\":\"c\",\"options\":{\"driver\":\"file\",\"filename\":\"$PWD/made.qcow2\",\"size\":0}}"
wait_for 20 "the job is concluded" job_is concluded
qmp_ok 'job-dismiss {"id":"c"}'
qmp_ok "blockdev-add {\"driver\":\"file\",\"node-name\":\"p-made\",\"filename\":\"$PWD/made.qcow2\",\"auto-read-only\":true}"
qmp_ok 'blockdev-create {"job-id":"c","options":{"driver":"qcow2","file":"p-made","size":8388608,"cluster-size":4096,"version":"v3","backing-file":"l0","backing-fmt":"qcow2"}}'
wait_for 20 "the job is concluded" job_is concluded
qmp_ok query-jobs
[[ $answer != *error* ]] || fail "creating failed: $answer"
qmp_ok 'job-dismiss {"id":"c"}' 'blockdev-del {"node-name":"p-made"}'
assert_matches "$(qemu-img info made.qcow2)" 'cluster_size: 4096.*backing file: l0' "what was made"
add_disk made made.qcow2 '"l3"' '"auto-read-only":true'
qmp_ok "change-backing-file {\"image-node-name\":\"made\",\"backing-file\":\"$PWD/l3\"}"
assert_matches "$(qemu-img info -U made.qcow2)" 'backing file: /.*/l3' "what was changed"
cmp mnt/made mnt/l3
qmp_ok 'blockdev-del {"node-name":"made"}'

note "a mirror: when it is completed, the copy has the file's place, for whoever has it open, too"
truncate -s 8M source.raw copy.raw
random_bytes 3000000 7 | dd of=source.raw conv=notrunc status=none
for name in source copy; do
  qmp_ok "blockdev-add {\"driver\":\"raw\",\"node-name\":\"$name\",\"auto-read-only\":true,\"file\":{\"driver\":\"file\",\"filename\":\"$PWD/$name.raw\"}}"
done
exec 7<>mnt/source
qmp_ok 'blockdev-mirror {"job-id":"m","device":"source","target":"copy","sync":"full"}'
wait_for 20 "the mirror is ready" job_is ready
printf during | dd of=mnt/source bs=1 seek=4M conv=notrunc status=none
qmp_ok 'job-complete {"id":"m"}'
wait_for 20 "there are no jobs" no_jobs
printf handle >&7
exec 7>&-
printf after | dd of=mnt/source bs=1 seek=5M conv=notrunc status=none
bytes_of() { dd "if=$1" bs=1 "skip=$2" "count=$3" status=none; }
assert_equal "$(bytes_of copy.raw 0 6)$(bytes_of copy.raw 4M 6)$(bytes_of copy.raw 5M 5)" \
  handleduringafter "what was written reached the copy"
[[ $(head -c 6 source.raw) != handle ]] || fail "the source was written after the mirror had ended"
cmp mnt/source mnt/copy
qmp_ok 'blockdev-del {"node-name":"source"}'
cmp mnt/source copy.raw

if has_encryption; then
  note "a secret is defined and opens an image"
  printf '%s' sesame >key
  "$BLOCKGRAPHFS" create -f qcow2 --secret id=k,file=key -o encrypt.format=luks,encrypt.key-secret=k locked 1M
  locked="{\"driver\":\"qcow2\",\"node-name\":\"locked\",\"auto-read-only\":true,\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"k\"},\"file\":{\"driver\":\"file\",\"filename\":\"$PWD/locked\"}}"
  qmp_fails "no secret 'k'" "blockdev-add $locked"
  qmp_ok 'object-add {"qom-type":"secret","id":"k","data":"sesame"}'
  qmp_fails "duplicate" 'object-add {"qom-type":"secret","id":"k","data":"sesame"}'
  qmp_ok "blockdev-add $locked" 'object-del {"id":"k"}' 'blockdev-del {"node-name":"locked"}'
  qmp_fails "no secret 'k'" "blockdev-add $locked"
  qmp_fails "'k' not found" 'object-del {"id":"k"}'
fi

note "the end"
qmp_ok quit
wait_for 20 "the daemon ends" process_gone "$daemon"
wait "$daemon" || fail "the daemon ended with $?: $(cat mnt.log)"
unset "daemon_of[mnt]"
for image in l0 l3 l4 over; do qemu-img check -q "$image" || fail "$image is not sound"; done
