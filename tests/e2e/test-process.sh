#!/bin/bash
# The process: daemonising, signals, unmounting, exit status, mount(8), create, and what the command line prints.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img

note "create makes images that qemu-img finds clean"
"$BLOCKGRAPHFS" create -f qcow2 base.qcow2 64M
"$BLOCKGRAPHFS" create -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
"$BLOCKGRAPHFS" create -f qcow2 -o cluster_size=4096 -o refcount_bits=1 small.qcow2 10M
"$BLOCKGRAPHFS" create -f raw plain.raw 5M
assert_clean base.qcow2 disk.qcow2 small.qcow2
assert_equal "$(stat -c %s plain.raw)" $((5 << 20)) "size of plain.raw"
assert_matches "$(qemu-img info disk.qcow2)" "virtual size: 64 MiB.*backing file: base.qcow2.*backing file format: qcow2" info
assert_matches "$(qemu-img info small.qcow2)" "cluster_size: 4096.*refcount bits: 1" info
assert_fails "base.qcow2.*exists" "$BLOCKGRAPHFS" create -f qcow2 base.qcow2 1M
assert_fails "colour" "$BLOCKGRAPHFS" create -f qcow2 -o colour=red new.qcow2 1M
[[ ! -e new.qcow2 ]] || fail "a file was left behind"
assert_fails "cluster" "$BLOCKGRAPHFS" create -f qcow2 -o cluster_size=1000 new.qcow2 1M
[[ ! -e new.qcow2 ]] || fail "a file was left behind"

note "help, version, drivers"
assert_matches "$("$BLOCKGRAPHFS" --version)" "^blockgraphfs [0-9]" "--version"
assert_matches "$("$BLOCKGRAPHFS" --help)" "user_allow_other" "--help"
drivers=$("$BLOCKGRAPHFS" --list-drivers)
for driver in file raw qcow2 null-co; do
  grep -qw -- "$driver" <<<"$drivers" || fail "--list-drivers does not name $driver"
  [[ -n $("$BLOCKGRAPHFS" --driver-help $driver) ]] || fail "--driver-help $driver prints nothing"
done
assert_matches "$("$BLOCKGRAPHFS" --driver-help qcow2)" "l2-cache-size" "--driver-help"

find_daemon() {
  local link
  for link in /proc/[0-9]*/exe; do
    if [[ $(readlink "$link" 2>/dev/null) == "$(realpath "$BLOCKGRAPHFS")" ]] &&
      [[ $(tr '\0' ' ' <"${link%exe}cmdline") == *" $1"* ]]; then
      link=${link#/proc/}
      echo "${link%/exe}"
      return 0
    fi
  done
  return 1
}

# mount_daemon MOUNTPOINT ARGUMENT…: without -f, so that it goes into the background.
mount_daemon() {
  local mountpoint=$1
  shift
  mkdir -p "$mountpoint"
  timeout 20 "$BLOCKGRAPHFS" "$@" "$mountpoint" </dev/null || fail "mounting $* did not work"
  is_mounted "$mountpoint" || fail "$mountpoint is not mounted though the command succeeded"
  daemon=$(find_daemon "$mountpoint") || fail "no daemon for $mountpoint"
  daemon_of[$mountpoint]=$daemon
}

ended() {
  wait_for 10 "the daemon ends" process_gone "$daemon"
  ! is_mounted mnt || fail "mnt is still mounted"
}

note "in the background: ready when the command returns, in a session of its own, with no terminal and no strange directory"
mount_daemon mnt disk.qcow2
cat mnt/disk >/dev/null
assert_equal "$(ps -o tty= -p "$daemon" | tr -d ' ')" "?" "terminal"
assert_equal "$(readlink "/proc/$daemon/cwd")" / "working directory"
assert_equal "$(ps -o sid= -p "$daemon" | tr -d ' ')" "$daemon" "session"
umount mnt 2>/dev/null || fusermount3 -u mnt
ended

note "blockgraphfs unmount returns when images and locks are given back"
mount_daemon mnt disk.qcow2
printf x | dd of=mnt/disk conv=notrunc status=none
"$BLOCKGRAPHFS" unmount mnt
process_gone "$daemon" || assert_equal "$(file_descriptors "$daemon" disk.qcow2)" "" "descriptors"
ended
assert_clean disk.qcow2
assert_fails "mnt" "$BLOCKGRAPHFS" unmount mnt
assert_fails "nowhere" "$BLOCKGRAPHFS" unmount nowhere

note "blockgraphfs unmount of a busy mount fails and leaves it"
mount_daemon mnt disk.qcow2
exec 7<mnt/disk
assert_fails "busy" "$BLOCKGRAPHFS" unmount mnt
is_mounted mnt || fail "the busy mount is gone"
exec 7<&-
poll 5 "$BLOCKGRAPHFS" unmount mnt || fail "cannot unmount"
ended

for signal in TERM INT; do
  note "SIG$signal unmounts, flushes, and ends with 0"
  mount_graph mnt disk.qcow2
  printf %s "$signal" | dd of=mnt/disk conv=notrunc status=none
  kill -$signal "$daemon"
  ended
  status=0
  wait "$daemon" || status=$?
  assert_equal "$status" 0 "exit status"
  unset 'daemon_of[mnt]'
  assert_clean disk.qcow2
  mount_graph mnt disk.qcow2
  assert_equal "$(head -c ${#signal} mnt/disk)" "$signal" "what was written before the signal"
  unmount mnt
done

note "SIGTERM with a writing handle open: detached at once, served until the handle goes"
mount_graph mnt disk.qcow2
exec 7<>mnt/disk
printf early >&7
kill -TERM "$daemon"
wait_for 5 "mnt is detached" bash -c "! grep -qF ' $scratch/mnt ' /proc/self/mountinfo"
process_runs "$daemon" || fail "the daemon left a writer alone"
printf late >&7
exec 7>&-
ended
wait "$daemon" || fail "the daemon ended with $?"
unset 'daemon_of[mnt]'
assert_clean disk.qcow2
assert_equal "$(qemu-io -r -c "read -v 0 16" disk.qcow2 | grep -o earlylate)" earlylate "what the handle wrote"

note "a second signal ends it with the handle open"
mount_graph mnt disk.qcow2
exec 7<>mnt/disk
kill -TERM "$daemon"
sleep 0.5
kill -TERM "$daemon"
ended
exec 7>&- || true
wait "$daemon" || true
unset 'daemon_of[mnt]'
assert_clean disk.qcow2

note "SIGKILL of the daemon leaves images that qemu-img finds without corruption"
mount_graph mnt disk.qcow2
exec 7<>mnt/disk
dd if=/dev/zero bs=64k count=32 status=none >&7
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
exec 7>&- || true
umount -l mnt 2>/dev/null || fusermount3 -uz mnt
unset 'daemon_of[mnt]'
status=0
qemu-img check -q -f qcow2 disk.qcow2 >/dev/null || status=$?
((status == 0 || status == 3)) || fail "qemu-img check ended with $status"

note "mount(8) with the type fuse.blockgraphfs"
if (($(id -u) == 0)) && [[ -n ${E2E_ISOLATED:-} && -x /sbin/mount.fuse3 ]]; then
  # The helper of mount(8) looks where root's programs are: show it ours there, in this mount namespace only.
  mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
  own_mounts+=(/usr/local/bin)
  cp "$BLOCKGRAPHFS" /usr/local/bin/blockgraphfs
  BLOCKGRAPHFS=/usr/local/bin/blockgraphfs
  mount -t fuse.blockgraphfs "$scratch/base.qcow2" "$scratch/mnt" || fail "mount failed"
  is_mounted mnt || fail "nothing is mounted"
  daemon=$(find_daemon "$scratch/mnt")
  daemon_of[mnt]=$daemon
  assert_equal "$(ls mnt)" "base
base.file" "nodes"
  umount mnt
  ended
  mount -t fuse.blockgraphfs -o ro "$scratch/base.qcow2" "$scratch/mnt" || fail "mount -o ro failed"
  daemon=$(find_daemon "$scratch/mnt")
  daemon_of[mnt]=$daemon
  assert_open_fails "Read-only file system" mnt/base
  umount mnt
  ended
fi
