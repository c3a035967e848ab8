# shellcheck shell=bash
# shellcheck disable=SC2154 # e2e_dir is lib.sh's, socket the test's
# For tests that speak QMP to a daemon whose socket is $socket. Events go to the file `events`.

# connect_client: from now on qmp speaks to the daemon at $socket.
connect_client() {
  coproc client { exec python3 "$e2e_dir/qmp-client.py" "$socket" --events "$PWD/events"; }
  own_processes+=("$client_PID")
}

disconnect_client() {
  local pid=$client_PID
  # shellcheck disable=SC1083,SC2093 # it closes a descriptor
  exec {client[1]}>&-
  wait "$pid" || true
}

# qmp REQUEST…: each NAME, or NAME ARGUMENTS. What is answered to the last is in $answer; fails if that is an error.
answer=
qmp() {
  local request
  for request in "$@"; do
    printf '%s\n' "$request" >&"${client[1]}"
    read -r -t 60 answer <&"${client[0]}" || fail "no answer to $request"
  done
  [[ $answer != '{"error"'* ]]
}

qmp_ok() {
  qmp "$@" || fail "$*: $answer"
}

# qmp_fails PATTERN REQUEST…
qmp_fails() {
  local pattern=$1
  shift
  ! qmp "$@" || fail "$* was done: $answer"
  assert_matches "$answer" "$pattern" "answer to $*"
}
