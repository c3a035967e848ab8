#!/bin/bash
# Malformed qcow2 images, each field and each kind of table entry: each has the one outcome that is foreseen for it; every command and a
# mount end soon and in little memory, with one clear line or an I/O error, never with a crash; what is refused is left as it was.
# KINDS (a regular expression) picks some of them; those that the list of tests/malformed/make names are all tried otherwise.
. "$(dirname "$0")/lib.sh"
need_fuse
maker=$helpers/../malformed/make
[[ -x $maker ]] || skip "the helper malformed/make is not built (make build-tests)"
[[ -x /usr/bin/time ]] || skip "GNU time is not installed"

memory=65536 # KiB
mkdir images mnt
tried=0 refused=0 with_eio=0
failures=()

# Reports what is wrong with the kind at hand; the other kinds are still tried.
wrong() {
  printf '  %s: %s\n' "$kind" "$*" >&2
  failures+=("$kind")
}

# Sets `idle`: microseconds in which no process of this machine waited for a processor, as far as the kernel tells; else all that passed.
look_at_idle_time() {
  local total=total=0
  [[ ! -r /proc/pressure/cpu ]] || read -r _ _ _ _ total </proc/pressure/cpu
  idle=$((${EPOCHREALTIME/./} - ${total#total=}))
}

# run WHAT COMMAND…: within 2 s and 64 MiB; sets `status`, leaves what it says in out and err. Bounded are processor time, and the time
# on the clock in which nobody had to wait for a processor: other tests may run beside this one.
run() {
  local what=$1 user system kilobytes began
  shift
  status=0
  look_at_idle_time
  began=$idle
  /usr/bin/time -q -o measured -f '%U %S %M' timeout -k 1 20 "$@" </dev/null >out 2>err || status=$?
  ((status < 124)) || wrong "$what ends with status $status: $(tail -n 3 err)"
  ! sanitized || return 0
  look_at_idle_time
  ((idle - began <= 2000000)) || wrong "$what takes more than 2 s"
  read -r user system kilobytes <measured
  ((10#${user/./} + 10#${system/./} <= 200)) || wrong "$what takes $user s and $system s in the kernel"
  ((kilobytes <= memory)) || wrong "$what takes $kilobytes KiB"
}

# one_line WHAT: an error in one line.
one_line() {
  (($(wc -l <err) == 1)) || wrong "$1 does not say why in one line: $(head -n 3 err)"
  [[ ! -s out ]] || wrong "$1 fails and prints something: $(head -n 3 out)"
}

# expect_refusal WHAT: of the last command.
expect_refusal() {
  ((status == 1)) || wrong "$1 ends with $status instead of 1"
  one_line "$1"
  [[ $(cat err) =~ $says ]] || wrong "$1 does not say /$says/: $(cat err)"
}

look() {
  run info "$BLOCKGRAPHFS" info --json --backing-chain images/disk.qcow2
  [[ $outcome != refused ]] || expect_refusal info
  [[ $outcome == refused ]] || ((status == 0)) || wrong "info fails: $(cat err)"
  [[ $outcome != refused && $outcome != locked ]] || return 0
  run map "$BLOCKGRAPHFS" map --json images/disk.qcow2
  ((status <= 1)) || wrong "map ends with $status"
  [[ $outcome != reads ]] || ((status == 0)) || wrong "map fails: $(cat err)"
}

# A check, then mending a copy: whatever it reports then must be what a check sees.
check() {
  local mended
  run check "$BLOCKGRAPHFS" check images/disk.qcow2
  ((status == check)) || wrong "check ends with $status instead of $check: $(tail -n 2 err)"
  ((status != 1)) || return 0
  cp --sparse=always images/disk.qcow2 copy.qcow2
  run "check --repair all" "$BLOCKGRAPHFS" check --repair all copy.qcow2
  mended=$status
  run "the check after mending" "$BLOCKGRAPHFS" check copy.qcow2
  [[ $status == "$mended" || ($mended == 0 && $status == 0) ]] ||
    wrong "check --repair ends with $mended, and a check of its work with $status: $(tail -n 2 err)"
  rm -f copy.qcow2
}

# read_at OFFSET LENGTH: of the mounted disk; sets `eio` where that is what it gives.
read_at() {
  run "reading $2 bytes at $1" dd if=mnt/disk bs=64k iflag=skip_bytes,count_bytes skip="$1" count="$2" of=/dev/null status=none
  ((status != 0)) || return 0
  [[ $(cat err) == *"Input/output error"* ]] || wrong "reading at $1 fails otherwise: $(cat err)"
  eio=1
}

# The disk, sampled from its beginning to its end, then written to: that may fail, but not otherwise than so.
use() {
  local size offset peak ticks eio=0
  size=$(stat -c %s mnt/disk)
  read_at 0 4194304
  for offset in $((size / 2)) $((size > 131072 ? size - 131072 : 0)); do
    read_at "$offset" 131072
  done
  [[ $outcome != eio ]] || ((eio == 1)) || wrong "nothing of it is EIO"
  [[ $outcome != reads ]] || ((eio == 0)) || wrong "some of it is EIO"
  with_eio=$((with_eio + eio))
  run writing dd if=/dev/urandom of=mnt/disk bs=20000 count=1 seek=1 conv=notrunc,fsync status=none
  ((status == 0)) || [[ $(cat err) =~ "Input/output error"|"Read-only"|"No space"|"not permitted"|"not supported" ]] ||
    wrong "writing fails otherwise: $(cat err)"
  run "listing the mount" ls -la mnt mnt/.graph
  ((status == 0)) || wrong "the mount cannot be listed: $(cat err)"
  run "reading its graph" cat mnt/.graph/tree.txt mnt/.graph/nodes.json
  ((status == 0)) || wrong "its graph cannot be read: $(cat err)"
  peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$daemon/status")
  ticks=$(awk '{ print $14 + $15 }' "/proc/$daemon/stat")
  ! sanitized || return 0
  ((peak <= memory)) || wrong "the daemon takes $peak KiB"
  ((ticks <= 4 * $(getconf CLK_TCK))) || wrong "the daemon takes $ticks ticks of processor time for all of this"
}

try_mount() {
  if [[ $outcome == refused || $outcome == locked ]]; then
    run mount "$BLOCKGRAPHFS" -f images/disk.qcow2 mnt
    expect_refusal mount
    ! is_mounted mnt || fail "$kind: something is mounted"
    return
  fi
  mount_graph mnt images/disk.qcow2
  use
  umount mnt
  wait_for 20 "the daemon ends" process_gone "$daemon"
  status=0
  wait "$daemon" || status=$?
  unset 'daemon_of[mnt]'
  ((status <= 1)) || wrong "the daemon ended with $status: $(tail -n 3 mnt.log)"
  [[ $(cat mnt.log) =~ $says || $says == . ]] || wrong "the log does not say /$says/: $(cat mnt.log)"
}

try_kind() {
  local status=0 before
  rm -rf images
  mkdir images
  "$maker" "$kind" images || status=$?
  if ((status == 77)); then
    note "$kind: not on this file system"
    return
  fi
  ((status == 0)) || fail "$kind cannot be made"
  before=$(stat -c '%n %y %s' images/*)
  look
  check
  [[ $(stat -c '%n %y %s' images/*) == "$before" ]] || wrong "looking at it changed a file"
  try_mount
  [[ $outcome != refused || $(stat -c '%n %y %s' images/*) == "$before" ]] || wrong "what is refused was changed"
  tried=$((tried + 1))
  [[ $outcome != refused ]] || refused=$((refused + 1))
}

# Under a sanitizer each takes long: there the fuzz target for qcow2 runs on all of them (tests/fuzz/run), and this on some.
step=1
! sanitized || step=6
number=0
while IFS=$'\t' read -r kind outcome check says <&5; do
  if [[ $kind =~ ${KINDS:-.} ]] && ((number++ % step == 0)); then
    try_kind
  fi
done 5< <("$maker" --list)
note "$tried kinds, $refused of them refused, $with_eio read with EIO"
((${#failures[@]} == 0)) || fail "${#failures[@]} things are wrong"
((tried > 0)) || fail "no kind was tried"
