#!/bin/bash
# kill -9 of the daemon, at any time and at a given write: the image is never corrupt, what was fsynced is there, nothing else
# shows up, and the image can be mounted and written again.
# KILLS is how many there are at random times (default 50), KILL_SEED what the times and the writers begin with; WRITE_KILLS how many
# there are at writes number 1, 2, 3 … (default: 15 between 1 and 86).
. "$(dirname "$0")/lib.sh"
need_fuse
need_root
need_tools qemu-img openssl
need_helper crash-writer

kills=${KILLS:-50}
poll_interval=0.01
seed=${KILL_SEED:-1}
writers=3
size=$((12 << 20))
RANDOM=$seed
rounds=0 operations=0 fsyncs=0
random_bytes $size 21 >base.raw

# make_image OPTIONS [BACKING]: disk.qcow2, and its content in before.raw.
make_image() {
  rm -f disk.qcow2
  if [[ -n ${2:-} ]]; then
    qemu-img create -q -f qcow2 -o "$1" -b base.raw -F raw disk.qcow2 $size
  else
    qemu-img create -q -f qcow2 -o "$1" disk.qcow2 $size
  fi
  qemu-img convert -f qcow2 -O raw disk.qcow2 before.raw
}

start_writers() {
  local i
  writer_pids=()
  for ((i = 0; i < writers; i++)); do
    timeout 60 "$helpers/crash-writer" write mnt/disk "log.$i" $writers "$i" "$seed$rounds" &
    writer_pids+=("$!")
    own_processes+=("$!")
  done
}

# What a daemon that was killed leaves behind: a mount that answers nothing.
forget_daemon() {
  local pid
  wait_for 20 "the killed daemon is gone" process_gone "$daemon"
  wait "$daemon" 2>/dev/null || true
  for pid in "${writer_pids[@]}"; do
    wait "$pid" || fail "a writer failed"
  done
  umount -l mnt || true
  unset "daemon_of[mnt]"
}

judge_round() {
  local i status=0 counts
  qemu-img check -q -f qcow2 disk.qcow2 >check.log 2>&1 || status=$?
  if ((status != 0 && status != 3)); then
    cat check.log >&2
    fail "round $rounds: qemu-img check ends with $status"
  fi
  qemu-img convert -f qcow2 -O raw disk.qcow2 after.raw
  for ((i = 0; i < writers; i++)); do
    counts=$("$helpers/crash-writer" judge after.raw before.raw "log.$i" "$seed$rounds") || fail "round $rounds: writer $i"
    operations=$((operations + ${counts% *})) fsyncs=$((fsyncs + ${counts#* }))
  done
  mv after.raw before.raw
  rounds=$((rounds + 1))
}

# When to kill, in seconds: mostly early, when there is the most to allocate.
moment() {
  local most=100
  ((RANDOM % 4)) || most=400
  printf '0.%03d' $((RANDOM % most))
}

kill_rounds() {
  local i
  for ((i = 0; i < $1; i++)); do
    mount_graph mnt disk.qcow2
    cmp mnt/disk before.raw >&2 || fail "round $rounds: the mount shows something else than qemu-img"
    start_writers
    sleep "$(moment)"
    kill -KILL "$daemon"
    forget_daemon
    judge_round
  done
}

# The last word: a clean life after all that.
write_and_close() {
  mount_graph mnt disk.qcow2
  dd if=base.raw of=mnt/disk bs=1M count=4 conv=notrunc status=none
  cmp -n $((4 << 20)) mnt/disk base.raw >&2 || fail "what was written is not there"
  unmount mnt
}

note "$kills kills at random times"
make_image cluster_size=64k
kill_rounds $((kills / 2))
write_and_close
make_image cluster_size=4k,refcount_bits=64 backing
kill_rounds $((kills - kills / 2))
write_and_close
note "$rounds kills, $operations operations, $fsyncs fsyncs"

if ! command -v strace >/dev/null || ! strace -f -o strace.log true 2>/dev/null; then
  note "strace does not work here: no kills at given writes"
  exit 0
fi
note "kills at given writes"
make_image cluster_size=4k backing
before=$rounds
if [[ -n ${WRITE_KILLS:-} ]]; then
  mapfile -t writes < <(seq "$WRITE_KILLS")
else
  writes=(1 2 3 4 5 7 9 12 16 21 28 37 49 65 86)
fi
for nth in "${writes[@]}"; do
  runner=(strace -f -o strace.log -e "trace=pwrite64,pwritev,pwritev2"
    -e "inject=pwrite64,pwritev,pwritev2:signal=KILL:when=$nth")
  mount_graph mnt disk.qcow2
  runner=()
  start_writers
  wait_for 50 "the daemon meets its write number $nth" process_gone "$daemon"
  forget_daemon
  judge_round
done
write_and_close
note "$((rounds - before)) kills at given writes"
