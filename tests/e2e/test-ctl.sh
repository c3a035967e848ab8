#!/bin/bash
# blockgraphctl: what a person does with a mount from a shell.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img python3
ctl=${BLOCKGRAPHFS%/*}/blockgraphctl
[[ -x $ctl ]] || fail "$ctl is not built"

# assert_status STATUS PATTERN COMMAND…: it ends so, and says one line like PATTERN on standard error.
assert_status() {
  local wanted=$1 pattern=$2 status=0
  shift 2
  timeout 60 "$@" >out 2>err </dev/null || status=$?
  assert_equal "$status" "$wanted" "status of $* ($(cat err))"
  assert_matches "$(cat err)" "$pattern" "what $* says"
  assert_equal "$(wc -l <err)" 1 "lines that $* says"
}

qemu-img create -q -f qcow2 base.qcow2 8M
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
truncate -s 1M a.raw

note "what is no mount, and a mount without a socket, are told with what to do"
mkdir plain
assert_status 1 '^blockgraphctl jobs: plain: nothing is mounted here$' "$ctl" jobs plain
assert_status 1 'not fuse.blockgraphfs' "$ctl" jobs /proc
assert_status 2 'there is no command' "$ctl" frobnicate
assert_status 2 'NODE is missing' "$ctl" del plain
assert_status 2 'Unknown option' "$ctl" tree --frobnicate plain
assert_status 2 'exclude each other' "$ctl" mirror --pivot --finish plain a b
assert_status 2 'SIZE is missing' "$ctl" jobs plain speed a
assert_status 2 'progress' "$ctl" commit --progress=loud plain/disk
assert_status 2 'size|number|bytes' "$ctl" commit --speed=fast plain/disk
mount_graph mnt disk.qcow2
assert_status 1 'mnt: the mount has no control socket: mount it with --qmp unix:PATH$' "$ctl" jobs mnt
"$ctl" tree mnt >drawn
assert_matches "$(head -1 drawn)" '^disk \(qcow2, 8 MiB, open read-only\) available: ' "first line of the tree"
unmount mnt

note "tree: users, states and reasons; box-drawing characters where they can be; JSON"
mount_graph mnt --qmp unix:socket disk.qcow2
assert_equal "$(cat mnt/.graph/qmp)" "$PWD/socket" "the socket that the mount tells"
exec 7<mnt/disk
"$ctl" tree mnt >drawn
exec 7<&-
[[ $(<drawn) == *"|-- used by file 'disk' (reads)"* ]] || fail "no user in the tree: $(cat drawn)"
[[ $(<drawn) == *'`-- backing: disk.backing (qcow2, 8 MiB, open read-only) blocked: '*"overlay 'disk'"* ]] || fail "tree: $(cat drawn)"
assert_equal "$("$ctl" tree --charset=utf-8 mnt/disk.backing | sed -n '2s/:.*//p')" "└── file" "box-drawing characters"
assert_equal "$("$ctl" tree --json mnt | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["nodes"]))')" 4 "nodes in JSON"
assert_equal "$("$ctl" tree -s socket)" "$("$ctl" tree mnt)" "the tree by the socket"
assert_status 1 'nothing: there is no such node' "$ctl" tree mnt/nothing

note "watch prints events until it is interrupted"
"$ctl" watch mnt 'BLOCKGRAPH_NODE_*' >events 2>&1 7>&- &
watcher=$!
own_processes+=("$watcher")
"$ctl" watch --json mnt >events.json 2>&1 &
json_watcher=$!
own_processes+=("$json_watcher")
mkdir connected && cd connected # another directory than the daemon's: names are made absolute

note "add, reopen, del"
watches() {
  "$ctl" add -s ../socket driver=null-co,node-name=probe,size=1M,read-only=on && "$ctl" del -s ../socket probe &&
    grep -q probe ../events && grep -q probe ../events.json
}
wait_for 20 "both watches print" watches
"$ctl" add ../mnt driver=raw,node-name=a,auto-read-only=on,file.driver=file,file.filename=../a.raw \
  '{"driver":"null-co","node-name":"n","size":1048576,"read-only":true}'
cd ..
assert_mode mnt/a 644
assert_equal "$(stat -c %s mnt/n)" 1048576 "size of the second node"
assert_status 1 "add: a: Duplicate nodes with node-name='a'" "$ctl" add mnt driver=null-co,node-name=a
assert_status 2 "Expected '=' after 'x'" "$ctl" add mnt x
"$ctl" reopen mnt node-name=a,read-only=on
assert_mode mnt/a 444
"$ctl" reopen mnt node-name=a,detect-zeroes=on
assert_mode mnt/a 444 # read-only was not named, and stays
"$ctl" reopen --defaults mnt node-name=a,auto-read-only=on
assert_mode mnt/a 644
assert_status 1 'bogus' "$ctl" reopen mnt node-name=a,read-only=on,bogus=1
assert_mode mnt/a 644
exec 7<mnt/a
assert_status 1 "del: a: .*in use.*file 'a'" "$ctl" del mnt/a
exec 7<&-
"$ctl" del mnt a n
[[ ! -e mnt/a && ! -e mnt/n ]] || fail "a node's file is still there"
assert_status 1 "del: a: Failed to find node" "$ctl" del mnt/a
kill -INT "$watcher" "$json_watcher"
for process in "$watcher" "$json_watcher"; do
  status=0
  wait "$process" || status=$?
  assert_equal "$status" 0 "status of an interrupted watch"
done
[[ $(<events) == *"BLOCKGRAPH_NODE_ADDED node-name=a driver=raw"* && $(<events) == *"BLOCKGRAPH_NODE_REMOVED node-name=a"* ]] ||
  fail "events: $(cat events)"
[[ $(<events) != *STATE* ]] || fail "an event that was not asked for: $(cat events)"
python3 -c 'import json, sys; assert any(json.loads(line)["event"] == "BLOCKGRAPH_NODE_ADDED" for line in sys.stdin)' <events.json

note "snapshots inside the image: taken, listed, applied, deleted"
printf first | dd of=mnt/disk conv=notrunc status=none
"$ctl" snapshot -c before mnt/disk
printf other | dd of=mnt/disk conv=notrunc status=none
assert_equal "$(head -c 5 mnt/disk@before)" first "the snapshot's file"
assert_matches "$("$ctl" snapshot mnt/disk)" $'^Snapshot list:\n.*\n1 +before ' "list"
assert_equal "$("$ctl" snapshot --json mnt/disk | python3 -c 'import json, sys; print([s["name"] for s in json.load(sys.stdin)])')" "['before']" "JSON"
assert_status 1 "snapshot: disk: Snapshot with name 'before' already exists" "$ctl" snapshot -c before mnt/disk
exec 7<mnt/disk
assert_status 1 "snapshot: disk: .*file 'disk'" "$ctl" snapshot -a before mnt/disk
exec 7<&-
"$ctl" snapshot -a before mnt/disk
assert_equal "$(head -c 5 mnt/disk)" first "the disk that went back"
"$ctl" snapshot -d 1 mnt disk
[[ ! -e mnt/disk@before ]] || fail "the deleted snapshot's file is still there"
assert_status 1 "snapshot: disk: .*before" "$ctl" snapshot -d before mnt/disk

note "overlays, and committing them: the middle of a chain, then the active layer"
"$ctl" snapshot -o new.qcow2 mnt/disk
printf third | dd of=mnt/new conv=notrunc status=none
assert_equal "$(head -c 5 mnt/disk)" first "the disk below the overlay"
"$ctl" snapshot --overlay top.qcow2 --node-name top mnt/new
assert_status 1 "snapshot: top: .*exist" "$ctl" snapshot -o new.qcow2 mnt/top
[[ -e new.qcow2 ]] || fail "an image that was there is gone"
cat mnt/top >top.raw
content=$(digest mnt/top)
"$ctl" commit mnt/new >out 2>err
[[ ! -s out && ! -s err ]] || fail "without a terminal nothing is printed: $(cat out err)"
assert_equal "$(digest mnt/top)" "$content" "content"
assert_equal "$(head -c 5 mnt/disk)" third "the disk that was committed into"
assert_matches "$("$ctl" tree mnt/top)" '`-- backing: disk ' "the shorter chain"
"$ctl" commit --json mnt/top >out
assert_equal "$(tr -d ' \n' <out)" '{"id":"commit0","type":"commit","status":"concluded"}' "JSON"
"$ctl" del mnt/top
assert_same mnt/disk top.raw

note "stream, mirror and backup"
"$ctl" stream mnt/disk
[[ ! -e mnt/disk.backing ]] || fail "mnt/disk.backing is still there"
assert_equal "$(head -c 5 mnt/disk)" third "the disk that stands alone"
for name in mirrored saved; do
  qemu-img create -q -f qcow2 "$name.qcow2" 8M
  "$ctl" add mnt "driver=qcow2,node-name=$name,auto-read-only=on,file.driver=file,file.filename=$name.qcow2"
done
assert_equal "$("$ctl" mirror mnt disk mirrored)" mirror0 "the mirror that goes on"
assert_matches "$("$ctl" jobs mnt)" $'\nmirror0 +mirror +ready +100% of 8 MiB' "list"
printf fifth | dd of=mnt/disk conv=notrunc status=none
"$ctl" jobs mnt finish mirror0
mirror_ended() {
  [[ -z $("$ctl" jobs mnt) ]]
}
wait_for 20 "the mirror has ended" mirror_ended
assert_same mnt/disk mnt/mirrored
"$ctl" backup mnt disk saved
assert_same mnt/disk mnt/saved
assert_status 1 "backup: disk: .*nothing" "$ctl" backup mnt disk nothing
assert_status 1 "mirror: disk: source and target are both" "$ctl" mirror mnt disk disk

note "an interrupt cancels; speed, pause and resume"
head -c 4M /dev/urandom | dd of=mnt/disk bs=1M conv=notrunc status=none
"$ctl" backup --speed=64K --id=slow mnt disk saved >out 2>err &
slow=$!
own_processes+=("$slow")
slow_is() {
  [[ $("$ctl" jobs mnt) =~ slow\ +backup\ +$1 ]]
}
wait_for 20 "the job runs" slow_is running
"$ctl" jobs mnt pause slow
wait_for 20 "the job is paused" slow_is paused
assert_status 1 'jobs: slow: .*paus' "$ctl" jobs mnt pause slow
"$ctl" jobs mnt resume slow
"$ctl" jobs mnt speed slow 32K
assert_matches "$("$ctl" jobs mnt)" "32 KiB/s" "list"
kill -INT "$slow"
status=0
wait "$slow" || status=$?
assert_equal "$status" 1 "status of an interrupted backup"
assert_equal "$(cat err)" $'slow: cancelling\nblockgraphctl backup: disk: job slow: cancelled' "what it says"
assert_equal "$("$ctl" jobs mnt)" "" "jobs that are left"

note "a second interrupt waits for nothing, not even for an answer"
"$ctl" backup --speed=64K --id=slow mnt disk copy.qcow2 >out 2>err &
twice=$!
own_processes+=("$twice")
wait_for 20 "the job runs" slow_is running
kill -STOP "$daemon" # so that it does not end
kill -INT "$twice"
wait_for 5 "it cancels" grep -q cancelling err
kill -INT "$twice"
wait_for 5 "it leaves" process_gone "$twice"
kill -CONT "$daemon"
status=0
wait "$twice" || status=$?
assert_equal "$status" 1 "status of a backup that was interrupted twice"
assert_matches "$(cat err)" "^slow: cancelling.*$PWD/copy.qcow2 is left.*job slow: it is being cancelled and was left to itself$" "what it says"
no_jobs() {
  [[ -z $("$ctl" jobs mnt) ]]
}
wait_for 20 "the job was cancelled" no_jobs
"$ctl" del mnt/copy
rm copy.qcow2

note "files as targets: made, and gone again if the copy fails"
no_node() {
  [[ ! -e mnt/$1 ]] || fail "the node $1 is left"
}
mkdir copies
"$ctl" backup mnt disk copies/disk.qcow2 # a name that a node has
assert_content qcow2 copies/disk.qcow2 mnt/disk
no_node disk-2
(cd copies && "$ctl" mirror --finish ../mnt disk plain.img)
assert_same copies/plain.img mnt/disk
no_node plain
"$ctl" backup --format=raw mnt disk odd
assert_same odd mnt/disk
printf again | dd of=mnt/disk conv=notrunc status=none
"$ctl" backup mnt disk copies/disk.qcow2
assert_content qcow2 copies/disk.qcow2 mnt/disk
assert_clean copies/disk.qcow2
assert_status 1 "backup: disk: copies/odd: its name does not tell its format: --format does" "$ctl" backup mnt disk copies/odd
assert_status 1 "backup: disk: .*nosuch" "$ctl" backup --format=nosuch mnt disk copies/odd
assert_status 1 "backup: disk: .*nowhere" "$ctl" backup mnt disk nowhere/a.qcow2
assert_status 1 "backup: none: there is no such node" "$ctl" backup mnt none copies/new.raw
assert_status 1 "backup: disk: .*bitmap" "$ctl" backup --bitmap=none mnt disk copies/new.raw
assert_status 1 "backup: disk: .*bitmap" "$ctl" backup --bitmap=none mnt disk copies/disk.qcow2
assert_content qcow2 copies/disk.qcow2 mnt/disk
no_node disk-2
"$ctl" backup --speed=64K --id=slow mnt disk copies/slow.qcow2 >out 2>err &
slow=$!
own_processes+=("$slow")
wait_for 20 "the job runs" slow_is running
kill -INT "$slow"
status=0
wait "$slow" || status=$?
assert_equal "$status" 1 "status of an interrupted backup"
assert_equal "$(cat err)" $'slow: cancelling\nblockgraphctl backup: disk: job slow: cancelled' "what it says"
assert_equal "$(echo copies/*)" "copies/disk.qcow2 copies/plain.img" "files that are left"
no_node slow
"$ctl" mirror --pivot mnt disk copies/pivot.qcow2
printf pivot | dd of=mnt/disk conv=notrunc status=none
"$ctl" mirror --pivot mnt pivot mirrored
"$ctl" del mnt disk pivot
assert_status 1 "jobs: none: " "$ctl" jobs mnt cancel none

note "unmount returns when the images are released, and tells who is in the way"
exec 7<mnt/disk
assert_status 1 "unmount: mnt: in use by" "$ctl" unmount mnt
exec 7<&-
"$ctl" unmount mnt
process_gone "$daemon" || fail "the daemon still runs"
wait "$daemon"
mount_graph mnt --qmp unix:socket disk.qcow2
"$ctl" unmount -s socket
process_gone "$daemon" || fail "the daemon still runs"
wait "$daemon"
unset "daemon_of[mnt]"
assert_clean disk.qcow2 base.qcow2

# ── long work, with a server whose jobs take a second or two ──

start_fake() {
  python3 "$e2e_dir/ctl-fake-server.py" "$PWD/$1" "$PWD/log" "$2" &
  own_processes+=("$!")
  wait_for 20 "the server listens" test -S "$1"
}
start_fake fake ""
start_fake broken "No space left on device"

note "commit waits, and shows progress"
"$ctl" commit -s fake --progress=plain --speed=10M disk >out 2>err
[[ ! -s out ]] || fail "commit printed: $(cat out)"
assert_matches "$(cat err)" '^commit0 begins|^commit0 +[0-9]+% of 1 GiB' "progress"
assert_matches "$(cat err)" 'commit0 +[1-9][0-9]*% of 1 GiB, [0-9.]+ [KMG]iB/s, 0:[0-9]+ left' "progress"
assert_matches "$(grep block-commit log)" '"device": "disk".*"top-node": "disk".*"base-node": "base".*"job-id": "commit0".*"speed": 10485760' "the command"
assert_status 1 '^blockgraphctl commit: disk: job commit0: No space left on device$' "$ctl" commit -s broken disk
assert_status 1 'base: there is nothing below it' "$ctl" commit -s fake base

note "--detach returns at once, and jobs lists"
assert_equal "$("$ctl" commit -s fake --detach disk)" commit0 "id of the job"
assert_matches "$("$ctl" jobs -s fake)" $'^ID.*\ncommit0 +commit +running +[0-9]+% of 1 GiB +1 MiB/s' "list"
assert_equal "$("$ctl" jobs -s fake --json | python3 -c 'import json, sys; print([job["speed"] for job in json.load(sys.stdin)])')" "[1048576]" "JSON"
"$ctl" jobs -s fake pause commit0
assert_matches "$(tail -1 log)" '^job-pause \{"id": "commit0"\}' "the command"
