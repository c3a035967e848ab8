#!/bin/bash
# The benchmark reads the same image through QEMU's FUSE export and through blockgraphfs, finds the same content in both, and
# prints both figures and their ratio. Which is faster is not judged here: a busy machine would decide it.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img qemu-storage-daemon fio jq
sanitized && skip "a sanitizer's build says nothing about speed"

"$source_dir/contrib/bench/run" --systems=blockgraphfs,qemu --workloads='qcow2/read-1m-direct' --workloads='qcow2/randread-4k-4jobs' \
  --size=64 --seconds=1 --rounds=1 --output=out >figures || fail "$(cat figures out/log)"
cat figures
for workload in qcow2/read-1m-direct qcow2/randread-4k-4jobs; do
  figures=$(jq -r --arg name "$workload" \
    '.workloads[] | select(.name == $name) | "\(.systems.blockgraphfs.median) \(.systems.qemu.median) \(.ratios.blockgraphfs.qemu)"' \
    out/results.json)
  assert_matches "$figures" "^[1-9][0-9.]* [1-9][0-9.]* [0-9]+\\.[0-9]+" "$workload"
done
