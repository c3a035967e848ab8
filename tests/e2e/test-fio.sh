#!/bin/bash
# fio writes and verifies checksums: asynchronous and direct, and through memory mappings.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img fio

run_fio() {
  fio --name=verify --filename="$1" "${@:2}" --verify=crc32c --verify_fatal=1 --randseed=17 --output=fio.log \
    --minimal >/dev/null 2>fio.err || fail "fio: $(cat fio.log fio.err)"
  [[ ! -s fio.err ]] || fail "fio: $(cat fio.err)"
}

qemu-img create -q -f qcow2 base.qcow2 64M
for image in qcow2 overlay raw; do
  case $image in
    qcow2) qemu-img create -q -f qcow2 disk.img 64M && options=(--format qcow2) ;;
    overlay) qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.img && options=(--format qcow2) ;;
    raw) truncate -s 64M disk.img && options=(--format raw) ;;
  esac
  mount_graph mnt "${options[@]}" disk.img
  note "$image: libaio, queue depth 16, direct, random 512 B to 16 KiB over 1 MiB"
  run_fio mnt/disk --ioengine=libaio --iodepth=16 --direct=1 --rw=randwrite --bsrange=512-16k --blockalign=512 \
    --size=1M --offset=3M --io_size=8M --serialize_overlap=1
  note "$image: buffered, four jobs, random 4 KiB"
  run_fio mnt/disk --ioengine=psync --rw=randwrite --bs=4k --size=4M --offset=8M --offset_increment=4M --numjobs=4
  note "$image: memory mapping"
  run_fio mnt/disk --ioengine=mmap --rw=randwrite --bs=4k --size=4M --offset=32M
  unmount mnt
  if [[ $image != raw ]]; then
    assert_clean disk.img
  fi
  rm disk.img
done
