#!/bin/bash
# The host's disk is full: ENOSPC, nothing broken, and writing goes on when there is space again.
. "$(dirname "$0")/lib.sh"
need_fuse
need_root
need_tools qemu-img openssl

mkdir small
mount -t tmpfs -o size=8m tmpfs small 2>/dev/null || skip "tmpfs cannot be mounted"
own_mounts+=("$scratch/small")
random_bytes 16M 16 >content.raw
for cluster_size in 4096 65536; do
  note "cluster size $cluster_size"
  qemu-img create -q -f qcow2 -o cluster_size=$cluster_size small/disk.qcow2 16M
  head -c 2M /dev/zero >small/ballast
  mount_graph mnt small/disk.qcow2
  assert_fails "No space left on device" dd if=content.raw of=mnt/disk bs=64k conv=notrunc,fsync
  assert_equal "$(cmp -n 1M mnt/disk content.raw && echo same)" same "what was written before"
  rm small/ballast
  dd if=content.raw of=mnt/disk bs=64k count=96 conv=notrunc,fsync status=none || fail "no writing after space was freed"
  cmp -n 6M mnt/disk content.raw >&2 || fail "content differs"
  unmount mnt
  assert_clean small/disk.qcow2
  qemu-img convert -f qcow2 -O raw small/disk.qcow2 seen.raw
  cmp -n 6M seen.raw content.raw >&2 || fail "content differs"
  rm small/disk.qcow2
done
