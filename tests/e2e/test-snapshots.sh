#!/bin/bash
# Internal snapshots: the command, with qemu-img as judge in both directions, and their files in a mount.
. "$(dirname "$0")/lib.sh"
need_tools qemu-img qemu-io cmp strace
need_fuse

# check_sound IMAGE: qemu-img finds no fault and no leak.
check_sound() {
  qemu-img check -q "$1" || fail "$1 is not sound"
}

# raw_of IMAGE SNAPSHOT FILE: what QEMU reads.
raw_of() {
  qemu-img convert -U -O raw -l "snapshot.name=$2" "$1" "$3"
}

# scribble IMAGE SEED: writes here and there.
scribble() {
  local i commands=()
  for ((i = 0; i < 8; i++)); do
    commands+=(-c "write -P $(($2 * 8 + i & 255)) $((($2 * 7919 + i * 104729) % 960))k $((i * 5 + 1))k")
  done
  qemu-io "${commands[@]}" "$1" >/dev/null
}

# take, apply and delete, by either program.
ours() {
  "$BLOCKGRAPHFS" snapshot "$1" "$2" "$3"
}
theirs() {
  qemu-img snapshot "$1" "$2" "$3"
}

dd if=/dev/urandom of=base.raw bs=1k count=800 status=none
number=0
for options in cluster_size=512 cluster_size=4k,refcount_bits=4 cluster_size=64k,extended_l2=on compat=0.10,cluster_size=4k \
  cluster_size=64k,lazy_refcounts=on; do
  for backing in "" "-b base.raw -F raw"; do
    image=i$((++number)).qcow2
    note "$options $backing"
    # shellcheck disable=SC2086 # words
    qemu-img create -q -f qcow2 -o "$options" $backing "$image" 1M
    turns=(ours theirs)
    for i in 1 2 3 4; do
      scribble "$image" "$i"
      qemu-img convert -O raw "$image" "$image.s$i"
      "${turns[i & 1]}" -c "s$i" "$image"
      check_sound "$image"
    done
    scribble "$image" 9
    qemu-img convert -O raw "$image" "$image.now"
    for i in 1 2 3 4; do
      raw_of "$image" "s$i" read.raw
      cmp read.raw "$image.s$i"
    done
    mount_graph mnt "$image"
    for i in 1 2 3 4; do cmp "mnt/${image%.qcow2}@s$i" "$image.s$i"; done
    cmp "mnt/${image%.qcow2}" "$image.now"
    unmount mnt
    ours -a s3 "$image"
    check_sound "$image"
    qemu-img compare -q "$image" "$image.s3"
    scribble "$image" 11
    theirs -a s2 "$image"
    theirs -d s1 "$image"
    check_sound "$image"
    ours -d s3 "$image"
    check_sound "$image"
    ours -a s4 "$image"
    qemu-img compare -q "$image" "$image.s4"
    raw_of "$image" s2 read.raw
    cmp read.raw "$image.s2"
    theirs -d s2 "$image"
    ours -d s4 "$image"
    check_sound "$image"
    qemu-img compare -q "$image" "$image.s4"
    assert_equal "$("$BLOCKGRAPHFS" snapshot "$image")" "" "the list of no snapshots"
  done
done

note "the list is qemu-img's"
qemu-img create -q -f qcow2 disk.qcow2 1M
ours -c one disk.qcow2
ours -c "two words" disk.qcow2
assert_equal "$("$BLOCKGRAPHFS" snapshot -l disk.qcow2)" "$(qemu-img snapshot -l disk.qcow2)" "the list"
names=$("$BLOCKGRAPHFS" snapshot --json disk.qcow2 | grep -o '"name" : ".*"' | tr '\n' ' ')
assert_equal "$names" '"name" : "one" "name" : "two words" ' "the names as JSON"

note "what cannot be done is refused and changes nothing"
sum=$(sha256sum disk.qcow2)
refused() {
  local wanted=$1 said
  shift
  if said=$("$BLOCKGRAPHFS" snapshot "$@" 2>&1); then
    fail "snapshot $* was not refused"
  fi
  [[ $said == *"$wanted"* ]] || fail "snapshot $*: '$said' lacks '$wanted'"
}
refused "there is no snapshot 'three'" -d three disk.qcow2
refused "exclude each other" -l -d one disk.qcow2
refused "IMAGE is missing" -l
refused "1 to 255 bytes" -c "" disk.qcow2
refused "no internal snapshots" -c x base.raw
assert_equal "$(sha256sum disk.qcow2)" "$sum" "the image"
qemu-img create -q -f qcow2 -o refcount_bits=1 narrow.qcow2 1M
qemu-io -c 'write 0 64k' narrow.qcow2 >/dev/null
sum=$(sha256sum narrow.qcow2)
refused "Refcounts of 1 bits" -c x narrow.qcow2
check_sound narrow.qcow2
qemu-img create -q -f qcow2 -o data_file=data.raw external.qcow2 1M
refused "data file" -c x external.qcow2
ours -c one disk.qcow2
refused "can mean 2 snapshots" -d one disk.qcow2
ours -d 3 disk.qcow2

note "a size that changed comes back"
qemu-img create -q -f qcow2 size.qcow2 1M
ours -c small size.qcow2
qemu-img resize -q --shrink size.qcow2 3M
"$BLOCKGRAPHFS" snapshot -a small size.qcow2
assert_equal "$(qemu-img info size.qcow2 | grep -c 'virtual size: 1 MiB')" 1 "the size"
check_sound size.qcow2

note "files of snapshots: names, read-only, nothing is read before"
rm -f disk.qcow2
qemu-img create -q -f qcow2 disk.qcow2 8M
qemu-io -c 'write -P 1 0 4M' disk.qcow2 >/dev/null
ours -c plain disk.qcow2
ours -c plain disk.qcow2
ours -c 'a/b"c' disk.qcow2
qemu-io -c 'write -P 2 2M 4M' disk.qcow2 >/dev/null
raw_of disk.qcow2 plain plain.raw
mount_graph mnt disk.qcow2
assert_equal "$(cd mnt && printf '%s\n' disk@* | sort)" $'disk@a\\x2fb"c\ndisk@plain\ndisk@plain-2' "the files"
assert_equal "$(stat -c %A mnt/disk@plain)" "-r--r--r--" "the mode"
assert_fails "Read-only file system" dd if=/dev/zero of=mnt/disk@plain bs=512 count=1 conv=notrunc status=none
assert_writers "$daemon" -- disk.qcow2
entries=$(od -An -tu8 --endian=big -j 64 -N 8 disk.qcow2)
table=$(od -An -tu8 --endian=big -j "$((entries))" -N 8 disk.qcow2)
table=$((table))
strace -f -e trace=pread64,preadv,preadv2 -o trace -p "$daemon" 2>/dev/null &
tracer=$!
own_processes+=("$tracer")
wait_for 10 "strace is attached" grep -q "TracerPid:.*[1-9]" "/proc/$daemon/status"
ls -l mnt >/dev/null
cat mnt/.graph/nodes.json >/dev/null
cmp -n 1M mnt/disk plain.raw
! grep -q ", $table)" trace || fail "the table of a snapshot was read before the snapshot was"
cmp mnt/disk@plain plain.raw
kill "$tracer"
wait "$tracer" || true
grep -q ", $table)" trace || fail "the table of the snapshot was never read"

note "writing to the disk leaves a snapshot that is being read as it is"
exec 8<mnt/disk@plain
for ((i = 0; i < 20; i++)); do
  dd if=/dev/urandom of=mnt/disk bs=64k count=16 seek=$((i * 3)) conv=notrunc status=none
  dd if=mnt/disk@plain bs=64k skip=$((i * 3)) count=16 iflag=direct status=none |
    cmp - <(dd if=plain.raw bs=64k skip=$((i * 3)) count=16 status=none)
done
exec 8<&-
cmp mnt/disk@plain plain.raw
unmount mnt
check_sound disk.qcow2

note "a backing disk is not written while a snapshot above it is open"
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 top.qcow2
ours -c old top.qcow2
mount_graph mnt top.qcow2
exec 8<mnt/top@old
assert_fails "Device or resource busy" dd if=/dev/zero of=mnt/top.backing bs=512 count=1 conv=notrunc status=none
dd if=/dev/zero of=mnt/top bs=512 count=1 conv=notrunc status=none
cmp mnt/top@old mnt/top.backing
exec 8<&-
[[ -e mnt/top.backing@plain ]] || fail "the backing disk's snapshots are not shown"
unmount mnt

note "an image in use is refused, naming who"
mount_graph mnt disk.qcow2
exec 8<>mnt/disk
refused "held by process" -c x disk.qcow2
exec 8<&-
unmount mnt

note "QEMU beside a mount: it may look, and cannot take or delete any"
rm -f disk.qcow2
qemu-img create -q -f qcow2 disk.qcow2 4M
qemu-io -c 'write -P 1 0 4M' disk.qcow2 >/dev/null
theirs -c old disk.qcow2
raw_of disk.qcow2 old plain.raw
# beside OPTION…: qemu-img sees the one snapshot there is, and is kept from changing that; -U goes past the locks of a writer.
beside() {
  assert_equal "$(qemu-img snapshot "$@" -l disk.qcow2 | grep -c old)" 1 "the list that QEMU sees"
  assert_fails 'Failed to get "?(shared )?"?write" lock' qemu-img snapshot -c new disk.qcow2
  assert_fails 'Failed to get "?(shared )?"?write" lock' qemu-img snapshot -d old disk.qcow2
}
mount_graph mnt --read-only disk.qcow2
exec 8<mnt/disk
beside
exec 8<&-
unmount mnt
mount_graph mnt disk.qcow2
beside
exec 8<>mnt/disk
dd if=/dev/urandom of=mnt/disk bs=64k count=20 seek=3 conv=notrunc status=none
cp mnt/disk now.raw
beside -U
assert_fails "lock" qemu-img snapshot -l disk.qcow2
sync mnt/disk
qemu-img convert -U -O raw -l snapshot.name=old disk.qcow2 read.raw
cmp read.raw plain.raw
exec 8>&-
wait_for 10 "the image is given back" open_read_only "$daemon" disk.qcow2
beside
cmp mnt/disk now.raw
cmp mnt/disk@old plain.raw
unmount mnt
check_sound disk.qcow2
theirs -c new disk.qcow2
raw_of disk.qcow2 new read.raw
cmp read.raw now.raw
