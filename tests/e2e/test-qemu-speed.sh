#!/bin/bash
# The comparison of reading speed with QEMU's FUSE export runs and prints both figures. Which is faster is not judged
# here: a busy machine would decide it.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img qemu-storage-daemon fio jq
sanitized && skip "a sanitizer's build says nothing about speed"

"$source_dir/contrib/bench/read-vs-qemu" --size=64 --seconds=1 --rounds=1 >figures || fail "$(cat figures)"
cat figures
for what in "1 MiB sequential" "4 KiB random, 4 jobs"; do
  line=$(grep -F "$what" figures) || fail "no line for $what"
  assert_matches "$line" "blockgraphfs +[1-9][0-9.]* .*QEMU +[1-9][0-9.]* .*ratio +[0-9.]+" "line"
done
