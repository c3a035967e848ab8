# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # they share variables with `run`
# How each system serves an image. `start SYSTEM` serves $image (of $format); systems that know plain bytes only serve $twin, a raw
# file of the same content. It sets
#   disk     the file to read and write
#   servers  its processes
#   client   what a program that uses the disk is run through
# and `stop SYSTEM` ends it. $access is read or write; $meter is what the servers are run through.

all_systems=(host blockgraphfs blockgraphfs-user blockgraphfs-uring minimal qemu second-qemu nbdfuse)
disk='' servers=() client=() meter=()
access=read direct_io=
second_qemu=() # the command

missing_tool() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed" && return; }
  done
}

# lacks_uring: why requests cannot come through io_uring; nothing if they can. The setting is the machine's, so it is left to who owns that.
lacks_uring() {
  local setting=/sys/module/fuse/parameters/enable_uring
  if [[ $(ldd "$BLOCKGRAPHFS") != *liburing* ]]; then
    echo "blockgraphfs is built without liburing"
  elif [[ $(cat $setting 2>/dev/null) != Y ]]; then
    echo "the kernel does not offer it (as root: echo Y >$setting)"
  fi
}

# lacks SYSTEM: prints why it cannot run here; nothing if it can.
lacks() {
  case $1 in
    host) ;;
    blockgraphfs) ;;
    blockgraphfs-user) [[ -z $no_user ]] || echo "$no_user" ;;
    blockgraphfs-uring) lacks_uring ;;
    minimal) [[ -x $minimal ]] || echo "$minimal is not built (make)" ;;
    qemu) missing_tool qemu-storage-daemon ;;
    second-qemu) ((${#second_qemu[@]} > 0)) || echo "not asked for (--second-qemu=PATH)" ;;
    nbdfuse) missing_tool nbdfuse qemu-nbd ;;
  esac
}

version_of() {
  case $1 in
    host) echo "$(uname -sr), $(findmnt -n -o FSTYPE -T "$scratch")" ;;
    blockgraphfs*) "$BLOCKGRAPHFS" --version ;;
    minimal) echo "libfuse $(pkg-config --modversion fuse3 2>/dev/null || echo 3)" ;;
    qemu) qemu-storage-daemon --version ;;
    second-qemu) "${second_qemu[@]}" --version ;;
    nbdfuse) echo "$(nbdfuse --version), $(qemu-nbd --version | head -n 1)" ;;
  esac | head -n 1
}

# set_second_qemu PATH: a qemu-storage-daemon, or the root folder of another system that has one, with its libraries.
set_second_qemu() {
  local program=$1 loader
  second_qemu=("$program")
  if [[ -d $1 ]]; then
    program=$1/usr/bin/qemu-storage-daemon
    loader=$(find "$1"/lib64/ "$1"/lib/ -maxdepth 1 -name 'ld-linux*.so.*' -print -quit 2>/dev/null)
    second_qemu=("$loader" --library-path "$(printf '%s:' "$1"/usr/lib/*-linux-gnu "$1"/lib/*-linux-gnu)" "$program")
  fi
  "${second_qemu[@]}" --version >/dev/null 2>&1 || fail "$1 is no qemu-storage-daemon that runs, nor a root folder with one"
}

# serve MOUNTPOINT COMMAND…: starts a server and waits until MOUNTPOINT is mounted.
serve() {
  local mountpoint=$1
  shift
  run_server "$@"
  poll 30 mounted_or_ended "$mountpoint" "$!" && is_mounted "$mountpoint"
}

run_server() {
  background "${meter[@]}" "$@" </dev/null >>"$log" 2>&1
  servers+=("$!")
}

# start_blockgraphfs auto|off: whether requests may come through io_uring.
start_blockgraphfs() {
  local name=${image##*/}
  [[ $format != nbd ]] || serve_nbd || fail "qemu-nbd does not listen (see $log)"
  mkdir -p "$scratch/mnt"
  ((${#client[@]} == 0)) || chown "$user_id" "$scratch/mnt"
  runner=("${client[@]}" "${meter[@]}")
  mount_graph "$scratch/mnt" -o "io_uring=$1" --format "$format" "$image"
  runner=("${client[@]}")
  servers+=("$daemon")
  disk=$scratch/mnt/${name%.*}
}

start_minimal() {
  disk=$scratch/minimal
  : >"$disk"
  serve "$disk" "$minimal" ${direct_io:+--direct-io} "$twin" "$disk"
}

start_qemu() {
  local read_only=on writable=off
  if [[ $access == write ]]; then
    read_only=off writable=on
  fi
  disk=$scratch/export
  : >"$disk"
  serve "$disk" "$@" --blockdev "driver=file,node-name=file,filename=$image,read-only=$read_only" \
    --blockdev "driver=$format,node-name=disk,file=file,read-only=$read_only" \
    --export "type=fuse,id=export,node-name=disk,mountpoint=$disk,writable=$writable"
}

# serve_nbd: what the systems on top of an NBD server get their bytes from.
serve_nbd() {
  local served=$image served_format=$format read_only=()
  [[ $access == write ]] || read_only=(-r)
  [[ $format != nbd ]] || served=$twin served_format=raw
  rm -f "$nbd_socket"
  run_server qemu-nbd --persistent --shared=8 "${read_only[@]}" -f "$served_format" -k "$nbd_socket" "$served"
  poll 30 test -S "$nbd_socket"
}

start_nbdfuse() {
  local read_only=()
  [[ $access == write ]] || read_only=(-r)
  mkdir -p "$scratch/nbd"
  disk=$scratch/nbd/nbd
  serve_nbd && serve "$scratch/nbd" nbdfuse "${read_only[@]}" "$scratch/nbd" --unix "$nbd_socket"
}

# Fails if the system does not get to serve. blockgraphfs always does, or the run ends.
start() {
  servers=() client=()
  case $1 in
    host) disk=$twin ;;
    blockgraphfs) start_blockgraphfs off ;;
    blockgraphfs-user) client=("${user_runner[@]}") && start_blockgraphfs off ;;
    blockgraphfs-uring) start_blockgraphfs auto ;;
    minimal) start_minimal ;;
    qemu) start_qemu qemu-storage-daemon ;;
    second-qemu) start_qemu "${second_qemu[@]}" ;;
    nbdfuse) start_nbdfuse ;;
  esac
}

# Ends the servers of the others, the one on top first; what remains mounted is let go of.
stop_servers() {
  local mountpoint=$1 pid i
  for ((i = ${#servers[@]} - 1; i >= 0; i--)); do
    pid=${servers[i]}
    kill -TERM "$pid" 2>/dev/null || true
    poll 20 process_gone "$pid" || end_process "$pid"
    wait "$pid" 2>/dev/null || true
  done
  own_processes=()
  ! is_mounted "$mountpoint" || umount -l "$mountpoint" || true
}

stop() {
  case $1 in
    host) ;;
    blockgraphfs*)
      unmount "$scratch/mnt"
      unset 'servers[-1]'
      stop_servers "$scratch/mnt"
      ;;
    nbdfuse) stop_servers "$scratch/nbd" ;;
    *) stop_servers "$disk" ;;
  esac
  client=()
}
