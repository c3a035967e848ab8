# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # they share variables with `run`
# What is measured. `workload NAME UNIT more|less read|write "IMAGE" COMMAND…` registers one: whether more or less is better, what it does
# to the disk, the image (see images.sh), and the command that prints the value. It finds the file in $disk.

declare -A unit_of=() better_of=() access_of=() image_of=() command_of=()
workloads=()

workload() {
  workloads+=("$1")
  unit_of[$1]=$2 better_of[$1]=$3 access_of[$1]=$4 image_of[$1]=$5
  command_of[$1]=${*:6}
}

# ── commands ──

# fio_value FIELD ARGUMENT…: runs fio on the disk and prints a field of its report.
fio_value() {
  local field=$1
  shift
  timeout "$((milliseconds / 250 + 60))" "${client[@]}" fio --name=bench --filename="$disk" --fallocate=none --randrepeat=0 --group_reporting \
    --output-format=json --runtime="${milliseconds}ms" "$@" 2>>"$log" | sed -n '/^{/,$p' | jq -e ".jobs[0].$field | select(. > 0)"
}

throughput() {
  fio_value "$1.bw_bytes / 1e6" --rw="$1" --size="${size}M" "${@:2}"
}

operations() {
  fio_value "$1.iops" --rw="rand$1" --bs=4k --direct=1 "${@:2}"
}

# Over a page cache that holds it all, as far as the system lets the kernel keep it.
throughput_warm() {
  "${client[@]}" cat "$disk" >/dev/null
  throughput read --invalidate=0 --time_based "$@"
}

# timed COMMAND…: milliseconds; what takes too long is cut off, and the value bears a `+`.
timed() {
  local begin=${EPOCHREALTIME/./} status=0 end
  timeout "$((milliseconds / 100 + 1))" "$@" >>"$log" 2>&1 || status=$?
  end=${EPOCHREALTIME/./}
  ((status == 0 || status == 124)) || return 1
  awk -v t=$((end - begin)) -v mark="$( ((status == 0)) || echo +)" 'BEGIN { printf "%.2f%s\n", t / 1000, mark }'
}

copy_from() {
  timed "${client[@]}" dd if="$disk" of=/dev/null bs=1M
}

copy_into() {
  timed "${client[@]}" dd if=/dev/zero of="$disk" bs=1M count="$size" conv=notrunc,fsync
}

copy_sparse() {
  local status=0
  timed "${client[@]}" cp --sparse=auto "$disk" "$user_dir/copy" || status=$?
  rm -f "$user_dir/copy"
  return "$status"
}

# with_file_system FILE COMMAND…: mounts the ext4 in FILE over a loop device on $scratch/fs, runs the command, unmounts.
with_file_system() {
  local loop status=0
  mkdir -p "$scratch/fs"
  loop=$(losetup --show -f "$1") || return 1
  own_loops=("$loop")
  mount -t ext4 "$loop" "$scratch/fs" && own_mounts+=("$scratch/fs") && "${@:2}" && umount "$scratch/fs" || status=1
  umount -l "$scratch/fs" 2>/dev/null || true
  losetup -d "$loop" || status=1
  poll 10 loop_is_free "$loop" || status=1
  own_loops=()
  return "$status"
}

loop_is_free() {
  ! losetup "$1" >/dev/null 2>&1
}

# Until all of it is in the disk.
extract_tree() {
  # shellcheck disable=SC2016 # the inner shell expands it
  mkdir "$scratch/fs/new" && timed sh -c 'tar -C "$1" -xf "$2" && sync -f "$1"' sh "$scratch/fs/new" "$tree"
}

read_tree() {
  # shellcheck disable=SC2016 # the inner shell expands it
  timed sh -c 'find "$1" -type f -exec cat {} + | wc -c' sh "$scratch/fs"
}

on_file_system() {
  with_file_system "$disk" "$@"
}

# From the start of the server to the first bytes of the disk.
first_bytes() {
  "${client[@]}" head -c 4096 "$disk" >/dev/null || return 1
  awk -v t=$((${EPOCHREALTIME/./} - started)) 'BEGIN { printf "%.2f\n", t / 1000 }'
}

# MiB that the servers hold after reads all over the disk.
resident() {
  local pid
  operations read --numjobs=4 --time_based >/dev/null || return 1
  for pid in "${servers[@]}"; do
    cat "/proc/$pid/status"
  done | awk '/^VmRSS:/ { sum += $2 } END { printf "%.1f\n", sum / 1024 }'
}

# ── one request's cost ──

# In ticks of the clock; threads that have ended count too.
processor_ticks() {
  local pid
  for pid in "${servers[@]}"; do
    sed 's/.*) //' "/proc/$pid/stat"
  done | awk '{ sum += $12 + $13 } END { print sum }'
}

# processor_time read|write ARGUMENT…: microseconds that the servers, and the kernel for them, compute for one request.
processor_time() {
  local before number
  before=$(processor_ticks)
  number=$(fio_value "$1.total_ios" --direct=1 "${@:2}") || return 1
  awk -v ticks=$(($(processor_ticks) - before)) -v rate="$(getconf CLK_TCK)" -v number="$number" \
    'BEGIN { printf "%.2f\n", ticks * 1e6 / rate / number }'
}

# count NAME read|write "IMAGE" ARGUMENT…: registers a workload that counts what the servers execute for one request of 4 KiB.
# Noise cannot touch this figure.
declare -A counts=()
count() {
  workload "$1" "instr." less "$2" "$3" instructions "${@:4}"
  counts[$1]=1
}

# executed_for COUNT SYSTEM ARGUMENT…: all that the system's servers execute for so many requests goes into $executed.
executed_for() {
  local number=$1 system=$2 status=0
  rm -f "$user_dir"/callgrind.*
  make_image_of "$name"
  meter=(valgrind --tool=callgrind --callgrind-out-file="$user_dir/callgrind.%p")
  start "$system" || status=1
  meter=()
  ((status != 0)) || fio_value job_runtime --bs=4k --direct=1 --number_ios="$number" "${@:3}" --runtime=120 >/dev/null || status=1
  stop "$system"
  executed=$(cat "$user_dir"/callgrind.* | awk '/^totals:/ { sum += $2 } END { printf "%.0f", sum }')
  return "$status"
}

# The difference between many requests and few, so that starting does not count.
instructions() {
  local few
  executed_for 200 "$system" "$@" || return 1
  few=$executed
  executed_for 1200 "$system" "$@" || return 1
  echo "$((executed > few ? (executed - few) / 1000 : 0))"
}

# ── the list ──

reading_and_overwriting() {
  local image=$1 bytes jobs
  for bytes in 1m 128k; do
    workload "$image/read-$bytes-cold" MB/s more read "$image" throughput read --bs=$bytes
    workload "$image/read-$bytes-warm" MB/s more read "$image" throughput_warm --bs=$bytes
    workload "$image/read-$bytes-direct" MB/s more read "$image" throughput read --bs=$bytes --direct=1 --time_based
  done
  for jobs in "1job --numjobs=1" "4jobs --numjobs=4" "qd32 --ioengine=libaio --iodepth=32"; do
    # shellcheck disable=SC2086 # a list of arguments
    workload "$image/randread-4k-${jobs%% *}" IOPS more read "$image" operations read ${jobs#* } --time_based
  done
  for bytes in 1m 128k; do
    workload "$image/write-$bytes-direct" MB/s more write "$image" throughput write --bs=$bytes --direct=1 --time_based
  done
  for jobs in "1job --numjobs=1" "4jobs --numjobs=4" "qd32 --ioengine=libaio --iodepth=32"; do
    # shellcheck disable=SC2086 # a list of arguments
    workload "$image/randwrite-4k-${jobs%% *}" IOPS more write "$image" operations write ${jobs#* } --time_based
  done
}

allocating() {
  workload allocate/write-1m-direct MB/s more write "empty 1" throughput write --bs=1m --direct=1 --end_fsync=1
  workload allocate/randwrite-4k IOPS more write "empty 16" operations write --io_size="$((size / 4))M" --end_fsync=1
  workload copy-on-write/randwrite-4k IOPS more write overlay operations write --io_size="$((size / 32 + 1))M" --end_fsync=1
}

chains() {
  local length
  for length in 1 8 64; do
    workload "chain-$length/top-randread-4k" IOPS more read "chain $length top" operations read --time_based
  done
  for length in 8 64; do
    workload "chain-$length/base-randread-4k" IOPS more read "chain $length base" operations read --time_based
  done
}

programs() {
  workload program/dd-read ms less read qcow2 copy_from
  workload program/dd-write ms less write qcow2 copy_into
  workload program/cp-sparse-1t ms less read sparse copy_sparse
  if (($(id -u) == 0)); then
    workload loop-ext4/untar ms less write ext4 on_file_system extract_tree
    workload loop-ext4/find-cat ms less write ext4 on_file_system read_tree
  fi
}

# by_length_and_size GROUP UNIT COMMAND
by_length_and_size() {
  local length gib
  for length in 1 8 64; do
    workload "$1/chain-$length" "$2" less read "chain $length base" "$3"
  done
  for gib in 1 32 1024; do
    workload "$1/disk-${gib}g" "$2" less read "disk $gib" "$3"
  done
}

processor() {
  workload processor/raw-read-4k us less read raw processor_time read --rw=randread --bs=4k --time_based
  workload processor/qcow2-read-4k us less read qcow2 processor_time read --rw=randread --bs=4k --time_based
  workload processor/qcow2-read-1m us less read qcow2 processor_time read --rw=read --bs=1m --time_based
  workload processor/qcow2-write-4k us less write qcow2 processor_time write --rw=randwrite --bs=4k --time_based
  workload processor/qcow2-write-1m us less write qcow2 processor_time write --rw=write --bs=1m --time_based
  workload processor/allocate-4k us less write "empty 16" processor_time write --rw=randwrite --bs=4k --io_size="$((size / 4))M"
  workload processor/copy-on-write-4k us less write overlay processor_time write --rw=randwrite --bs=4k --io_size="$((size / 32 + 1))M"
}

counting() {
  count instructions/raw-read read raw --rw=randread
  count instructions/raw-overwrite write raw --rw=randwrite
  count instructions/qcow2-read read qcow2 --rw=randread
  count instructions/qcow2-overwrite write qcow2 --rw=randwrite
  count instructions/qcow2-allocate write "empty 16" --rw=randwrite
  count instructions/chain-64-top-read read "chain 64 top" --rw=randread
  count instructions/chain-64-base-read read "chain 64 base" --rw=randread
  count instructions/qcow2-copy-on-write write overlay --rw=randwrite
}

register_workloads() {
  reading_and_overwriting raw
  reading_and_overwriting qcow2
  reading_and_overwriting nbd
  allocating
  chains
  programs
  by_length_and_size mount ms first_bytes
  by_length_and_size resident MiB resident
  processor
  counting
}

# lacking WORKLOAD: prints why it cannot be measured here; nothing if it can.
lacking() {
  if [[ -n ${counts[$1]:-} ]]; then
    missing_tool valgrind
  elif [[ $1 == nbd/* ]]; then
    grep -q '^nbd ' <<<"$("$BLOCKGRAPHFS" --list-drivers)" || echo "blockgraphfs is built without libnbd"
    missing_tool qemu-nbd
  fi
}

# unfit SYSTEM WORKLOAD: the system has no such figure.
unfit() {
  case $1:$2 in
    host:mount/* | host:resident/* | host:processor/* | host:instructions/*) ;;
    blockgraphfs-user:loop-ext4/*) ;; # root does not get into another user's mount
    blockgraphfs:nbd/* | blockgraphfs-uring:nbd/* | nbdfuse:nbd/*) return 1 ;;
    *:nbd/*) ;;
    *) return 1 ;;
  esac
}
