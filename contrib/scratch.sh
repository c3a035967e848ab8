# shellcheck shell=bash
# For scripts that mount and start things: a scratch directory, processes and mounts that are gone when the script ends, waiting
# with a bound. Source it after setting BLOCKGRAPHFS and `set -euo pipefail`, define `fail MESSAGE…`, which ends the script, and call
# begin_scratch.

declare -A daemon_of=() # mount point → process
own_processes=()
own_loops=()
own_mounts=() # other than blockgraphfs's
declare -A own_settings=() # file under /sys → what it said before
own_scratch=
scratch_parent=    # where a scratch directory is made; empty: in memory, if that can be
poll_interval=0.05 # seconds

# ── scratch directory and cleaning up ──

# Ends a process this script started: first kindly, then not.
end_process() {
  local pid=$1
  [[ -n $pid ]] || return 0
  process_runs "$pid" || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  if ! poll 3 process_gone "$pid"; then
    kill -KILL "$pid" 2>/dev/null || true
    poll 3 process_gone "$pid" || true
  fi
}

cleanup() {
  local status=$? mountpoint pid loop setting
  trap - ERR
  set +e
  cd "$scratch" || return
  for mountpoint in "${own_mounts[@]}"; do umount -l "$mountpoint" 2>/dev/null; done
  for loop in "${own_loops[@]}"; do losetup -d "$loop" 2>/dev/null; done
  for pid in "${own_processes[@]}"; do end_process "$pid"; done
  for mountpoint in "${!daemon_of[@]}"; do
    if is_mounted "$mountpoint"; then
      umount -l "$mountpoint" 2>/dev/null || fusermount3 -uz "$mountpoint" 2>/dev/null
    fi
    end_process "${daemon_of[$mountpoint]}"
  done
  for setting in "${!own_settings[@]}"; do echo "${own_settings[$setting]}" >"$setting"; done
  cd /
  [[ -n $own_scratch ]] && rm -rf --one-file-system "$own_scratch"
  exit "$status"
}

make_scratch() {
  local parent=${scratch_parent:-${TMPDIR:-/tmp}}
  if [[ -z $scratch_parent && -w /dev/shm ]]; then
    parent=/dev/shm
  fi
  own_scratch=$(mktemp -d "$parent/blockgraphfs-${0##*/}.XXXXXX")
  chmod 755 "$own_scratch"
  scratch=$own_scratch
}

# begin_scratch [DIRECTORY]: goes into that directory, or into one of its own that is removed at the end, and from then on cleans
# up when the script ends.
begin_scratch() {
  scratch=${1:-}
  [[ -n $scratch ]] || make_scratch
  trap cleanup EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT
  cd "$scratch" || return
}

# change_setting FILE VALUE: until the script ends. Fails where it cannot be changed.
change_setting() {
  local before
  before=$(<"$1") && { echo "$2" >"$1"; } 2>/dev/null || return 1
  own_settings[$1]=${own_settings[$1]:-$before}
}

# ── waiting ──

# poll SECONDS COMMAND…: until the command succeeds; fails after that time.
poll() {
  local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
  shift
  until "$@" >/dev/null 2>&1; do
    ((${EPOCHREALTIME/./} < deadline)) || return 1
    sleep "$poll_interval"
  done
}

# wait_for SECONDS WHAT COMMAND…: the same, and fails naming WHAT.
wait_for() {
  local seconds=$1 what=$2
  shift 2
  poll "$seconds" "$@" || fail "after $seconds s still not: $what"
}

process_runs() {
  local state
  { read -r state <"/proc/$1/stat"; } 2>/dev/null && [[ ${state##*) } != [ZX]* ]]
}

process_gone() {
  ! process_runs "$1"
}

# ── mounts ──

is_mounted() {
  # Not realpath: an ordinary user's mount does not let root in.
  local path=$1
  [[ $path == /* ]] || path=$PWD/$path
  grep -qF " $path " /proc/self/mountinfo
}

# mount_graph MOUNTPOINT ARGUMENT…: runs `blockgraphfs -f ARGUMENT… MOUNTPOINT` and waits until it serves. Its log goes to
# MOUNTPOINT.log; $daemon is its process. The array `runner` holds what it is run through: runner=("${user_runner[@]}"). What
# E2E_OPTIONS holds comes first, so that a test can be run in other modes: E2E_OPTIONS=-ocache=none.
runner=()
mount_graph() {
  local mountpoint=$1
  shift
  mkdir -p "$mountpoint"
  # The daemon must not inherit what the test holds open: files of a mount, the input of a process.
  "${runner[@]}" "$BLOCKGRAPHFS" -f ${E2E_OPTIONS:+"$E2E_OPTIONS"} "$@" "$mountpoint" </dev/null >"$mountpoint.log" 2>&1 7>&- 8>&- 9>&- &
  daemon=$!
  daemon_of[$mountpoint]=$daemon
  if ! poll 20 mounted_or_ended "$mountpoint" "$daemon" || ! is_mounted "$mountpoint"; then
    cat "$mountpoint.log" >&2
    fail "mounting $* did not work"
  fi
}

mounted_or_ended() {
  is_mounted "$1" || process_gone "$2"
}

# unmount MOUNTPOINT: unmounts what mount_graph mounted, waits for the daemon; it must have ended with 0.
unmount() {
  local mountpoint=$1 pid=${daemon_of[$1]} status=0
  if (($(id -u) == 0 && ${#runner[@]} == 0)); then
    umount "$mountpoint" || fail "cannot unmount $mountpoint"
  else
    "${runner[@]}" fusermount3 -u "$mountpoint" || fail "cannot unmount $mountpoint"
  fi
  wait_for 30 "the daemon of $mountpoint ends" process_gone "$pid"
  wait "$pid" || status=$?
  unset "daemon_of[$mountpoint]"
  if ((status != 0)); then
    cat "$mountpoint.log" >&2
    fail "the daemon of $mountpoint ended with $status"
  fi
}

# background COMMAND…: runs it, registers it for cleaning up; its process is $!.
background() {
  "$@" &
  own_processes+=("$!")
}

# ── making content ──

# random_bytes COUNT SEED: pseudo-random bytes, the same for the same seed.
random_bytes() {
  openssl enc -aes-128-ctr -nosalt -K "$(printf '%032x' "$2")" -iv 00000000000000000000000000000000 \
    </dev/zero 2>/dev/null | head -c "$1" || true
}

# ── an ordinary user ──

# shellcheck disable=SC2034 # for those who source this
user_id=65534
user_runner=(setpriv "--reuid=$user_id" "--regid=$user_id" --clear-groups --)

as_user() {
  "${user_runner[@]}" "$@"
}

# open_fuse_to_everybody DIRECTORY: as Debian ships it, /dev/fuse can be opened by everybody; here too from now on, in this mount
# namespace, which must be the script's own. BLOCKGRAPHFS becomes a copy that everybody may run. Fails, saying why, if it cannot.
open_fuse_to_everybody() {
  mkdir -p "$1"
  mount -t tmpfs -o mode=755 tmpfs "$1" 2>/dev/null || { echo "tmpfs cannot be mounted" && return 1; }
  own_mounts+=("$1")
  mknod -m 666 "$1/fuse" c 10 229 2>/dev/null || { echo "device nodes cannot be made" && return 1; }
  mount --bind "$1/fuse" /dev/fuse || return 1
  install -m 755 "$BLOCKGRAPHFS" "$1/blockgraphfs" || return 1
  BLOCKGRAPHFS=$1/blockgraphfs
  { as_user sh -c ': <>/dev/fuse'; } 2>/dev/null || { echo "uid $user_id cannot open /dev/fuse" && return 1; }
}
