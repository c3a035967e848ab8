# shellcheck shell=bash
# shellcheck disable=SC2154 # answer is qmp-lib.sh's, e2e_dir lib.sh's
# The chain that a management tool builds, whatever the storage: five levels, every protocol node auto-read-only, for the tool cannot know
# whether it may write; every backing format node read-only; and a commit in the middle, which needs the base writable for just that while. The
# test that sources this, after lib.sh and qmp-lib.sh, defines
#   storage NAME          members of JSON: the driver of the protocol node on the image NAME, and where that is
#   storage_is_read_only  whether p-l0 is open read-only

# add_disk NAME FILE BACKING OPTIONS: a protocol node and a format node on it, as such a tool adds them.
add_disk() {
  qmp_ok "blockdev-add {$(storage "$2"),\"node-name\":\"p-$1\",\"auto-read-only\":true}" \
    "blockdev-add {\"driver\":\"qcow2\",\"node-name\":\"$1\",\"file\":\"p-$1\",\"backing\":$3,$4}"
}

# Images l0 to l4, with room for what a commit brings, since not every storage grows; `before`: what the top shows.
make_chain() {
  local i
  qemu-img create -q -f qcow2 l0 8M
  for i in 1 2 3 4; do qemu-img create -q -f qcow2 -b "l$((i - 1))" -F qcow2 "l$i"; done
  for i in 0 1 2 3 4; do qemu-io -c "write -P $((i + 1)) ${i}M 2M" "l$i" >/dev/null; done
  truncate -s 16M l?
  chmod 644 l?
  qemu-img convert -O raw l4 before
}

add_chain() {
  local i
  add_disk l0 l0 null '"read-only":true'
  for i in 1 2 3; do add_disk "l$i" "l$i" "\"l$((i - 1))\"" '"read-only":true'; done
  add_disk l4 l4 '"l3"' '"auto-read-only":true'
  cmp before mnt/l4
  assert_mode mnt/l0 444
}

job_is() {
  qmp query-jobs && [[ $answer == *"\"status\": \"$1\""* ]]
}

no_jobs() {
  qmp query-jobs && [[ $answer == '{"return": []}' ]]
}

# commit_the_middle CHECK: l2 and l1 into l0; CHECK is run while the job is pending.
commit_the_middle() {
  local name order
  exec 7<mnt/l4
  storage_is_read_only || fail "the base's storage is open for writing before the commit"
  qmp_ok 'block-commit {"job-id":"j","device":"l4","top-node":"l2","base-node":"l0","auto-finalize":false,"auto-dismiss":false}'
  wait_for 20 "the job is pending" job_is pending
  ! storage_is_read_only || fail "the base is not open for writing"
  assert_open_fails "busy|Read-only" mnt/p-l0
  assert_open_fails "busy|Read-only" mnt/l0
  "$1"
  qmp_ok 'job-finalize {"id":"j"}'
  wait_for 20 "the job is concluded" job_is concluded
  qmp_ok 'job-dismiss {"id":"j"}'
  wait_for 5 "there are no jobs" no_jobs
  cmp before mnt/l4
  exec 7<&-
  for name in l2 p-l2 l1 p-l1; do
    qmp_ok "blockdev-del {\"node-name\":\"$name\"}"
    [[ ! -e mnt/$name ]] || fail "mnt/$name is still there"
  done
  wait_for 5 "the base is read-only again" storage_is_read_only
  cmp before mnt/l4
  qmp_ok query-version # events come before answers that are asked for later
  order=$(grep -oE '"(created|running|waiting|pending|concluded|null)"|BLOCK_JOB_[A-Z]+' events | tr -d '"' | tr '\n' ' ')
  assert_equal "$order" "created running waiting pending BLOCK_JOB_PENDING BLOCK_JOB_COMPLETED concluded null " "order of events"
}
