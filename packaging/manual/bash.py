"""Completion for bash: a function with the whole tree in it, so that no TAB starts a process. Pure.

It needs nothing of the bash-completion package but the directory from which that loads it.
"""

from __future__ import annotations

from tree import Command, Parameter

_HEAD = """\
# bash completion for pypicached, made from its commands.

_pypicached() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local path= at options= words= files= IFS=$' \\t\\n'
    COMPREPLY=()
    # bash takes --option=value apart, into three words.
    if [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $word == = ]]; then
        word=
    fi
    # Which command is it? Options in between do not count.
    for ((at = 1; at < COMP_CWORD; at++)); do
        case "$path ${COMP_WORDS[at]}" in
"""
_TAIL = """\
    esac
    if [[ $word == -* ]]; then
        files= words=$options
    fi
    if [[ $files ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -A "$files" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    fi
}
complete -F _pypicached pypicached
"""


def build(program: Command) -> str:
    """Return the script."""
    lines = []
    for command in program.walk()[1:]:
        path = " ".join(command.path[1:])
        lines.append(f'        " {path}") path=" {path}" ;;')
    lines += ["        esac", "    done", '    case "$path" in']
    for command in program.walk():
        lines += _branch(command)
    return _HEAD + "\n".join(lines) + "\n" + _TAIL


def _branch(command: Command) -> list[str]:
    path = "".join(f" {word}" for word in command.path[1:])
    names = [name for option in command.options for name in option.names]
    lines = [f'    "{path}")', f'        options="{" ".join(names)}"']
    lines += [f"        {_offer(command.commands, command.arguments)}"]
    valued = [option for option in command.options if option.takes != "nothing"]
    if valued:
        lines.append('        case "$before" in')
        for option in valued:
            lines.append(f"        {'|'.join(option.names)}) options= {_values(option)} ;;")
        lines.append("        esac")
    return [*lines, "        ;;"]


def _offer(commands: tuple[Command, ...], arguments: tuple[Parameter, ...]) -> str:
    if commands:
        return f'words="{" ".join(command.name for command in commands)}"'
    return _values(arguments[0]) if arguments else 'words="$options"'


def _values(parameter: Parameter) -> str:
    kinds = {"file": "files=file", "directory": "files=directory"}
    return kinds.get(parameter.takes, f'files= words="{" ".join(parameter.choices)}"')
