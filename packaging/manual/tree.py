"""The command tree as plain values, read from the typer application. Prints and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import typer

from pypicached.cli.app import app

# What a value's placeholder says of it: these are completed as paths.
_FILES = frozenset({"FILE", "PATH", "[FILE]"})
_DIRECTORIES = frozenset({"DIR"})

Takes = Literal["nothing", "text", "choice", "file", "directory"]


@dataclass(frozen=True)
class Parameter:
    """One option (`names` with dashes) or one argument (no names) of a command."""

    names: tuple[str, ...]
    # As it stands in a usage line: "FILE", "[PROJECT]..."; empty for a flag.
    placeholder: str
    help: str
    takes: Takes
    choices: tuple[str, ...] = ()
    default: str = ""
    is_required: bool = False
    is_repeatable: bool = False


@dataclass(frozen=True)
class Command:
    """One command: `path` begins with the program's name; a group has `commands`."""

    path: tuple[str, ...]
    help: str
    panel: str
    options: tuple[Parameter, ...]
    arguments: tuple[Parameter, ...]
    commands: tuple[Command, ...] = field(default=())

    @property
    def name(self) -> str:
        """The last word of its path."""
        return self.path[-1]

    @property
    def summary(self) -> str:
        """The first sentence of its help."""
        return self.help.split("\n\n")[0].replace("\n", " ")

    def walk(self) -> list[Command]:
        """Return itself and every command below it, in the order of `--help`."""
        return [self, *(found for command in self.commands for found in command.walk())]


def read_tree() -> Command:
    """Return the whole program."""
    return _read(typer.main.get_command(app), ("pypicached",), "", None)


def _read(command: Any, path: tuple[str, ...], panel: str, above: Any) -> Command:
    # The names of the help option are handed down from context to context.
    context = typer.Context(command, parent=above, **command.context_settings)
    parameters = command.get_params(context)
    return Command(
        path,
        (command.help or "").strip(),
        panel,
        tuple(_option(p) for p in parameters if p.param_type_name == "option"),
        tuple(_argument(p) for p in parameters if p.param_type_name == "argument"),
        tuple(
            _read(below, (*path, name), _panel(below) or panel, context)
            for name, below in getattr(command, "commands", {}).items()
        ),
    )


def _panel(command: Any) -> str:
    # typer has a placeholder object where none is given.
    panel = getattr(command, "rich_help_panel", None)
    return panel if isinstance(panel, str) else ""


def _option(parameter: Any) -> Parameter:
    choices = tuple(getattr(parameter.type, "choices", ()))
    placeholder = "" if parameter.is_flag else parameter.metavar or _own_placeholder(parameter)
    default = parameter.default
    return Parameter(
        # The long name first: it says what it is.
        tuple(sorted(parameter.opts, key=len, reverse=True)),
        placeholder,
        parameter.help or "",
        "nothing" if parameter.is_flag else _takes(placeholder, choices),
        choices,
        str(default) if default and not parameter.is_flag else "",
        is_repeatable=bool(parameter.multiple),
    )


def _own_placeholder(parameter: Any) -> str:
    if choices := getattr(parameter.type, "choices", ()):
        return "|".join(choices)
    # --max-size: SIZE
    longest = max(parameter.opts, key=len)
    return "N" if "int" in parameter.type.name else str(longest.rpartition("-")[2].upper())


def _argument(parameter: Any) -> Parameter:
    choices = tuple(getattr(parameter.type, "choices", ()))
    name = parameter.name.upper()
    placeholder = parameter.metavar or (name if parameter.required else f"[{name}]")
    return Parameter(
        (),
        placeholder,
        parameter.help or "",
        _takes(placeholder, choices),
        choices,
        is_required=parameter.required,
        is_repeatable=parameter.nargs != 1,
    )


def _takes(placeholder: str, choices: tuple[str, ...]) -> Takes:
    if choices:
        return "choice"
    if placeholder in _FILES:
        return "file"
    return "directory" if placeholder in _DIRECTORIES else "text"
