# Completion of turnpike's commands in bash: the program itself says what may stand there.
#
#   source <(turnpike completion bash)

_turnpike()
{
    local line="${COMP_LINE:0:COMP_POINT}" words current rest kind word more
    local -a found=()

    # As they were typed: bash itself would cut words at "=" and ":".
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]} - 1]}"
    rest="${current##*[:=]}"
    COMPREPLY=()
    while IFS=$'\t' read -r word more; do
        case $word in
        :files | :dirs) kind=$word ;;
        *) found+=("$word") ;;
        esac
    done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
    case $kind in
    :files) compopt -o filenames 2>/dev/null; more=-f ;;
    :dirs) compopt -o filenames 2>/dev/null; more=-d ;;
    *) more= ;;
    esac
    if [[ -n $more ]]; then
        while IFS= read -r word; do
            found+=("$word")
        done < <(compgen "$more" -- "${current##*=}")
    fi
    for word in "${found[@]}"; do
        # Bash puts what it gets behind the last of them.
        [[ $word == "${current%"$rest"}"* ]] && word="${word:${#current} - ${#rest}}"
        [[ -z $more && $word == *[^A-Za-z0-9_./@%+,=:-]* ]] && printf -v word %q "$word"
        COMPREPLY+=("$word")
    done
    # A list goes on, and so does an option that takes its value after "=".
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=,] ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _turnpike turnpike
