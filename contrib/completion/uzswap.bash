# Completion of uzswap(1) for bash. Installed as share/bash-completion/completions/uzswap.

# The options of a command, and those of them that take a value.
_uzswap_options() {
  case $1 in
    run)
      echo "--limit --codec --pool --dictionary --pool-limit --backing --backing-size" \
        "--backing-write-limit --encrypt --engine --stats --metrics --summary --no-follow --help" ;;
    advise) echo "--pages --json --help" ;;
    train) echo "--pages --pid --output --size --help" ;;
    ps) echo "--json --help" ;;
    top) echo "--once --interval --sort --help" ;;
    check) echo "--container --help" ;;
    set) echo "limit= pool-limit= codec= write-limit= --help" ;;
    shrink) echo "--to --help" ;;
    help) echo "run check advise train ps top set shrink --help" ;;
  esac
}

_uzswap_takes_value() {
  case $1 in
    --encrypt | --summary | --no-follow | --json | --once | --container | --help) return 1 ;;
    -*) return 0 ;;
    *) return 1 ;;
  esac
}

# Values of the option $1; false if there is nothing to choose from.
_uzswap_values() {
  local current=$2 words=""
  case $1 in
    --limit) words="auto" ;;
    --codec) words="auto lz4 zstd" ;;
    --pool) words="zsmalloc zbud" ;;
    --engine) words="sibling threads" ;;
    --sort) words="used stall faults pool pid" ;;
    --pid) words=$(ps -eo pid= 2>/dev/null) ;;
    --dictionary) words="auto off" ;;
    --backing | --stats | --metrics | --pages | --output | -o) ;;
    *) return ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  case $1 in
    --dictionary | --backing | --stats | --metrics | --pages | --output | -o)
      compopt -o filenames 2>/dev/null
      mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current") ;;
  esac
}

# The numbers of the runs of this machine.
_uzswap_runs() { uzswap ps 2>/dev/null | sed -n 's/^run \([0-9]*\):.*/\1/p'; }

# Where the command of `uzswap run` begins among the words before the current one; nothing if not yet.
_uzswap_program_at() {
  local at
  for ((at = 2; at <= COMP_CWORD; at++)); do
    case ${COMP_WORDS[at]} in
      --) echo $((at + 1)); return ;;
      -*) _uzswap_takes_value "${COMP_WORDS[at]}" && at=$((at + 1)) ;;
      *) echo "$at"; return ;;
    esac
  done
}

_uzswap() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command=${COMP_WORDS[1]} at
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(
      compgen -W "run check advise train ps top set shrink help --help --version" -- "$current")
    return
  fi
  if [[ $command == run ]]; then
    at=$(_uzswap_program_at)
    if [[ -n $at ]] && ((COMP_CWORD > at)) && declare -F _command_offset >/dev/null; then
      _command_offset "$at"
      return
    fi
    if [[ -n $at ]] && ((COMP_CWORD >= at)); then
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(
        if ((COMP_CWORD == at)); then compgen -c -- "$current"; fi
        compgen -f -- "$current")
      return
    fi
  fi
  if _uzswap_takes_value "$previous"; then
    _uzswap_values "$previous" "$current"
    return
  fi
  mapfile -t COMPREPLY < <(compgen -W "$(_uzswap_options "$command")" -- "$current")
  if [[ $current != -* ]]; then
    case $command in
      advise | train)
        mapfile -t COMPREPLY < <(compgen -W "$(ps -eo pid= 2>/dev/null)" -- "$current") ;;
      set | shrink)
        ((COMP_CWORD == 2)) && mapfile -t COMPREPLY < <(compgen -W "$(_uzswap_runs)" -- "$current") ;;
    esac
  fi
}

complete -F _uzswap uzswap
