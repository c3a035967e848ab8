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
"$ctl" commit -s fake disk >out 2>err
[[ ! -s out && ! -s err ]] || fail "without a terminal nothing is printed: $(cat out err)"
assert_equal "$("$ctl" commit -s fake --json disk | tr -d ' \n')" '{"id":"commit0","type":"commit","status":"concluded"}' "JSON"
assert_status 1 '^blockgraphctl commit: disk: job commit0: No space left on device$' "$ctl" commit -s broken disk
assert_status 1 'base: there is nothing below it' "$ctl" commit -s fake base

note "--detach returns at once; jobs lists; an interrupt cancels"
assert_equal "$("$ctl" commit -s fake --detach disk)" commit0 "id of the job"
assert_matches "$("$ctl" jobs -s fake)" $'^ID.*\ncommit0 +commit +running +[0-9]+% of 1 GiB +1 MiB/s' "list"
assert_equal "$("$ctl" jobs -s fake --json | python3 -c 'import json, sys; print([job["speed"] for job in json.load(sys.stdin)])')" "[1048576]" "JSON"
"$ctl" commit -s fake disk >out 2>err &
committer=$!
own_processes+=("$committer")
wait_for 20 "the second job runs" grep -q '"job-id": "commit1"' log
kill -INT "$committer"
status=0
wait "$committer" || status=$?
assert_equal "$status" 1 "status of an interrupted commit"
assert_equal "$(cat err)" $'commit1: cancelling\nblockgraphctl commit: disk: job commit1: cancelled' "what it says"
"$ctl" jobs -s fake pause commit0
assert_matches "$(tail -1 log)" '^job-pause \{"id": "commit0"\}' "the command"
