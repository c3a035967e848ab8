#!/bin/bash
# The same for a user without privileges, through fusermount3.
. "$(dirname "$0")/lib.sh"
need_tools qemu-img getfattr openssl
enter_user_namespace
need_fuse
runner=("${user_runner[@]}")
cd "$scratch/user"

random_bytes 1M 4 >base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw disk.qcow2 4M
qemu-img convert -f qcow2 -O raw disk.qcow2 shadow.raw
chmod 644 disk.qcow2 base.raw
chown "$user_id:$user_id" ./*
as_user mkdir mnt

note "mounts, reads, writes"
mount_graph mnt disk.qcow2
assert_equal "$(as_user stat -c %a mnt/disk)" 644 "mode"
as_user cmp mnt/disk shadow.raw
printf 'written by a user' | as_user dd of=mnt/disk bs=1 seek=70000 conv=notrunc status=none
printf 'written by a user' | dd of=shadow.raw bs=1 seek=70000 conv=notrunc status=none
as_user cmp mnt/disk shadow.raw
wait_for 1 "read-only after the last close" all_read_only "$daemon" disk.qcow2 base.raw

user_mode_is() {
  [[ $(as_user stat -c %a "$1") == "$2" ]]
}

note "chmod a-w on the image: 444 and EACCES; chmod u+w: 644 again, without mounting again"
as_user chmod a-w disk.qcow2
wait_for 2 "the mode is 444" user_mode_is mnt/disk 444
assert_fails "Permission denied" "${user_runner[@]}" dd if=/dev/null of=mnt/disk conv=notrunc
assert_equal "$(as_user getfattr --only-values -n user.blockgraph.write-state mnt/disk)" unwritable "write state"
as_user chmod u+w disk.qcow2
wait_for 2 "the mode is 644" user_mode_is mnt/disk 644
printf 'again' | as_user dd of=mnt/disk conv=notrunc status=none
printf 'again' | dd of=shadow.raw conv=notrunc status=none

note "allow_other is not implied: nobody else, not even root, looks in"
assert_fails "Permission denied" ls mnt

note "blockgraphfs unmount works for the user and returns when the image is released"
as_user "$BLOCKGRAPHFS" unmount mnt
process_gone "$daemon" || assert_equal "$(file_descriptors "$daemon" disk.qcow2)" "" "descriptors on the image"
wait_for 10 "the daemon ends" process_gone "$daemon"
wait "$daemon"
assert_clean disk.qcow2
assert_content qcow2 disk.qcow2 shadow.raw

note "an image that belongs to somebody else and is read-only for others"
chown 0:0 base.raw
qemu-img create -q -f qcow2 root.qcow2 1M
chmod 644 root.qcow2
mount_graph mnt root.qcow2
assert_equal "$(as_user stat -c %a mnt/root)" 444 "mode"
assert_fails "Permission denied" "${user_runner[@]}" dd if=/dev/null of=mnt/root conv=notrunc
unmount mnt

note "an unreadable image is refused"
chmod 600 root.qcow2
assert_fails "root.qcow2.*Permission denied" "${user_runner[@]}" "$BLOCKGRAPHFS" root.qcow2 mnt
! is_mounted mnt || fail "something is mounted"
