#!/bin/bash
# contrib/quickstart ends with a mounted chain.
. "$(dirname "$0")/lib.sh"
need_fuse
build=${BLOCKGRAPHFS%/*}
[[ -w $build && -f $build/Makefile && -x $source_dir/contrib/quickstart && -x $source_dir/configure ]] ||
  skip "the program does not lie in its build folder"

mounted_on() {
  sed -n 's/^Mounted on \(.*\)\. To unmount: .*/\1/p' "$1"
}

note "without an image it makes a chain"
TMPDIR=$scratch BLOCKGRAPHFS_BUILD=$build BLOCKGRAPHFS_NO_INSTALL=1 "$source_dir/contrib/quickstart" >out 2>&1 </dev/null ||
  fail "quickstart: $(cat out)"
mountpoint=$(mounted_on out)
[[ -n $mountpoint ]] || fail "quickstart does not say where it mounted: $(cat out)"
daemon_of[$mountpoint]=''
is_mounted "$mountpoint" || fail "nothing is mounted on $mountpoint"
assert_equal "$(ls "$mountpoint")" "disk
disk.backing
disk.backing.file
disk.file" "nodes"
assert_equal "$(head -c 25 "$mountpoint/disk")" "written into the overlay" "start of disk"
assert_equal "$(head -c 22 "$mountpoint/disk.backing")" "written into the base" "start of disk.backing"
grep -q "disk.backing" out || fail "the output does not show the nodes: $(cat out)"
"$BLOCKGRAPHFS" unmount "$mountpoint"
unset "daemon_of[$mountpoint]"

note "with an image and a mount point"
"$BLOCKGRAPHFS" create -f qcow2 mine.qcow2 10M
BLOCKGRAPHFS_BUILD=$build BLOCKGRAPHFS_NO_INSTALL=1 "$source_dir/contrib/quickstart" mine.qcow2 "$scratch/mine" >out 2>&1 </dev/null ||
  fail "quickstart: $(cat out)"
daemon_of[$scratch/mine]=''
assert_equal "$(stat -c %s mine/mine)" $((10 << 20)) "size"
"$BLOCKGRAPHFS" unmount mine
unset "daemon_of[$scratch/mine]"

note "an image that does not exist"
assert_fails "none.qcow2" env BLOCKGRAPHFS_BUILD="$build" BLOCKGRAPHFS_NO_INSTALL=1 "$source_dir/contrib/quickstart" none.qcow2
