#!/bin/bash
# A small slice of the benchmark: every kind of workload runs, and what it writes is complete. How fast anything is, is not judged.
. "$(dirname "$0")/lib.sh"
need_fuse
need_tools qemu-img fio jq
sanitized && skip "a sanitizer's build says nothing about speed"
bench=$source_dir/contrib/bench/run

assert_fails 'usage:' "$bench" --no-such-option
assert_fails 'from 16' "$bench" --size=1
assert_fails "'qemus' is none of" "$bench" --systems=qemus
assert_fails "no workload's name matches" "$bench" --workloads='no/*'
assert_fails 'no qemu-storage-daemon that runs' "$bench" --second-qemu=/bin/false --output=out

patterns=(raw/read-1m-cold qcow2/randwrite-4k-qd32 'allocate/randwrite*' mount/chain-8 resident/disk-1g)
hostless="mount/chain-8 resident/disk-1g"
if grep -qw nbd <<<"$("$BLOCKGRAPHFS" --list-drivers)" && command -v qemu-nbd >/dev/null; then
  patterns+=(nbd/randwrite-4k-1job)
  hostless="nbd/randwrite-4k-1job $hostless"
fi
"$bench" "${patterns[@]/#/--workloads=}" --systems=host,blockgraphfs,second-qemu --size=16 --seconds=0.2 --rounds=2 \
  --directory=. --output=out >printed || fail "$(cat printed out/log)"
cat printed

assert_equal "$(jq '.workloads | length' out/results.json)" "${#patterns[@]}" "workloads"
assert_equal "$(jq -r '.skipped | keys[]' out/results.json)" second-qemu "skipped"
assert_equal "$(jq '[.workloads[] | select(.systems.blockgraphfs.values | length != 2)] | length' out/results.json)" 0 \
  "workloads without a value for each round"
assert_equal "$(jq -r '[.workloads[] | select(.ratios.blockgraphfs.host | not) | .name] | join(" ")' out/results.json)" \
  "$hostless" "workloads without the host's file"
assert_equal "$(jq '[.aims[] | select(.workload == "raw/read-1m-cold")] | length' out/results.json)" 1 "aims"
for pattern in "${patterns[@]}"; do
  assert_matches "$(<out/table.txt)" "${pattern//\*/[^ ]*} +[A-Za-z/]+ +[-0-9]" "table"
done
assert_matches "$(<out/chart.svg)" '^<svg .*<circle .*</svg>$' "chart"

note "ended early, it leaves nothing behind"
background "$bench" --systems=blockgraphfs --workloads='qcow2/randread-4k-1job' --size=16 --seconds=2 --rounds=9 --directory=. --output=early
wait_for 20 "it measures" grep -q '^== ' early/log
kill -TERM "$!"
wait_for 20 "it ends" process_gone "$!"
assert_equal "$(find . -maxdepth 1 -name 'blockgraphfs-run.*')" "" "directories left behind"
