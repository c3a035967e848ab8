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

note "completion completes"
complete_line() {
  (
    set +eE # as an interactive shell runs it
    # shellcheck disable=SC1091 # shipped beside
    . "$source_dir/contrib/completion/blockgraphfs"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _blockgraphfs "$1" "${*: -1}" ""
    printf '%s\n' "${COMPREPLY[@]}"
  )
}
# completes_to WANTED WORD…: WANTED is among what the last of the words is completed to.
completes_to() {
  local wanted=$1 offered
  shift
  mapfile -t offered < <(complete_line "$BLOCKGRAPHFS" "$@")
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

if command -v mandoc >/dev/null; then
  note "mandoc finds no fault"
  said=$(mandoc -T lint -W warning "$manual") || true
  assert_equal "$said" "" "mandoc -T lint"
fi
if command -v shellcheck >/dev/null; then
  note "shellcheck finds no fault"
  cd "$source_dir"
  shellcheck contrib/deps contrib/quickstart contrib/check contrib/lib.sh contrib/scratch.sh contrib/bench/run contrib/bench/*.sh \
    contrib/completion/* .ci/run tests/e2e/run tests/e2e/*.sh >&2
fi
