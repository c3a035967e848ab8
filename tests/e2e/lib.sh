# shellcheck shell=bash
# What every end-to-end test uses. A test sources this first; it gets a scratch directory in $scratch (also the
# current directory), and everything it mounted or started through these functions is gone when it ends.
#
# A test passes by exit 0, is skipped by exit 77, and fails otherwise.

set -eEuo pipefail

e2e_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(cd "$e2e_dir/../.." && pwd)
BLOCKGRAPHFS=${BLOCKGRAPHFS:-$source_dir/build/blockgraphfs}
helpers=${BLOCKGRAPHFS_HELPERS:-${BLOCKGRAPHFS%/*}/tests/e2e}
PATH=$PATH:/usr/sbin:/sbin
LC_ALL=C
export BLOCKGRAPHFS PATH LC_ALL

declare -A daemon_of=() # mount point → process
own_processes=()
own_loops=()
own_mounts=() # other than blockgraphfs's
own_scratch=

# Pipelines fail with any of their parts (pipefail), so never `| grep -q`: it leaves early, and what feeds it
# dies of SIGPIPE.

# ── outcomes ──

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

skip() {
  printf 'skipped: %s\n' "$*"
  exit 77
}

note() {
  printf -- '- %s\n' "$*"
}

report_error() {
  printf 'FAILED: %s:%s: %s (status %s)\n' "${BASH_SOURCE[1]##*/}" "$2" "$3" "$1" >&2
}
trap 'report_error "$?" "$LINENO" "$BASH_COMMAND"' ERR

# ── what a test needs ──

need_tools() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
  done
}

need_root() {
  (($(id -u) == 0)) || skip "needs root"
}

need_fuse() {
  [[ -x $BLOCKGRAPHFS ]] || fail "$BLOCKGRAPHFS is not built"
  { : <>/dev/fuse; } 2>/dev/null || skip "/dev/fuse cannot be opened"
}

need_helper() {
  [[ -x $helpers/$1 ]] || skip "the helper $1 is not built (make build-tests)"
}

# Built with a sanitizer: memory and speed say nothing.
sanitized() {
  [[ $(ldd "$BLOCKGRAPHFS") =~ lib(asan|tsan|ubsan) ]]
}

# ── scratch directory and cleaning up ──

# Ends a process this test started: first kindly, then not.
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
  local status=$? mountpoint pid loop
  trap - ERR
  set +e
  cd "$scratch"
  for mountpoint in "${own_mounts[@]}"; do umount -l "$mountpoint" 2>/dev/null; done
  for loop in "${own_loops[@]}"; do losetup -d "$loop" 2>/dev/null; done
  for pid in "${own_processes[@]}"; do end_process "$pid"; done
  for mountpoint in "${!daemon_of[@]}"; do
    if is_mounted "$mountpoint"; then
      umount -l "$mountpoint" 2>/dev/null || fusermount3 -uz "$mountpoint" 2>/dev/null
    fi
    end_process "${daemon_of[$mountpoint]}"
  done
  cd /
  [[ -n $own_scratch ]] && rm -rf --one-file-system "$own_scratch"
  exit "$status"
}

make_scratch() {
  local parent=${TMPDIR:-/tmp}
  if [[ -w /dev/shm ]]; then
    parent=/dev/shm
  fi
  own_scratch=$(mktemp -d "$parent/blockgraphfs-e2e.XXXXXX")
  chmod 755 "$own_scratch"
  scratch=$own_scratch
}

if [[ -n ${E2E_SCRATCH:-} ]]; then
  scratch=$E2E_SCRATCH
else
  make_scratch
fi
trap cleanup EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
cd "$scratch"

# ── waiting ──

# poll SECONDS COMMAND…: until the command succeeds; fails after that time.
poll() {
  local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
  shift
  until "$@" >/dev/null 2>&1; do
    ((${EPOCHREALTIME/./} < deadline)) || return 1
    sleep 0.05
  done
}

# wait_for SECONDS WHAT COMMAND…: the same, and the test fails naming WHAT.
wait_for() {
  local seconds=$1 what=$2
  shift 2
  poll "$seconds" "$@" || fail "after $seconds s still not: $what"
}

process_runs() {
  local state
  state=$(ps -o stat= -p "$1" 2>/dev/null) && [[ $state != Z* ]]
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
# MOUNTPOINT.log; $daemon is its process. The array `runner` holds what it is run through: runner=("${user_runner[@]}").
runner=()
mount_graph() {
  local mountpoint=$1
  shift
  mkdir -p "$mountpoint"
  # The daemon must not inherit what the test holds open: files of a mount, the input of a process.
  "${runner[@]}" "$BLOCKGRAPHFS" -f "$@" "$mountpoint" </dev/null >"$mountpoint.log" 2>&1 7>&- 8>&- 9>&- &
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

# ── what a daemon has open ──

# file_descriptors PID FILE: the access mode of every descriptor that PID has on FILE, one a line: r, w or rw.
file_descriptors() {
  local link flags identity
  identity=$(stat -L -c %d:%i "$2")
  for link in /proc/"$1"/fd/*; do
    [[ $(stat -L -c %d:%i "$link" 2>/dev/null) == "$identity" ]] || continue
    flags=$(sed -n 's/^flags:[[:space:]]*//p' "/proc/$1/fdinfo/${link##*/}" 2>/dev/null) || continue
    case $((0$flags & 3)) in
      0) echo r ;;
      1) echo w ;;
      2) echo rw ;;
    esac
  done
}

# Has PID any descriptor on FILE that can write?
open_for_writing() {
  [[ $(file_descriptors "$1" "$2") == *w* ]]
}

open_read_only() {
  ! open_for_writing "$1" "$2"
}

# assert_writers PID WRITABLE-FILES -- OTHER-FILES: exactly those files are open for writing.
assert_writers() {
  local pid=$1 file
  shift
  while (($# > 0)) && [[ $1 != -- ]]; do
    open_for_writing "$pid" "$1" || fail "$1 is not open for writing"
    shift
  done
  shift
  for file in "$@"; do
    open_read_only "$pid" "$file" || fail "$file is open for writing"
  done
}

all_read_only() {
  local pid=$1 file
  shift
  for file in "$@"; do
    open_read_only "$pid" "$file" || return 1
  done
}

# ── judging ──

mode() {
  stat -c %a "$1"
}

mode_is() {
  [[ $(mode "$1") == "$2" ]]
}

# assert_mode FILE MODE [SECONDS]: the file has that mode, at the latest after so many seconds (default: now).
assert_mode() {
  poll "${3:-0}" mode_is "$1" "$2" || fail "$1 has mode $(mode "$1"), expected $2"
}

attribute() {
  getfattr --absolute-names --only-values -n "user.blockgraph.$2" "$1"
}

assert_equal() {
  [[ $1 == "$2" ]] || fail "${3:-value}: '$1', expected '$2'"
}

assert_matches() {
  [[ $1 =~ $2 ]] || fail "${3:-text} does not match /$2/: $1"
}

assert_same() {
  cmp "$1" "$2" >&2 || fail "$1 and $2 differ"
}

# assert_fails REGEX COMMAND…: the command fails, and what it says matches.
assert_fails() {
  local regex=$1 said status=0
  shift
  said=$(timeout 30 "$@" 2>&1 </dev/null) || status=$?
  ((status != 0)) || fail "'$*' succeeded, expected an error like /$regex/"
  ((status != 124)) || fail "'$*' did not end"
  [[ $said =~ $regex ]] || fail "'$*' failed with '$said', expected /$regex/"
}

# assert_open_fails REGEX FILE: opening FILE for writing fails so.
assert_open_fails() {
  assert_fails "$1" dd if=/dev/null "of=$2" conv=notrunc status=none
}

# Digest of files, for comparing before and after.
digest() {
  sha256sum "$@" | sha256sum
}

assert_clean() {
  local image
  for image in "$@"; do
    qemu-img check -q -f qcow2 "$image" >&2 || fail "qemu-img check finds faults in $image"
    # check does not mind the marks "dirty" and "corrupt" (incompatible feature bits 0 and 1).
    assert_equal "$((0x$(od -An -tx1 -j 79 -N 1 "$image" | tr -d ' ') & 3))" 0 "dirty and corrupt bits of $image"
  done
}

# assert_content FORMAT IMAGE RAW: the disk in IMAGE holds what RAW holds.
assert_content() {
  qemu-img compare -q -f "$1" -F raw "$2" "$3" >&2 || fail "the content of $2 is not that of $3"
}

# ── making content ──

# random_bytes COUNT SEED: pseudo-random bytes, the same for the same seed.
random_bytes() {
  openssl enc -aes-128-ctr -nosalt -K "$(printf '%032x' "$2")" -iv 00000000000000000000000000000000 \
    </dev/zero 2>/dev/null | head -c "$1" || true
}

# poke FILE OFFSET HEX…: writes bytes over a file, e.g. poke a.qcow2 20 00 00 00 28.
poke() {
  local file=$1 offset=$2 bytes
  shift 2
  bytes=$(printf '\\x%s' "$@")
  # shellcheck disable=SC2059 # the bytes are the format
  printf "$bytes" | dd of="$file" bs=1 seek="$offset" conv=notrunc status=none
}

# forget_backing_format IMAGE: takes the format of the backing file out of the image's header.
forget_backing_format() {
  local offset
  offset=$(grep -obUaP '\xe2\x79\x2a\xca' "$1" | sed -n '1s/:.*//p')
  poke "$1" "$offset" 00 00 00 00
}

# ── an ordinary user ──

# Runs the test again inside a mount namespace of its own, where /dev/fuse can be opened by everybody, as
# Debian ships it: `as_user COMMAND…` then runs things as uid 65534. The machine's own /dev/fuse stays as it is.
user_id=65534
user_runner=(setpriv "--reuid=$user_id" "--regid=$user_id" --clear-groups --)
enter_user_namespace() {
  need_root
  need_tools setpriv unshare fusermount3
  if [[ -z ${E2E_NAMESPACE:-} ]]; then
    unshare -m true 2>/dev/null || skip "mount namespaces are not permitted"
    trap - EXIT
    E2E_NAMESPACE=1 E2E_SCRATCH=$scratch unshare -m bash "$0" || {
      local status=$?
      [[ -z $own_scratch ]] || rm -rf --one-file-system "$own_scratch"
      exit "$status"
    }
    [[ -z $own_scratch ]] || rm -rf --one-file-system "$own_scratch"
    exit 0
  fi
  mkdir -p "$scratch/dev" "$scratch/user"
  mount -t tmpfs -o mode=755 tmpfs "$scratch/dev" || skip "tmpfs cannot be mounted"
  mknod -m 666 "$scratch/dev/fuse" c 10 229 || skip "device nodes cannot be made"
  mount --bind "$scratch/dev/fuse" /dev/fuse
  install -m 755 "$BLOCKGRAPHFS" "$scratch/dev/blockgraphfs"
  BLOCKGRAPHFS=$scratch/dev/blockgraphfs
  chown "$user_id:$user_id" "$scratch/user"
  { as_user sh -c ': <>/dev/fuse'; } 2>/dev/null || skip "uid $user_id cannot open /dev/fuse"
}

as_user() {
  "${user_runner[@]}" "$@"
}
