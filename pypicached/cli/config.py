"""`pypicached config`: what the settings are and where each came from, and what is wrong with them.

Reads what the daemon would read, without asking it. Secrets are asterisks here too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pypicached.errors import SettingsError

if TYPE_CHECKING:
    # At run time only inside the functions: `pypicached --help` does without them.
    from pypicached.cli.checking import Read
    from pypicached.dropins import Hint
    from pypicached.settings import Problem

app = typer.Typer(no_args_is_help=True, help="Show or check the configuration.")

File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="The configuration file, instead of the one in use."),
]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The same, as `serve` takes it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_WRONG_CONFIGURATION = 2
# Nothing is wrong in the file, and the service does not start all the same.
_NEEDS_DROP_IN = 1


@app.command()
def show(file: File = None, config: Config = None, as_json: Json = False) -> None:
    """Print the effective settings, each with where it came from."""
    from pypicached.settings import rows, spell_toml

    try:
        read = _read(file, config)
    except SettingsError as error:
        _print_problems(error)
        raise typer.Exit(_WRONG_CONFIGURATION) from None
    _print_warnings(read)
    found = rows(read.loaded)
    if as_json:
        typer.echo(json.dumps({r.key: {"value": r.value, "source": r.source} for r in found}))
        return
    typer.echo(f"# {read.origin or 'no configuration file'}\n{spell_toml(found)}", nl=False)


@app.command()
def check(file: File = None, config: Config = None, as_json: Json = False) -> None:
    """Tell every problem of the configuration at once; exit code 2 if there is any.

    1 if the service cannot run with it until its unit has the drop-in that is named.
    """
    try:
        read = _read(file, config)
    except SettingsError as error:
        if as_json:
            typer.echo(json.dumps({"problems": _documents(error), "hints": []}))
        else:
            _print_problems(error)
        raise typer.Exit(_WRONG_CONFIGURATION) from None
    _print_warnings(read)
    hints = _hints(read)
    problems = _problems(read, hints)
    missing = [hint for hint in hints if hint.blocks]
    if as_json:
        told = [_hint_document(hint) for hint in hints]
        needed = [
            (hint.key, hint.message, f"as root: {hint.drop_in.command_line}") for hint in missing
        ]
        found = _documents(SettingsError([*problems, *needed]))
        typer.echo(json.dumps({"problems": found, "hints": told}))
    else:
        _print_findings(read, problems, hints)
    if problems or missing:
        raise typer.Exit(_WRONG_CONFIGURATION if problems else _NEEDS_DROP_IN)


def _print_findings(read: Read, problems: list[Problem], hints: list[Hint]) -> None:
    """Print problems and drop-ins without which nothing runs as such, else the good news."""
    missing = [hint for hint in hints if hint.blocks]
    _print_problems(SettingsError(problems))
    for hint in missing:
        typer.echo(f"{hint.key}: {hint.paragraph}", err=True)
    if not problems and not missing:
        typer.echo(f"{read.origin or 'No configuration file; the defaults'}: no problem")
    for hint in hints:
        if hint not in missing:
            typer.echo(f"hint: {hint.paragraph}")


def _problems(read: Read, hints: list[Hint]) -> list[Problem]:
    from pypicached.cli.checking import find_problems
    from pypicached.cli.files import find_unusable

    found = find_problems(read, [hint.blocks for hint in hints if hint.blocks is not None])
    return found + find_unusable(read.loaded.settings)


def _hints(read: Read) -> list[Hint]:
    """Return what the units have to say for the system's file to come true; no other is theirs."""
    from pypicached.cli.hints import find_hints

    return find_hints(read.loaded.settings, read.chosen) if read.is_system else []


def _hint_document(hint: Hint) -> dict[str, object]:
    return {
        "key": hint.key,
        "message": hint.message,
        "unit": hint.drop_in.unit,
        "drop_in": "\n".join(hint.drop_in.lines) + "\n",
        "command": hint.drop_in.command_line,
    }


def _read(file: Path | None, config: Path | None) -> Read:
    from pypicached.cli import checking

    if file is not None and config is not None:
        raise typer.BadParameter("give the file once: as FILE or with --config")
    return checking.read(file or config)


def _documents(error: SettingsError) -> list[dict[str, str]]:
    return [
        {"key": key, "message": message, "suggestion": suggestion}
        for key, message, suggestion in error.problems
    ]


def _print_problems(error: SettingsError) -> None:
    from pypicached.settings import describe

    for problem in error.problems:
        typer.echo(describe(problem), err=True)


def _print_warnings(read: Read) -> None:
    notes = [] if read.service is None else read.service.notes
    for warning in [*read.loaded.warnings, *notes]:
        typer.echo(f"warning: {warning}", err=True)
