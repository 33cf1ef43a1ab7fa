# Completion of pypicached-client for bash.

_pypicached_client() {
    local word=${COMP_WORDS[COMP_CWORD]} words
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='enable disable status --help --version'
    else
        case ${COMP_WORDS[1]} in
            enable) words='--uv --force --help' ;;
            disable) words='--quiet --help' ;;
            status) words='--json --help' ;;
            *) words='' ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _pypicached_client pypicached-client
