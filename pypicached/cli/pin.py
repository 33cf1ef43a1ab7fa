"""`pypicached pin` and `unpin`: what is never evicted or pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect
from pypicached.cli.terminal import (
    Column,
    Size,
    count,
    on_terminal,
    print_json,
    print_line,
    print_note,
    print_table,
    size,
)
from pypicached.errors import ControlError, clean

if TYPE_CHECKING:
    from pypicached.messages import PinRow

_COLUMNS = (
    Column("requirement", "Pinned"),
    Column("files", "Files", right=True),
    Column("size_bytes", "Size", right=True),
)
_NOTHING = "unpin what? For example `pypicached unpin flask`; `pypicached pin` lists what is pinned"
_HELP = 'A project, and versions of it if not all: flask, flask==3.*, "torch>=2,<3".'


def pin(
    requirements: Annotated[
        list[str] | None, typer.Argument(metavar="[REQUIREMENT]...", help=_HELP)
    ] = None,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Never evict or prune what is cached of these, now or later; without any, list the pins."""
    client = connect(socket)
    if not requirements:
        rows = client.pins()
        print_json(rows) if as_json else _print_pins(rows)
        return
    _check(requirements)
    answer = client.pin(requirements)
    if as_json:
        print_json(answer)
        return
    for row in answer.changed:
        print_line(f"pinned {clean(row.requirement)}: {_held(row)}")
    for requirement in answer.unchanged:
        print_line(f"{clean(requirement)} was pinned already")


def unpin(
    requirements: Annotated[
        list[str] | None, typer.Argument(metavar="REQUIREMENT...", help=_HELP)
    ] = None,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Let what these pins held be evicted and pruned again; exit code 1 if one was not pinned."""
    if not requirements:
        raise ControlError(_NOTHING, exit_code=2)
    _check(requirements)
    answer = connect(socket).unpin(requirements)
    if as_json:
        print_json(answer)
    else:
        for row in answer.changed:
            print_line(f"unpinned {clean(row.requirement)}: {_held(row)}")
    for requirement in answer.unchanged:
        print_note(f"{clean(requirement)} is not pinned; `pypicached pin` lists what is")
    if answer.unchanged:
        raise typer.Exit(1)


def _check(requirements: list[str]) -> None:
    """Refuse what is no rule before any daemon is asked; ControlError."""
    from pypicached.requirement import parse_requirement

    for requirement in requirements:
        try:
            parse_requirement(requirement)
        except ValueError as error:
            raise ControlError(str(error), exit_code=2) from None


def _held(row: PinRow) -> str:
    return f"{count(row.files, 'file')} cached, {size(row.size_bytes)}" if row.files else "no file"


def _print_pins(rows: list[PinRow]) -> None:
    if not rows and on_terminal():
        print_line("nothing is pinned")
        return
    print_table(_COLUMNS, [(row.requirement, row.files, Size(row.size_bytes)) for row in rows])
