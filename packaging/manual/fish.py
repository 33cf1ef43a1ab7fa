"""Completion for fish: one `complete` line for each command, option and value. Pure."""

from __future__ import annotations

from tree import Command, Parameter


def build(program: Command) -> str:
    """Return the script."""
    lines = ["# Made from the commands of pypicached.", "complete -c pypicached -f"]
    for command in program.walk():
        seen = _condition(command)
        lines += [_command(below, seen) for below in command.commands]
        lines += [line for argument in command.arguments for line in _argument(argument, seen)]
        lines += [_option(option, seen) for option in command.options]
    return "\n".join(lines) + "\n"


def _condition(command: Command) -> str:
    """Return what is true while `command` is what is being typed."""
    path = command.path[1:]
    seen = [f"__fish_seen_subcommand_from {word}" for word in path]
    if command.commands:
        names = " ".join(below.name for below in command.commands)
        seen.append(f"not __fish_seen_subcommand_from {names}")
    return "; and ".join(seen)


def _line(condition: str, *words: str) -> str:
    return " ".join(["complete -c pypicached", f"-n '{condition}'", *words])


def _command(command: Command, condition: str) -> str:
    return _line(condition, f"-a {command.name}", f"-d {_quoted(command.summary)}")


def _option(option: Parameter, condition: str) -> str:
    names = [
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
    ]
    return _line(condition, *names, *_values(option), f"-d {_quoted(option.help.split('. ')[0])}")


def _argument(argument: Parameter, condition: str) -> list[str]:
    if argument.takes in {"file", "directory"}:
        return [_line(condition, "-F")]
    return [_line(condition, f"-a {_quoted(' '.join(argument.choices))}")] * bool(argument.choices)


def _values(option: Parameter) -> list[str]:
    if option.takes == "nothing":
        return []
    if option.takes in {"file", "directory"}:
        return ["-r -F"]
    return ["-x", *([f"-a {_quoted(' '.join(option.choices))}"] if option.choices else [])]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
