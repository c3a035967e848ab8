# shellcheck shell=bash
# Shared by the scripts in contrib/ and .ci/: what to install, how to build. Source it after setting `set -euo pipefail`.

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# shellcheck disable=SC2034 # for those who source this
build_packages=(autoconf automake pkg-config gcc libc6-dev make libfuse3-dev fuse3 libglib2.0-dev libjson-glib-dev
  zlib1g-dev libzstd-dev libgcrypt20-dev libnbd-dev liburing-dev)
# shellcheck disable=SC2034
test_packages=(libcriterion-dev qemu-utils qemu-system-common fio e2fsprogs util-linux mount procps attr openssl time jq
  mandoc shellcheck strace nbdkit nbd-server gnutls-bin)
# shellcheck disable=SC2034
bench_packages=(qemu-utils qemu-system-common libnbd-bin valgrind fio e2fsprogs util-linux mount openssl jq)

say() {
  printf '%s: %s\n' "${0##*/}" "$*"
}

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

package_installed() {
  [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) == ?i* ]]
}

as_root() {
  if (($(id -u) == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "'$*' needs root, and sudo is not installed"
  fi
}

# Installs those of the named Debian packages that are missing. Set BLOCKGRAPHFS_NO_INSTALL to leave the machine as it is.
install_packages() {
  local missing=() package
  if [[ -n ${BLOCKGRAPHFS_NO_INSTALL:-} ]]; then
    return 0
  fi
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "not a Debian system: the needed packages are, by their Debian names: $*" >&2
    return 0
  fi
  for package in "$@"; do
    package_installed "$package" || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    return 0
  fi
  say "installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" </dev/null
}

# Where a build with the given sanitizers (a comma list, or nothing) goes.
build_dir_for() {
  printf '%s/build%s\n' "$source_dir" "${1:+-${1//,/-}}"
}

# Configures in the folder $1; further arguments go to configure. Does nothing again that is done already.
configure_in() {
  local dir=$1
  shift
  if [[ ! -x $source_dir/configure || $source_dir/configure.ac -nt $source_dir/configure ]]; then
    (cd "$source_dir" && autoreconf -fi) >/dev/null 2>"$source_dir/autoreconf.log" || {
      cat "$source_dir/autoreconf.log" >&2
      die "autoreconf failed"
    }
    rm -f "$source_dir/autoreconf.log"
  fi
  mkdir -p "$dir"
  if [[ ! -f $dir/Makefile || $source_dir/configure -nt $dir/Makefile ]]; then
    (cd "$dir" && "$source_dir/configure" -q "$@") || die "configure failed"
  fi
}

# The same, and builds.
build() {
  local dir=$1
  configure_in "$@"
  make -s -C "$dir" -j "$(nproc)" </dev/null || die "the build failed"
}

# ── counting tests ──

passed=0 failed=0 skipped=0

# run_counted NAME LOG COMMAND…: runs tests that end with a line "N passed, N failed, N skipped", keeps what they print in LOG,
# and adds them up. That line is printed with NAME before it, so that only the sum of all stands alone.
run_counted() {
  local name=$1 log=$2 status=0 before=$failed pattern='[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' line
  shift 2
  "$@" </dev/null 2>&1 | tee "$log" | sed -uE "s|^$pattern$|$name: &|" || status=$?
  line=$(grep -xE "$pattern" "$log" | tail -n 1 || true)
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
    passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
  else
    say "$name ended without its closing line"
    failed=$((failed + 1))
  fi
  # 77: all were skipped.
  if ((status != 0 && status != 77 && failed == before)); then
    say "$name ended with status $status though no test failed"
    failed=$((failed + 1))
  fi
}

# The last line of a script that runs tests; fails if a test did, or if there was none.
close_count() {
  echo "$passed passed, $failed failed, $skipped skipped"
  ((failed == 0 && passed > 0))
}
