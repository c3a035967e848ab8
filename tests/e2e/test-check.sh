#!/bin/bash
# check counts as qemu-img does, mends so that qemu-img agrees, and leaves alone what others use.
. "$(dirname "$0")/lib.sh"
[[ -x $BLOCKGRAPHFS ]] || fail "$BLOCKGRAPHFS is not built"
need_tools qemu-img qemu-io jq

# status COMMAND…: prints its exit status.
status() {
  local result=0
  "$@" >/dev/null 2>&1 || result=$?
  printf '%s\n' "$result"
}

# same_check IMAGE: the same numbers and the same exit status as qemu-img's.
same_check() {
  qemu-img check --output=json "$1" 2>/dev/null | jq -S . >theirs || true
  "$BLOCKGRAPHFS" check --json "$1" 2>/dev/null | jq -S . >ours || true
  diff theirs ours >&2 || fail "$1: the results differ"
  assert_equal "$(status "$BLOCKGRAPHFS" check "$1")" "$(status qemu-img check "$1")" "exit status for $1"
}

# number FILE OFFSET: the big-endian 64-bit number there, as the shell calculates (signed).
number() {
  printf '%s\n' "$((16#$(od -An -tx1 -j "$2" -N 8 "$1" | tr -d ' \n')))"
}

make_image() {
  rm -f a.qcow2
  qemu-img create -q -f qcow2 -o "$1" a.qcow2 2M
  qemu-io -c "write -P 1 0 300k" -c "write -P 2 1M 100k" -c "write -z 400k 128k" a.qcow2 >/dev/null
}

first_block() {
  number a.qcow2 "$(number a.qcow2 48)"
}

note "sound images of all shapes"
for options in cluster_size=512 cluster_size=4096,refcount_bits=1 refcount_bits=64 compat=0.10 cluster_size=2M; do
  make_image "$options"
  same_check a.qcow2
done
make_image cluster_size=4096
for name in one two; do
  qemu-img snapshot -c "$name" a.qcow2
  qemu-io -c "write -P 3 10k 50k" a.qcow2 >/dev/null
done
qemu-img bitmap --add -g 4096 a.qcow2 b
same_check a.qcow2
head -c 1M "$BLOCKGRAPHFS" >raw
qemu-img convert -c -f raw -O qcow2 raw compressed.qcow2
same_check compressed.qcow2

note "leaks: 3, given back with --repair leaks"
make_image cluster_size=4096
poke a.qcow2 $(($(first_block) + 2 * 1000)) 00 01
truncate -s 8M a.qcow2
same_check a.qcow2
assert_equal "$(status "$BLOCKGRAPHFS" check a.qcow2)" 3 "exit status"
"$BLOCKGRAPHFS" check --repair leaks a.qcow2 >said
grep -qi "1 leaked" said || fail "no leak was mended: $(cat said)"
assert_clean a.qcow2

note "corruptions: 2, mended with --repair all and not with leaks"
cp --sparse=always a.qcow2 good.qcow2
poke a.qcow2 "$(first_block)" 00 00 00 07 00 00
same_check a.qcow2
assert_equal "$(status "$BLOCKGRAPHFS" check a.qcow2)" 2 "exit status"
assert_equal "$(status "$BLOCKGRAPHFS" check --repair leaks a.qcow2)" 2 "exit status with leaks only"
"$BLOCKGRAPHFS" check --repair all --json a.qcow2 >said 2>findings
assert_equal "$(jq '.["corruptions-fixed"] > 0' said)" true "corruptions-fixed"
[[ -s findings ]] || fail "nothing was told"
assert_clean a.qcow2
qemu-img compare -q good.qcow2 a.qcow2

note "a refcount table without its block"
poke a.qcow2 "$(number a.qcow2 48)" 00 00 00 00 00 00 00 00
"$BLOCKGRAPHFS" check -q --repair all a.qcow2
assert_clean a.qcow2
qemu-img compare -q good.qcow2 a.qcow2

note "what cannot be mended is told, and left"
l2=$(($(number a.qcow2 "$(number a.qcow2 40)") & 0xffffffffffffff))
poke a.qcow2 "$l2" b0
assert_equal "$(status "$BLOCKGRAPHFS" check --repair all a.qcow2)" 2 "exit status"
same_check a.qcow2

note "the mark of a corrupt image goes when nothing is wrong"
cp good.qcow2 a.qcow2
poke a.qcow2 79 02
"$BLOCKGRAPHFS" check a.qcow2 >/dev/null
assert_equal "$(od -An -tu1 -j 79 -N 1 a.qcow2 | tr -d ' ')" 2 "the mark after a check"
"$BLOCKGRAPHFS" check --repair all a.qcow2 >/dev/null
assert_clean a.qcow2

note "no qcow2: 63; no image, no such file, bad usage: 1"
truncate -s 1M plain.raw
assert_equal "$(status "$BLOCKGRAPHFS" check plain.raw)" 63 "exit status for raw"
assert_equal "$(status "$BLOCKGRAPHFS" check missing.qcow2)" 1 "exit status for a missing file"
assert_equal "$(status "$BLOCKGRAPHFS" check --format qcow2 plain.raw)" 1 "exit status for a false format"
assert_equal "$(status "$BLOCKGRAPHFS" check)" 1 "exit status without IMAGE"
assert_equal "$(status "$BLOCKGRAPHFS" check --repair some a.qcow2)" 1 "exit status for a false --repair"

note "an image that another process writes is refused, naming it; one that others read is checked and not mended"
mkfifo commands
qemu-io a.qcow2 <commands >held 2>&1 &
holder=$!
own_processes+=("$holder")
exec 9>commands
printf "write 0 512\nflush\n" >&9
wait_for 10 "qemu-io holds the image" grep -q wrote held
assert_fails "$holder|qemu-io" "$BLOCKGRAPHFS" check a.qcow2
assert_fails "$holder|qemu-io" "$BLOCKGRAPHFS" check --repair all a.qcow2
exec 9>&-
wait "$holder" || true

note "a dirty image is mended by its first writer, and by readers left alone"
need_fuse
rm -f a.qcow2
qemu-img create -q -f qcow2 -o lazy_refcounts=on,cluster_size=4096 a.qcow2 2M
qemu-io -c "write -P 5 0 200k" -c "flush" -c "abort" a.qcow2 >/dev/null 2>&1 || true
assert_equal "$(($(od -An -tu1 -j 79 -N 1 a.qcow2) & 1))" 1 "dirty after a crash"
before=$(digest a.qcow2)
mount_graph mnt a.qcow2
head -c 200k mnt/a | cmp - <(head -c 200k /dev/zero | tr '\0' '\5')
assert_equal "$(digest a.qcow2)" "$before" "the image after reading"
assert_equal "$(attribute mnt/a write-state)" available "write state"
printf x | dd of=mnt/a bs=1 seek=1000000 conv=notrunc status=none
unmount mnt
assert_clean a.qcow2
qemu-io -c "read -P 5 0 200k" a.qcow2 | grep -q "read 204800" || fail "the content is lost"
