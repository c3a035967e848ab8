#!/bin/bash
# What the host refuses shows in the w bits and in the errno, and goes away without mounting again.
. "$(dirname "$0")/lib.sh"
need_fuse
need_root
need_tools qemu-img getfattr

note "a read-only bind mount beneath is EROFS"
mkdir store view
qemu-img create -q -f qcow2 store/disk.qcow2 4M
mount --bind store view 2>/dev/null || skip "bind mounts are not permitted"
mount -o remount,bind,ro view
own_mounts+=("$scratch/view")
mount_graph mnt view/disk.qcow2
assert_mode mnt/disk 444 1
assert_open_fails "Read-only file system" mnt/disk
assert_equal "$(attribute mnt/disk write-state)" unwritable "write state"

note "remounting it read-write is noticed"
mount -o remount,bind,rw view
assert_mode mnt/disk 644 3
printf x | dd of=mnt/disk conv=notrunc status=none
wait_for 1 "the image is read-only again" open_read_only "$daemon" view/disk.qcow2
mount -o remount,bind,ro view
assert_mode mnt/disk 444 3
unmount mnt
umount view

note "an immutable image cannot be written by root either"
if chattr +i store/disk.qcow2 2>/dev/null; then
  mount_graph mnt store/disk.qcow2
  immutable=$(mode mnt/disk)
  said=$(dd if=/dev/null of=mnt/disk conv=notrunc 2>&1 || true)
  unmount mnt
  chattr -i store/disk.qcow2
  assert_equal "$immutable" 444 "mode of the immutable disk"
  assert_matches "$said" "Operation not permitted|Permission denied|Read-only" "refusal"
fi

note "other users meet the mode bits: a private image stays private"
chmod 600 store/disk.qcow2
chmod 755 .
mount_graph mnt store/disk.qcow2
assert_mode mnt/disk 600
assert_fails "Permission denied" setpriv --reuid=65534 --regid=65534 --clear-groups cat mnt/disk
chmod 644 store/disk.qcow2
assert_mode mnt/disk 644 3
setpriv --reuid=65534 --regid=65534 --clear-groups cat mnt/disk >/dev/null
assert_fails "Permission denied" setpriv --reuid=65534 --regid=65534 --clear-groups \
  dd if=/dev/null of=mnt/disk conv=notrunc
unmount mnt
