# Completion of pypicached-client for fish.
set -l commands enable disable status
set -l at "__fish_seen_subcommand_from"

complete -c pypicached-client -f
complete -c pypicached-client -s h -l help -d 'show this help message and exit'
complete -c pypicached-client -n "not $at $commands" -l version -d "show program's version number and exit"
complete -c pypicached-client -n "not $at $commands" -a enable -d 'write /etc/pip.conf, if there is none'
complete -c pypicached-client -n "not $at $commands" -a disable -d 'remove what enable wrote, unless it was edited'
complete -c pypicached-client -n "not $at $commands" -a status -d 'say what is enabled, and whether it answers'
complete -c pypicached-client -n "$at enable" -l uv -d 'write /etc/uv/uv.toml, too'
complete -c pypicached-client -n "$at enable" -l force -d 'also if the address does not answer'
complete -c pypicached-client -n "$at disable" -l quiet -d 'say only what stays, and do not fail for it'
complete -c pypicached-client -n "$at status" -l json -d 'print one JSON document'
