#!/bin/bash
# Graphs on NBD servers, changed over the control socket: the management tool's commit; a server that comes back writable; one that does not
# answer, while everything else changes.
. "$(dirname "$0")/lib.sh"
. "$e2e_dir/qmp-lib.sh"
. "$e2e_dir/story-lib.sh"
need_fuse
need_tools qemu-img qemu-io qemu-storage-daemon nbdkit python3
grep -qw nbd <<<"$("$BLOCKGRAPHFS" --list-drivers)" || skip "built without libnbd"
ctl=${BLOCKGRAPHFS%/*}/blockgraphctl
socket=$PWD/socket

# serve SOCKET COMMAND…: starts a server and waits until it listens; its process is $server.
serve() {
  local listens=$1
  shift
  rm -f "$listens"
  "$@" >>server.log 2>&1 7>&- 8>&- &
  server=$!
  own_processes+=("$server")
  wait_for 20 "the server listens ($*)" test -S "$listens"
  chmod 777 "$listens" # whoever can connect may read through the mount, too
}

end_server() {
  kill -KILL "$server"
  wait "$server" 2>/dev/null || true
}

nbd_options() {
  printf '"driver":"nbd","server":{"type":"unix","path":"%s"},"export":"%s"' "$PWD/$1" "$2"
}

close_client() {
  local input=${client[1]}
  exec {input}>&-
}

# end_daemon: over the socket.
end_daemon() {
  qmp_ok quit
  wait_for 20 "the daemon ends" process_gone "$daemon"
  wait "$daemon" || fail "the daemon ended with $?: $(cat mnt.log)"
  unset "daemon_of[mnt]"
  close_client
}

note "a commit in the middle of a chain whose five levels are on a server"
storage() {
  nbd_options s "$1"
}
storage_is_read_only() {
  [[ $(attribute mnt/p-l0 open-mode) == read-only ]]
}
make_chain
exports=()
for name in l0 l1 l2 l3 l4; do
  exports+=(--blockdev "driver=file,node-name=$name,filename=$name" --export "type=nbd,id=e$name,node-name=$name,name=$name,writable=on")
done
serve s qemu-storage-daemon --nbd-server "addr.type=unix,addr.path=s,max-connections=0" "${exports[@]}"
mount_graph mnt --qmp "unix:$socket" --blockdev driver=null-co,node-name=nil,size=512,read-only=on
connect_client
digest l1 l2 l3 l4 >others
add_chain
others_are_read_only() {
  local name
  for name in l1 l2 l3; do
    assert_equal "$(attribute "mnt/p-$name" open-mode)" read-only "open mode of p-$name"
  done
}
others_are_read_only
commit_the_middle others_are_read_only
printf new | dd of=mnt/l4 bs=1 seek=7M conv=notrunc status=none
printf new | dd of=before bs=1 seek=7M conv=notrunc status=none
cmp before mnt/l4
end_daemon
kill "$server"
wait "$server" || true
assert_matches "$(qemu-img info -U --output=json l3 2>&1 || true)" '\"backing-filename\": \"nbd\+unix:[^\"]*l0' "what the image above records"
qemu-img rebase -q -u -b l0 -F qcow2 l3
for name in l0 l3 l4; do qemu-img check -q "$name" || fail "$name is not sound"; done
qemu-img convert -O raw l4 after
assert_same after before

note "a read-only server: 444, EROFS with the reason; it comes back writable, the node is reopened: 644"
truncate -s 4M disk.raw local.raw
qemu-img create -q -f qcow2 disk.qcow2 4M
serve s nbdkit -f -r -U "$PWD/s" file disk.raw
far="$(nbd_options s "" | sed 's/,"export":""//'),\"node-name\":\"far\",\"auto-read-only\":true"
mount_graph mnt --qmp "unix:$socket" --blockdev driver=file,node-name=near,filename=local.raw,auto-read-only=on
connect_client
qmp_ok "blockdev-add {$far}"
assert_mode mnt/far 444 5
assert_open_fails "Read-only file system" mnt/far
assert_equal "$(attribute mnt/far write-state)" unwritable state
assert_matches "$(attribute mnt/far reason)" "NBD server 'nbd\+unix.*/s' exports it read-only" reason
wait_for 5 "the refusal is logged with the server's name" grep -q "far.*NBD server.*exports it read-only" mnt.log
qmp_fails "exports it read-only" 'blockdev-add {"driver":"nbd","node-name":"pinned","server":{"type":"unix","path":"'"$PWD/s"'"}}'
end_server
serve s nbdkit -f -U "$PWD/s" file disk.raw
qmp_ok "blockdev-reopen {\"options\":[{$far}]}"
assert_mode mnt/far 644 1
printf written | dd of=mnt/far conv=notrunc,fsync status=none
assert_equal "$(head -c 7 disk.raw)" written "what reached the server"

note "a server that does not answer: everything else changes on"
qmp_ok "blockdev-add {\"driver\":\"raw\",\"node-name\":\"top\",\"file\":\"far\",\"auto-read-only\":true}"
exec 7<>mnt/top
printf waits >&7
kill -STOP "$server"
dd if=mnt/far of=/dev/null iflag=direct bs=64k status=none 2>/dev/null 7>&- &
reader=$!
own_processes+=("$reader")
sleep 0.3
process_runs $reader || fail "the reader does not wait"

# quickly COMMAND…: it takes less than a second.
quickly() {
  local begin=${EPOCHREALTIME/./} took
  "$@"
  took=$((${EPOCHREALTIME/./} - begin))
  ((took < 1000000)) || fail "$* took $((took / 1000)) ms while a server did not answer"
}
# done_or_busy REQUEST
done_or_busy() {
  qmp "$1" || [[ $answer == *busy* || $answer == *"in use"* ]] || fail "$1: $answer"
}
disk='"driver":"qcow2","node-name":"disk","file":"p-disk"'
quickly qmp_ok "blockdev-add {\"driver\":\"file\",\"node-name\":\"p-disk\",\"filename\":\"$PWD/disk.qcow2\",\"auto-read-only\":true}"
quickly qmp_ok "blockdev-add {$disk,\"auto-read-only\":true}"
quickly dd if=/dev/zero of=mnt/disk bs=64k count=4 conv=notrunc,fsync status=none
quickly qmp_ok 'blockdev-snapshot-internal-sync {"device":"disk","name":"kept"}'
quickly test -e mnt/disk@kept
quickly qmp_ok 'blockdev-snapshot-delete-internal-sync {"device":"disk","name":"kept"}'
quickly qmp_ok "blockdev-reopen {\"options\":[{$disk,\"read-only\":true}]}"
quickly assert_mode mnt/disk 444
quickly qmp_ok 'blockdev-del {"node-name":"disk"}'
quickly qmp_ok query-named-block-nodes
quickly ls -l mnt >/dev/null
quickly sh -c ': <mnt/near; : >>mnt/near; : <mnt/far'
note "also while somebody waits for the server with a change"
"$ctl" reopen mnt node-name=far,detect-zeroes=on 2>reopen.log 7>&- &
reopen=$!
"$ctl" add mnt "driver=nbd,node-name=third,server.type=unix,server.path=$PWD/s,auto-read-only=on" 2>add.log 7>&- &
add=$!
own_processes+=("$reopen" "$add")
sleep 0.5
process_runs $reopen || fail "the reopen does not wait: $(<reopen.log)"
process_runs $add || fail "the addition does not wait: $(<add.log)"
quickly qmp_ok 'blockdev-add {"driver":"null-co","node-name":"new","size":1048576,"read-only":true}'
quickly test -e mnt/new
quickly qmp_ok 'blockdev-del {"node-name":"new"}'
quickly cmp -n 4096 mnt/near /dev/zero
status=0
wait $reopen || status=$?
assert_equal $status 1 "status of the reopen"
assert_matches "$(<reopen.log)" "far': NBD server '.*' does not answer" "what reopen says"
wait $add || status=$?
assert_equal $status 1 "status of the addition"
assert_matches "$(<add.log)" "NBD server '.*' does not answer" "what add says"
kill -KILL $reader
wait_for 5 "the reader is gone" process_gone $reader

note "unmounting ends, says that data was lost, and for which node"
exec 7>&-
assert_ends() { # SECONDS STATUS PATTERN COMMAND…
  local begin=$SECONDS status=0 said
  said=$(timeout 60 "${@:4}" 2>&1) || status=$?
  assert_equal $status "$2" "status of ${*:4}"
  assert_matches "$said" "$3" "what ${*:4} says"
  ((SECONDS - begin <= $1)) || fail "${*:4} took $((SECONDS - begin)) s"
}
assert_ends 25 1 'unmounted, but not all data could be written' "$ctl" unmount mnt
wait_for 5 "the daemon has ended" process_gone "$daemon"
wait "$daemon" && fail "the daemon's exit status tells nothing"
assert_matches "$(<mnt.log)" "data may be lost: node '(top|far)'" "the log"
unset "daemon_of[mnt]"
close_client

note "where nothing was to be written it ends well"
kill -CONT "$server"
mount_graph mnt --blockdev "driver=nbd,node-name=far,server.type=unix,server.path=$PWD/s,auto-read-only=on"
head -c 4096 mnt/far >/dev/null
kill -STOP "$server"
assert_ends 25 0 '^$' "$BLOCKGRAPHFS" unmount mnt
wait_for 5 "the daemon has ended" process_gone "$daemon"
unset "daemon_of[mnt]"
kill -CONT "$server"
end_server
