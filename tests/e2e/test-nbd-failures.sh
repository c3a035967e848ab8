#!/bin/bash
# NBD servers that die and servers that hang. One that dies in the middle of writes is reconnected, and nothing acknowledged is lost; one that
# hangs stalls what stands on it and nothing else, its callers can be killed, and unmounting ends.
# KILLS is how many times a server is killed (default 12).
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools nbdkit qemu-nbd qemu-img openssl fio
grep -qw nbd <<<"$("$BLOCKGRAPHFS" --list-drivers)" || skip "built without libnbd"
kills=${KILLS:-12}

start_server() {
  rm -f s
  "${server_command[@]}" >>server.log 2>&1 7>&- &
  server=$!
  own_processes+=("$server")
  wait_for 20 "the server listens" test -S s
}

kill_server() {
  kill -KILL "$server"
  wait "$server" 2>/dev/null || true
}

nbd_uri="nbd+unix:///disk?socket=$PWD/s"
random_bytes $((8 << 20)) 41 >some.raw
random_bytes $((8 << 20)) 42 >other.raw

# kill_rounds KILLS: writes the disk over and over, in turn with two contents, while the server is killed and started again.
kill_rounds() {
  local done=0 round=0 data
  mount_graph mnt "$nbd_uri&reconnect-delay=60"
  while ((done < $1)); do
    round=$((round + 1)) data=some.raw
    ((round % 2)) || data=other.raw
    timeout 200 dd if=$data of=mnt/disk bs=32k oflag=direct conv=notrunc status=none &
    writer=$!
    while process_runs $writer && ((done < $1)); do
      sleep "0.0$((RANDOM % 8))"
      kill_server
      start_server
      done=$((done + 1))
    done
    wait $writer || fail "writing failed after $done kills"
    timeout 60 cmp -n $((8 << 20)) $data mnt/disk >&2 || fail "an acknowledged write was lost after $done kills"
  done
  unmount mnt
}

note "a server that dies in the middle of writes: nbdkit on a file"
truncate -s 8M disk.raw
server_command=(nbdkit -f -U "$PWD/s" file disk.raw)
start_server
kill_rounds $((kills / 2))
kill_server
cmp -n $((8 << 20)) disk.raw some.raw >/dev/null || assert_same disk.raw other.raw

note "the same, with a server that forgets what it did not flush: qemu-nbd on qcow2"
qemu-img create -q -f qcow2 image.qcow2 8M
server_command=(qemu-nbd -t -e 8 -f qcow2 -k "$PWD/s" -x disk image.qcow2)
start_server
kill_rounds $((kills - kills / 2))
kill "$server"
wait "$server" || true
qemu-img convert -f qcow2 -O raw image.qcow2 content.raw
cmp -n $((8 << 20)) content.raw some.raw >/dev/null || assert_same content.raw other.raw

note "without a delay, requests fail and fsync tells the loss, but the mount goes on"
server_command=(nbdkit -f -U "$PWD/s" file disk.raw)
start_server
mount_graph mnt "$nbd_uri"
exec 7<>mnt/disk
head -c 4096 some.raw >&7
kill_server
assert_fails "Input/output error" dd if=mnt/disk of=copy.raw iflag=direct bs=64k count=1 status=none
start_server
read_again() {
  dd if=mnt/disk of=copy.raw iflag=direct bs=64k count=1 status=none
}
wait_for 20 "the server is connected again" read_again
assert_fails "Input/output error" sync mnt/disk
exec 7>&-
umount mnt
wait_for 30 "the daemon ends" process_gone "$daemon"
status=0
wait "$daemon" || status=$?
assert_equal $status 1 "exit status after a loss"
unset "daemon_of[mnt]"

note "fio with verification"
mount_graph mnt "$nbd_uri&reconnect-delay=30"
fio --name=v --filename=mnt/disk --rw=randrw --bs=4k --size=4M --iodepth=16 --ioengine=libaio --direct=1 --verify=crc32c \
  --io_size=8M --output=fio.log || fail "$(<fio.log)"
unmount mnt
kill_server

note "a server that hangs: everything else goes on"
truncate -s 4M local.raw
start_server
mount_graph mnt --blockdev "driver=nbd,node-name=far,server.type=unix,server.path=$PWD/s,auto-read-only=on" \
  --blockdev "driver=raw,node-name=top,file=far,auto-read-only=on" \
  --blockdev driver=file,node-name=near,filename=local.raw,auto-read-only=on
exec 7<>mnt/far
head -c 4096 some.raw >&7
kill -STOP "$server"
dd if=mnt/far of=copy.raw iflag=direct bs=1M status=none 2>read.log &
reader=$!
for ((i = 0; i < 20; i++)); do
  dd if=mnt/far of=/dev/null iflag=direct bs=4k skip=$i count=1 status=none 2>/dev/null &
  own_processes+=("$!")
done
sleep 0.5
process_runs $reader || fail "the reader does not wait"
begin=${EPOCHREALTIME/./}
timeout 5 ls -l mnt >/dev/null || fail "ls hangs"
timeout 5 cat mnt/.graph/nodes.json mnt/.graph/tree.txt >/dev/null || fail ".graph hangs"
timeout 5 dd if=some.raw of=mnt/near bs=1M count=4 conv=notrunc,fsync status=none || fail "the other node hangs"
timeout 5 cmp -n $((4 << 20)) mnt/near some.raw || fail "the other node is wrong"
timeout 5 sh -c ': <mnt/top' || fail "opening and closing hangs"
(((${EPOCHREALTIME/./} - begin) < 4000000)) || fail "what does not wait for the server took $((${EPOCHREALTIME/./} - begin)) µs"
near_is_read_only() {
  [[ $(attribute mnt/near open-mode) == read-only ]]
}
wait_for 10 "the other node is read-only again" near_is_read_only
note "its callers can be killed"
kill -KILL $reader
wait_for 5 "the reader is gone" process_gone $reader
dd if=some.raw of=mnt/far oflag=direct bs=64k count=4 conv=notrunc status=none 2>/dev/null &
writer=$!
sleep 0.3
kill -INT $writer || true
kill -TERM $writer
wait_for 5 "the writer is gone" process_gone $writer
note "it goes on when the server does"
kill -CONT "$server"
wait_for 20 "reads work again" timeout 5 dd if=mnt/far of=/dev/null iflag=direct bs=64k count=1 status=none
exec 7>&-

note "unmounting ends, with status 1, and says for which node"
exec 7<>mnt/far
head -c 4096 other.raw >&7
kill -STOP "$server"
exec 7>&-
dd if=mnt/far of=/dev/null iflag=direct bs=64k count=1 status=none 2>/dev/null &
reader=$!
sleep 0.3
begin=$SECONDS
kill -TERM "$daemon"
wait_for 40 "the daemon ends" process_gone "$daemon"
status=0
wait "$daemon" || status=$?
assert_equal $status 1 "exit status"
((SECONDS - begin < 30)) || fail "unmounting took $((SECONDS - begin)) s"
assert_matches "$(<mnt.log)" "node 'far'" "the log"
unset "daemon_of[mnt]"
wait_for 5 "the reader got its answer" process_gone $reader
kill_server
