"""Completion for zsh, by its own `_arguments`: static, with the help of each command. Pure."""

from __future__ import annotations

from tree import Command, Parameter


def build(program: Command) -> str:
    """Return the function file."""
    lines = ["#compdef pypicached", "", "# Made from the commands of pypicached."]
    for command in program.walk():
        lines += ["", *_function(command)]
    return "\n".join([*lines, "", '_pypicached "$@"', ""])


def _function(command: Command) -> list[str]:
    lines = [f"{_name(command)}() {{"]
    specifications = [s for option in command.options for s in _option(option)]
    if command.commands:
        return [*lines, *_group(command, specifications), "}"]
    specifications += [_argument(argument) for argument in command.arguments]
    return [*lines, "    _arguments -s -S \\", *_joined(specifications), "}"]


def _group(command: Command, specifications: list[str]) -> list[str]:
    described = [f"        {_quoted(_described(below))}" for below in command.commands]
    branches = [f"        {below.name}) {_name(below)} ;;" for below in command.commands]
    return [
        "    local curcontext=$curcontext state line",
        "    typeset -A opt_args",
        "    local -a commands=(",
        *described,
        "    )",
        "    _arguments -C \\",
        *_joined([*specifications, "1: :->command", "*:: :->rest"]),
        "    case $state in",
        "    command) _describe command commands ;;",
        "    rest)",
        "        case $line[1] in",
        *branches,
        "        esac",
        "        ;;",
        "    esac",
    ]


def _name(command: Command) -> str:
    return "_" + "_".join(command.path)


def _described(command: Command) -> str:
    return f"{command.name}:{command.summary}"


def _joined(specifications: list[str]) -> list[str]:
    quoted = [f"        {_quoted(specification)}" for specification in specifications]
    return [f"{line} \\" for line in quoted[:-1]] + quoted[-1:]


def _option(option: Parameter) -> list[str]:
    help_text = _escaped(option.help.split(". ")[0])
    repeated = "*" if option.is_repeatable else ""
    value = f":{_escaped(option.placeholder)}:{_action(option)}" if option.placeholder else ""
    return [f"{repeated}{name}[{help_text}]{value}" for name in option.names]


def _argument(argument: Parameter) -> str:
    position = "*" if argument.is_repeatable else "1"
    name = _escaped(argument.placeholder.strip("[]."))
    # Where anything may be typed, that must not keep an option from being completed.
    action = f'_guard "^-*" {name}' if argument.takes == "text" else _action(argument)
    return f"{position}:{name}:{action}"


def _action(parameter: Parameter) -> str:
    actions = {"file": "_files", "directory": "_files -/"}
    # A space says that something is to be typed here for which there are no offers.
    choices = f"({' '.join(parameter.choices)})" if parameter.choices else " "
    return actions.get(parameter.takes, choices)


def _escaped(text: str) -> str:
    for character in ("\\", ":", "[", "]"):
        text = text.replace(character, f"\\{character}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
