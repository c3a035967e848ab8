#!/bin/bash
# The control socket: access, protocol, nodes that come and go while the graph is mounted.
. "$(dirname "$0")/lib.sh"
. "$e2e_dir/qmp-lib.sh"
need_fuse
need_tools qemu-img qemu-io python3 fio
socket=$PWD/socket

event_came() {
  grep -q -- "$1" events
}

note "the socket is its owner's alone, refuses a second daemon, replaces a dead one's, and goes with the mount"
qemu-img create -q -f qcow2 disk.qcow2 8M
mkdir second
mount_graph mnt --qmp "unix:$socket,server=on,wait=off" disk.qcow2
assert_equal "$(stat -c %a "$socket")" 600 "mode of the socket"
assert_fails "in use by another process" "$BLOCKGRAPHFS" --qmp "unix:$socket" disk.qcow2 second
unmount mnt
[[ ! -e $socket ]] || fail "the socket is still there"
mount_graph mnt --qmp "unix:$socket" disk.qcow2
kill -KILL "$daemon"
wait_for 10 "the daemon is dead" process_gone "$daemon"
umount -l mnt 2>/dev/null || fusermount3 -uz mnt
unset "daemon_of[mnt]"
[[ -S $socket ]] || fail "a killed daemon took its socket along"
mount_graph mnt --qmp unix:socket disk.qcow2
if (($(id -u) == 0)) && as_user perl -MIO::Socket::UNIX -e 0; then
  chmod 711 .
  chmod 777 "$socket"
  # shellcheck disable=SC2016 # a program in Perl
  said=$(as_user perl -MIO::Socket::UNIX -e 'print IO::Socket::UNIX->new($ARGV[0])->getline' "$socket") || fail "cannot connect"
  assert_matches "$said" "Only root and the user who runs this" "what another user hears"
fi
assert_fails "names no socket" "$BLOCKGRAPHFS" --qmp tcp:localhost:1 disk.qcow2 second
assert_fails "exists and is no socket" "$BLOCKGRAPHFS" --qmp unix:disk.qcow2 disk.qcow2 second

note "clients that behave badly get errors or are hung up on"
timeout 120 python3 "$e2e_dir/qmp-abuse.py" "$socket"
process_runs "$daemon" || fail "the daemon is gone"

connect_client
note "a new node is a file at once, a deleted one vanishes at once"
truncate -s 4M a.raw
printf first | dd of=a.raw conv=notrunc status=none
for _ in 1 2 3; do
  qmp_ok "blockdev-add {\"driver\":\"file\",\"node-name\":\"a\",\"filename\":\"$PWD/a.raw\",\"auto-read-only\":true}"
  assert_equal "$(head -c 5 mnt/a)" first "content of the new file"
  qmp_ok 'blockdev-add {"driver":"raw","node-name":"r","file":"a","auto-read-only":true}'
  assert_mode mnt/r 644
  qmp_fails "Block device a is in use.*'r'" 'blockdev-del {"node-name":"a"}'
  qmp_ok 'blockdev-del {"node-name":"r"}'
  [[ ! -e mnt/r ]] || fail "mnt/r is still there"
  exec 7<mnt/a
  qmp_fails "Block device a is in use.*file 'a'" 'blockdev-del {"node-name":"a"}'
  exec 7<&-
  qmp_ok 'blockdev-del {"node-name":"a"}'
  [[ ! -e mnt/a ]] || fail "mnt/a is still there"
done
event_came '"BLOCKGRAPH_NODE_ADDED", "data": {"node-name": "r"' || fail "no event of the new node: $(cat events)"

note "a name that is used again shows the new node, never pages of the old one"
for byte in x y z; do
  head -c 65536 /dev/zero | tr '\0' "$byte" >"$byte.raw"
  qmp_ok "blockdev-add {\"driver\":\"file\",\"node-name\":\"again\",\"filename\":\"$PWD/$byte.raw\",\"read-only\":true}"
  cmp mnt/again "$byte.raw" || fail "another node's bytes"
  qmp_ok 'blockdev-del {"node-name":"again"}'
done

note "what lies inside the own mount is refused"
qmp_fails "lies inside the mountpoint" "blockdev-add {\"driver\":\"file\",\"node-name\":\"x\",\"filename\":\"$PWD/mnt/disk\"}"

note "an empty reopen does nothing; one of five nodes of which the last fails leaves all five as they were"
qmp_ok 'blockdev-reopen {"options":[]}'
for i in 1 2 3 4 5; do
  truncate -s 1M "$i.raw"
  qmp_ok "blockdev-add {\"driver\":\"raw\",\"node-name\":\"n$i\",\"auto-read-only\":true,\"file\":{\"driver\":\"file\",\"filename\":\"$PWD/$i.raw\"}}"
done
# The facts of a driver are left out while its node is being looked at.
whole_graph() {
  qmp_ok query-blockgraph
  sed -E 's/"info": \{[^}]*\}//g' <<<"$answer"
}
before=$(whole_graph)
options=
for i in 1 2 3 4; do
  options+="{\"driver\":\"raw\",\"node-name\":\"n$i\",\"read-only\":true,\"detect-zeroes\":\"on\"},"
done
qmp_fails "no node 'missing'|missing" "blockdev-reopen {\"options\":[$options{\"driver\":\"raw\",\"node-name\":\"n5\",\"file\":\"missing\"}]}"
qmp_fails "offset|size" "blockdev-reopen {\"options\":[$options{\"driver\":\"raw\",\"node-name\":\"n5\",\"offset\":512}]}"
assert_equal "$(whole_graph)" "$before" "the graph after failed reopens"
assert_mode mnt/n1 644
qmp_ok "blockdev-reopen {\"options\":[$options{\"driver\":\"raw\",\"node-name\":\"n5\",\"read-only\":true}]}"
for i in 1 2 3 4 5; do assert_mode "mnt/n$i" 444; done

note "two nodes swap their files in one reopen; a cycle is refused"
printf one >1.raw
printf two >2.raw
qmp_ok 'blockdev-reopen {"options":[{"driver":"raw","node-name":"n1","file":"n2.file"},{"driver":"raw","node-name":"n2","file":"n1.file"}]}'
assert_equal "$(cat mnt/n1)$(cat mnt/n2)" twoone "content after the swap"
qmp_fails "cycle|child|loop|itself" 'blockdev-reopen {"options":[{"driver":"raw","node-name":"n1","file":"n1"}]}'

note "a child whose options are written inline is reopened with its parent; it keeps its name"
qmp_ok 'blockdev-reopen {"options":[{"driver":"raw","node-name":"n3","read-only":true,"file":{"driver":"file","filename":"'"$PWD"'/3.raw","node-name":"n3.file","detect-zeroes":"on"}}]}'
qmp_ok query-blockgraph
assert_matches "$answer" '"detect-zeroes": "on"' "the child's options"
qmp_fails "node-name" 'blockdev-reopen {"options":[{"driver":"raw","node-name":"n3","file":{"driver":"file","filename":"'"$PWD"'/3.raw","node-name":"other"}}]}'
qmp_fails "filename" 'blockdev-reopen {"options":[{"driver":"raw","node-name":"n3","file":{"driver":"file","filename":"'"$PWD"'/4.raw"}}]}'

note "graph changes under fio with verification: no error, each is done or refused within a second"
qmp_ok "blockdev-add {\"driver\":\"file\",\"node-name\":\"other\",\"filename\":\"$PWD/3.raw\",\"read-only\":true}"
background fio --name=verify --filename=mnt/disk --rw=randrw --bs=4k --size=8M --verify=crc32c --verify_fatal=1 --time_based --runtime=3 \
  --ioengine=psync --numjobs=1 --output=fio.log
fio=$!
changes=0
while process_runs "$fio"; do
  begin=${EPOCHREALTIME/./}
  qmp "blockdev-reopen {\"options\":[{\"driver\":\"qcow2\",\"node-name\":\"disk\",\"auto-read-only\":true,\"discard\":\"unmap\",\"detect-zeroes\":\"$((changes % 2 ? 0 : 1))\"}]}" \
    'blockdev-reopen {"options":[{"driver":"qcow2","node-name":"disk","auto-read-only":true,"discard":"unmap"}]}' \
    "blockdev-add {\"driver\":\"file\",\"node-name\":\"t\",\"filename\":\"$PWD/4.raw\",\"read-only\":true}" 'blockdev-del {"node-name":"t"}' || true
  took=$((${EPOCHREALTIME/./} - begin))
  ((took < 4000000)) || sanitized || fail "four changes took $took µs"
  changes=$((changes + 1))
done
wait "$fio" || fail "fio: $(cat fio.log)"
((changes > 3)) || sanitized || fail "only $changes changes"

note "quit ends the mount"
qmp_ok quit
wait_for 20 "the daemon ends" process_gone "$daemon"
wait "$daemon" || fail "the daemon ended with $?: $(cat mnt.log)"
unset "daemon_of[mnt]"
! is_mounted mnt || fail "still mounted"
[[ ! -e $socket ]] || fail "the socket is still there"
qemu-img check -q disk.qcow2
