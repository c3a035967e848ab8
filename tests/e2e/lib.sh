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
. "$source_dir/contrib/scratch.sh"

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

# For tests that truncate, resize from beside, or expect passthrough: with cache=writeback the kernel minds size and data by itself.
need_write_through() {
  [[ ${E2E_OPTIONS:-} != *cache=writeback* ]] || skip "needs another cache mode than writeback"
}

need_helper() {
  [[ -x $helpers/$1 ]] || skip "the helper $1 is not built (make build-tests)"
}

# Built with the library for encryption?
has_encryption() {
  [[ $(ldd "$BLOCKGRAPHFS") == *libgcrypt* ]]
}

# Built with a sanitizer: memory and speed say nothing.
sanitized() {
  [[ $(ldd "$BLOCKGRAPHFS") =~ lib(asan|tsan|ubsan) ]]
}

begin_scratch "${E2E_SCRATCH:-}"

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

# create_encrypted ARGUMENT…: `qemu-img create -q -f qcow2 ARGUMENT…`, again where qemu-img finds its own clock too coarse to choose how often a
# passphrase is hashed.
create_encrypted() {
  local said attempt
  for ((attempt = 0; attempt < 20; attempt++)); do
    said=$(qemu-img create -q -f qcow2 "$@" 2>&1) && return
    [[ $said == *"accurate CPU usage"* ]] || break
  done
  printf '%s\n' "$said" >&2
  return 1
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
  mkdir -p "$scratch/user"
  chown "$user_id:$user_id" "$scratch/user"
  open_fuse_to_everybody "$scratch/dev" >why || skip "$(<why)"
}
