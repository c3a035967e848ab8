#!/bin/bash
# Persistent dirty bitmaps through a real mount, judged by QEMU: what was written is in them, what qemu wrote stays in them, and a
# daemon that was killed leaves none that looks valid.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img qemu-io qemu-nbd jq getfattr

# dirty IMAGE BITMAP: what QEMU says is dirty, "OFFSET+LENGTH …".
dirty() {
  local server
  rm -f nbd.sock
  qemu-nbd -r -t -k "$PWD/nbd.sock" -f qcow2 -B "$2" "$1" >nbd.log 2>&1 &
  server=$!
  own_processes+=("$server")
  wait_for 10 "qemu-nbd serves $2 of $1: $(cat nbd.log)" test -S nbd.sock
  qemu-img map --output=json --image-opts \
    "driver=nbd,server.type=unix,server.path=$PWD/nbd.sock,x-dirty-bitmap=qemu:dirty-bitmap:$2" |
    jq -r 'map(select(.data | not) | "\(.start)+\(.length)") | join(" ")'
  end_process "$server"
}

# flags IMAGE BITMAP: "in-use auto", "auto", …
flags() {
  qemu-img info -U --output=json "$1" |
    jq -r --arg name "$2" '.["format-specific"].data.bitmaps[] | select(.name == $name) | .flags | join(" ")'
}

# count MOUNT/NODE-NAME BITMAP: bytes that are dirty, as nodes.json has it.
count() {
  jq -r --arg node "$1" --arg name "$2" \
    '.nodes[] | select(."node-name" == $node) | ."dirty-bitmaps"[]? | select(.name == $name) | .count' mnt/.graph/nodes.json
}

write_at() {
  head -c "$2" /dev/zero | tr '\0' "$3" | dd of=mnt/disk bs=64k seek="$1" oflag=seek_bytes conv=notrunc,nocreat status=none
}

make_image() {
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 -o "$1" disk.qcow2 8M
  qemu-img bitmap --add -g 4k disk.qcow2 fine
  qemu-img bitmap --add -g 64k disk.qcow2 middle
  qemu-img bitmap --add -g 1M disk.qcow2 coarse
  qemu-img bitmap --add -g 64k --disable disk.qcow2 off
}

for options in cluster_size=64k cluster_size=512 cluster_size=2M cluster_size=16k,extended_l2=on lazy_refcounts=on; do
  note "what is written is marked ($options)"
  make_image "$options"
  mount_graph mnt disk.qcow2
  exec 7<>mnt/disk
  for name in fine middle coarse; do
    assert_equal "$(flags disk.qcow2 $name)" "in-use auto" "flags of $name while there is a writer"
  done
  assert_equal "$(flags disk.qcow2 off)" "" "flags of the bitmap that does not record"
  write_at 5000 100 a
  write_at 1048576 70000 b
  fallocate -p -o 4194304 -l 65536 mnt/disk
  assert_equal "$(count disk fine)" $((4096 + 73728 + 65536)) "dirty bytes in nodes.json"
  exec 7>&-
  unmount mnt
  assert_clean disk.qcow2
  assert_equal "$(flags disk.qcow2 fine)" auto
  assert_equal "$(dirty disk.qcow2 fine)" "4096+4096 1048576+73728 4194304+65536"
  assert_equal "$(dirty disk.qcow2 middle)" "0+65536 1048576+131072 4194304+65536"
  assert_equal "$(dirty disk.qcow2 coarse)" "0+2097152 4194304+1048576"
  assert_equal "$(dirty disk.qcow2 off)" ""
done

note "from us to qemu to us"
qemu-io -f qcow2 -c "write 6M 4k" disk.qcow2 >/dev/null
mount_graph mnt disk.qcow2
write_at 7340032 1 c
wait_for 10 "the image is given back" open_read_only "$daemon" disk.qcow2
assert_equal "$(flags disk.qcow2 fine)" auto "flags soon after the last writer has left"
write_at 7344128 1 c
unmount mnt
assert_equal "$(dirty disk.qcow2 fine)" "4096+4096 1048576+73728 4194304+65536 6291456+4096 7340032+8192"
qemu-img bitmap --clear disk.qcow2 fine
qemu-img bitmap --disable disk.qcow2 coarse
qemu-img bitmap --enable disk.qcow2 off
qemu-img bitmap --merge fine disk.qcow2 off
qemu-img bitmap --remove disk.qcow2 middle
mount_graph mnt disk.qcow2
write_at 0 1 d
unmount mnt
assert_equal "$(dirty disk.qcow2 fine)" "0+4096"
assert_equal "$(dirty disk.qcow2 off)" "0+65536"
assert_equal "$(dirty disk.qcow2 coarse)" "0+2097152 4194304+1048576 6291456+2097152" "what does not record any more stays"
assert_clean disk.qcow2

note "a read-only mount tells of them as a writer does"
listed() {
  jq -c '.nodes[] | select(."node-name" == "disk") | ."dirty-bitmaps"' mnt/.graph/nodes.json
}
mount_graph mnt --read-only disk.qcow2
listed >reader
unmount mnt
mount_graph mnt disk.qcow2
listed >before
exec 7<>mnt/disk
listed >writer
exec 7>&-
wait_for 10 "the image is given back" open_read_only "$daemon" disk.qcow2
listed >after
unmount mnt
[[ $(jq -c 'map(.name)' reader) == '["fine","coarse","off"]' ]] || fail "not listed: $(cat reader)"
for list in before writer after; do diff reader $list >&2 || fail "the list of a $list differs"; done

note "another size"
make_image cluster_size=512
mount_graph mnt disk.qcow2
write_at 0 1 a
truncate -s 40M mnt/disk
unmount mnt
assert_clean disk.qcow2
assert_equal "$(dirty disk.qcow2 fine)" "0+4096 8388608+33554432"
assert_equal "$(dirty disk.qcow2 off)" ""

note "a daemon that is killed leaves bitmaps in use, and the image clean"
make_image cluster_size=64k
mount_graph mnt disk.qcow2
exec 7<>mnt/disk
write_at 0 65536 a
sync mnt/disk
kill -KILL "$daemon"
wait_for 10 "the daemon is gone" process_gone "$daemon"
exec 7>&-
umount -l mnt
unset "daemon_of[mnt]"
qemu-img check -q disk.qcow2 || (($? == 3)) || fail "the image is corrupt"
assert_equal "$(flags disk.qcow2 fine)" "in-use auto"
assert_equal "$(flags disk.qcow2 off)" ""
mount_graph mnt disk.qcow2
exec 7<>mnt/disk
[[ $(jq -c '.nodes[] | select(."node-name" == "disk") | ."dirty-bitmaps" | map(.inconsistent)' mnt/.graph/nodes.json) == '[true,true,true,null]' ]] ||
  fail "not listed as inconsistent: $(cat mnt/.graph/nodes.json)"
exec 7>&-
unmount mnt
assert_equal "$(flags disk.qcow2 fine)" "in-use auto" "flags after the next writer"
assert_equal "$(dirty disk.qcow2 off)" ""
qemu-img bitmap --remove disk.qcow2 fine
qemu-img bitmap --add -g 4k disk.qcow2 fine
mount_graph mnt disk.qcow2
write_at 4096 1 a
unmount mnt
assert_equal "$(dirty disk.qcow2 fine)" "4096+4096"

note "as qemu-img tells of them"
"$BLOCKGRAPHFS" info --json disk.qcow2 | jq -S '.["format-specific"].data.bitmaps' >ours
qemu-img info --output=json disk.qcow2 | jq -S '.["format-specific"].data.bitmaps' >theirs
diff theirs ours >&2 || fail "the lists differ"
assert_matches "$("$BLOCKGRAPHFS" info disk.qcow2)" "bitmap 'fine': granularity 4096, auto"
