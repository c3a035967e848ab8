#!/bin/bash
# The manual is well-formed and complete; scripts and completion are sound.
. "$(dirname "$0")/lib.sh"
[[ -x $BLOCKGRAPHFS ]] || fail "$BLOCKGRAPHFS is not built"
manual=$source_dir/docs/blockgraphfs.1

note "every option of --help is in the manual and in the completion"
options=$("$BLOCKGRAPHFS" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u)
[[ $(wc -l <<<"$options") -gt 8 ]] || fail "--help names few options: $options"
for option in $options; do
  spelt=${option#-}
  grep -qF -- "${spelt//-/\\-}" "$manual" || fail "$option is not in the manual"
  grep -qF -- "$option" "$source_dir/contrib/completion/blockgraphfs" || fail "$option is not in the completion"
done

note "the same of blockgraphctl's commands"
ctl=${BLOCKGRAPHFS%/*}/blockgraphctl
mapfile -t commands < <("$ctl" --help | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p')
((${#commands[@]} >= 12)) || fail "--help names few commands: ${commands[*]}"
for command in "${commands[@]}"; do
  grep -qE "^\.(It )?Cm $command\b" "$source_dir/docs/blockgraphctl.1" || fail "$command is not in the manual"
  for option in $("$ctl" "$command" --help | sed -nE 's/^  (-[a-z], )?(--[a-z-]+).*/\2/p'); do
    spelt=${option#--}
    grep -qF -- "\\-${spelt//-/\\-}" "$source_dir/docs/blockgraphctl.1" || fail "$command $option is not in the manual"
    grep -qF -- "$option" "$source_dir/contrib/completion/blockgraphctl" || fail "$command $option is not in the completion"
  done
done

note "completion completes"
complete_line() {
  (
    set +eE # as an interactive shell runs it
    # shellcheck disable=SC1090 # shipped beside
    . "$source_dir/contrib/completion/${1##*/}"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    "_${1##*/}" "$1" "${*: -1}" ""
    printf '%s\n' "${COMPREPLY[@]}"
  )
}
# completes_to WANTED WORD…: WANTED is among what the last of the words is completed to.
program=$BLOCKGRAPHFS
completes_to() {
  local wanted=$1 offered
  shift
  mapfile -t offered < <(complete_line "$program" "$@")
  [[ " ${offered[*]} " == *" $wanted "* ]] || fail "'$*' is not completed to $wanted"
}
completes_to --snapshot --sn
completes_to unmount un
completes_to --key-secret --key
completes_to --object --obj
completes_to secret,id= --object sec
completes_to id= create --secret i
completes_to qcow2 --format qc
completes_to raw create -f r
program=$ctl
mkdir completed && touch completed/disk.backing
completes_to commit com
completes_to --pivot mirror --p
completes_to plain commit --progress = p
completes_to completed tree comp
completes_to disk.backing commit completed disk
completes_to resume jobs completed re

if command -v mandoc >/dev/null; then
  note "mandoc finds no fault"
  said=$(mandoc -T lint -W warning "$source_dir"/docs/*.1) || true
  assert_equal "$said" "" "mandoc -T lint"
fi
if command -v shellcheck >/dev/null; then
  note "shellcheck finds no fault"
  cd "$source_dir"
  shellcheck contrib/deps contrib/quickstart contrib/check contrib/lib.sh contrib/scratch.sh contrib/bench/run contrib/bench/*.sh \
    contrib/completion/* .ci/run tests/e2e/run tests/e2e/*.sh >&2
fi
