#!/bin/bash
# info and map tell what qemu-img tells, under the same names.
. "$(dirname "$0")/lib.sh"
[[ -x $BLOCKGRAPHFS ]] || fail "$BLOCKGRAPHFS is not built"
need_tools qemu-img qemu-io jq

# same_info IMAGE OPTION…: newer versions of qemu-img tell more (children).
same_info() {
  local filter='(if type == "array" then .[] else . end) | del(.children) |
    if .format == "raw" then del(.["format-specific"]) else . end'
  qemu-img info --output=json "${@:2}" "$1" | jq -S "$filter" >theirs
  "$BLOCKGRAPHFS" info --json "${@:2}" "$1" | jq -S "$filter" >ours
  diff theirs ours >&2 || fail "info of $1 differs"
}

# same_map IMAGE: field by field; holes of the file inside allocated clusters are told by us always, by qemu-img sometimes.
same_map() {
  local filter='map(del(.compressed)) | .[] | tojson'
  qemu-img map --output=json "$1" | jq -r "$filter" >theirs
  "$BLOCKGRAPHFS" map --json "$1" | jq -r "$filter" >ours
  diff theirs ours >&2 || fail "map of $1 differs"
}

truncate -s 1M base.raw
qemu-io -f raw -c "write -P 1 0 128k" -c "write -P 2 512k 64k" base.raw >/dev/null
qemu-img create -q -f qcow2 -b base.raw -F raw middle.qcow2 2M
qemu-io -c "write -P 3 64k 64k" -c "write -z 256k 64k" -c "write -P 4 1536k 64k" middle.qcow2 >/dev/null
qemu-img create -q -f qcow2 -o lazy_refcounts=on,compression_type=zstd -b middle.qcow2 -F qcow2 top.qcow2 3M
qemu-io -c "write -P 5 192k 64k" -c "write -z -u 512k 64k" -c "write -P 6 2M 64k" top.qcow2 >/dev/null
qemu-img snapshot -c before top.qcow2
qemu-img bitmap --add -g 4k top.qcow2 fine
qemu-img bitmap --add --disable top.qcow2 off
qemu-img create -q -f qcow2 -o compat=0.10,cluster_size=4096 old.qcow2 1M
qemu-img convert -c -f raw -O qcow2 base.raw compressed.qcow2

note "info"
for image in base.raw middle.qcow2 top.qcow2 old.qcow2 "$PWD/top.qcow2"; do
  same_info "$image"
  same_info "$image" --backing-chain
done
cp top.qcow2 marked.qcow2
poke marked.qcow2 79 09
same_info marked.qcow2
"$BLOCKGRAPHFS" info top.qcow2 | grep -q "middle.qcow2" || fail "the text does not name the backing file"

note "map"
for image in base.raw middle.qcow2 top.qcow2 old.qcow2 compressed.qcow2; do
  same_map "$image"
done
"$BLOCKGRAPHFS" map top.qcow2 >text
for name in base.raw middle.qcow2 top.qcow2; do
  grep -q "/$name\$" text || fail "$name is not in the map: $(cat text)"
done

note "refusals: one line, exit 1; bad usage 2"
assert_fails "missing.qcow2.*No such file" "$BLOCKGRAPHFS" info missing.qcow2
mkdir sub
qemu-img create -q -f qcow2 -b ../base.raw -F raw sub/out.qcow2
assert_fails "base.raw" "$BLOCKGRAPHFS" map sub/out.qcow2
"$BLOCKGRAPHFS" map --allow-reference "$PWD/base.raw" sub/out.qcow2 >/dev/null
"$BLOCKGRAPHFS" info sub/out.qcow2 >/dev/null
code=0
"$BLOCKGRAPHFS" info 2>/dev/null || code=$?
assert_equal "$code" 2 "exit status without IMAGE"
