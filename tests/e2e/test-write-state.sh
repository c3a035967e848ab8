#!/bin/bash
# The w bits of a node file say whether opening it for writing would succeed now; the attributes and the log say why not.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img getfattr

qemu-img create -q -f qcow2 base.qcow2 4M
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
chmod 644 base.qcow2 disk.qcow2
mount_graph mnt disk.qcow2

note "the modes at rest"
assert_mode mnt/disk 644
assert_mode mnt/disk.backing 644
assert_mode mnt/disk.file 444
assert_mode mnt/disk.backing.file 444
assert_equal "$(attribute mnt/disk driver)" qcow2 "driver"
assert_equal "$(attribute mnt/disk.backing write-state)" available "write state of the base"
assert_equal "$(attribute mnt/disk.file write-state)" blocked "write state of the file below"
assert_matches "$(attribute mnt/disk.file reason)" disk "reason of the file below"

note "base 644 -> 444 while the overlay is open -> 644"
exec 7<mnt/disk
assert_mode mnt/disk.backing 444 1
assert_equal "$(attribute mnt/disk.backing write-state)" blocked "write state of the base"
reason=$(attribute mnt/disk.backing reason)
assert_matches "$reason" "disk" "reason of the base"
assert_open_fails "Device or resource busy" mnt/disk.backing
grep -q "disk.backing" mnt.log || fail "the refusal is not in the log: $(cat mnt.log)"
assert_mode mnt/disk 644
exec 7<&-
assert_mode mnt/disk.backing 644 1
printf x | dd of=mnt/disk.backing conv=notrunc status=none

note "a writer of the base keeps the overlay from being opened, and the file says so"
exec 7<>mnt/disk.backing
assert_mode mnt/disk 444 1
assert_fails "Device or resource busy" cat mnt/disk
assert_equal "$(attribute mnt/disk.backing write-state)" writable "write state of the base"
exec 7>&-
assert_mode mnt/disk 644 2
cat mnt/disk >/dev/null

note "a handle that was just closed does not stand in the way"
for _ in 1 2 3 4 5; do
  cat mnt/disk >/dev/null
  printf x | dd of=mnt/disk.backing conv=notrunc status=none
done

note "the bytes under a format node are read, not written"
head -c 4 mnt/disk.file | cmp - <(printf 'QFI\xfb')
assert_open_fails "Device or resource busy" mnt/disk.file

note "the mode of the image file is the ceiling"
chmod 600 disk.qcow2
assert_mode mnt/disk 600 2
chmod 666 disk.qcow2
assert_mode mnt/disk 666 2
exec 7<mnt/disk
assert_mode mnt/disk.backing 444 1
exec 7<&-
chmod 644 disk.qcow2
assert_mode mnt/disk 644 2

note "chmod pins a node read-only and takes the pin back"
chmod a-w mnt/disk
assert_mode mnt/disk 444 1
assert_equal "$(attribute mnt/disk write-state)" read-only "write state of the pinned disk"
assert_open_fails "Read-only file system" mnt/disk
chmod u+w mnt/disk
assert_mode mnt/disk 644 1
printf x | dd of=mnt/disk conv=notrunc status=none

note "chmod while a writing handle is open succeeds without effect"
exec 7<>mnt/disk
chmod a-w mnt/disk
printf y >&7
exec 7>&-
assert_mode mnt/disk 644 1
unmount mnt

note "--read-only is EROFS for the whole chain, and no pin is taken back from it"
mount_graph ro --read-only disk.qcow2
assert_mode ro/disk 444
assert_mode ro/disk.backing 444
assert_open_fails "Read-only file system" ro/disk
assert_open_fails "Read-only file system" ro/disk.backing
chmod u+w ro/disk || true
assert_mode ro/disk 444 1
unmount ro
assert_clean disk.qcow2 base.qcow2
