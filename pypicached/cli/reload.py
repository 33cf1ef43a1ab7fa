"""`pypicached reload`: have the daemon read its configuration again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect
from pypicached.cli.terminal import (
    print_failure,
    print_failure_line,
    print_json,
    print_line,
    print_note,
)

if TYPE_CHECKING:
    from pypicached.messages import ReloadAnswer

_WRONG_CONFIGURATION = 2


def reload(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Re-read the configuration; a bad one is refused, and changes nothing.

    What changed is in force at once, for cached pages too. Transfers that run go on.
    """
    answer = connect(socket).reload()
    if as_json:
        print_json(answer)
    elif answer.problems:
        _print_problems(answer)
    else:
        _print_changes(answer)
    if answer.problems:
        raise typer.Exit(_WRONG_CONFIGURATION)


def _print_changes(answer: ReloadAnswer) -> None:
    for change in answer.changed:
        print_line(f"{change.key} {change.what}")
    if not answer.changed:
        print_line("nothing changed")
    for warning in answer.warnings:
        print_note(f"warning: {warning}")
    if answer.needs_restart:
        print_note(f"needs a restart: {', '.join(answer.needs_restart)}")


def _print_problems(answer: ReloadAnswer) -> None:
    from pypicached.settings import describe

    for problem in answer.problems:
        # Word by word as `config check` has it.
        print_failure_line(describe((problem.key, problem.message, problem.suggestion)))
    print_failure("the configuration was refused, and the settings of before stay in force")
