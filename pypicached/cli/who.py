"""`pypicached who`: which clients fetched what, and when; after a bad release, who has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, absence, connect
from pypicached.cli.terminal import (
    Cell,
    Column,
    Moment,
    count,
    on_terminal,
    print_json,
    print_note,
    print_table,
)
from pypicached.errors import ControlError

if TYPE_CHECKING:
    from pypicached.messages import WhoRow

_COLUMNS = (
    Column("client", "Client"),
    Column("agent", "Tool"),
    Column("filename", "File"),
    Column("first_at", "First", right=True),
    Column("last_at", "Last", right=True),
    Column("count", "Times", right=True),
)
# In a pipe there is room for what a file name says.
_PIPE_COLUMNS = (*_COLUMNS, Column("project", "Project"), Column("version", "Version"))


def who(
    requirement: Annotated[
        str | None,
        typer.Argument(
            metavar="[REQUIREMENT]",
            help='A project, and versions of it if not all: flask, "foo<2".',
        ),
    ] = None,
    client: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR|NETWORK", help='Of these clients only: 10.0.0.7, 10.0.0.0/8, or "unix".'
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Done since then: 7d, 2026-11-21, 2026-11-21T08:00 (UTC)."
        ),
    ] = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="What was refused, instead of what was fetched.")
    ] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Show which clients fetched which file (or were refused it), with which tool, and when."""
    _check(requirement, client)
    moment = 0.0 if since is None else _moment(since)
    with absence(as_json, list):
        rows, answer = connect(socket).who(requirement, client, moment, refused=refused)
    if as_json:
        print_json(rows)
    elif rows or not on_terminal():
        print_table(*_table(rows))
    done = "refused to" if refused else "fetched by"
    if not rows:
        print_note(f"nothing of that was {done} any client")
    print_note(f"{count(len(rows), 'row')}; records are complete since {answer.complete_since}")
    if answer.note:
        print_note(answer.note)


def _check(requirement: str | None, client: str | None) -> None:
    """Refuse what is no rule and no network before any daemon is asked; ControlError."""
    from pypicached.networks import parse_network
    from pypicached.requirement import parse_requirement

    try:
        if requirement is not None:
            parse_requirement(requirement)
        if client is not None and client != "unix":
            parse_network(client)
    except ValueError as error:
        raise ControlError(str(error), exit_code=2) from None


def _moment(text: str) -> float:
    """Return seconds since the epoch for a duration ago or a moment in ISO 8601; ControlError."""
    import time
    from datetime import UTC, datetime

    from pypicached.errors import clean
    from pypicached.settings.units import parse_duration

    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        example = "say e.g. --since 7d or --since 2026-11-21"
        reason = f'--since: "{clean(text, 60)}" is neither a duration nor a date; {example}'
        raise ControlError(reason, exit_code=2) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _table(rows: list[WhoRow]) -> tuple[tuple[Column, ...], list[tuple[Cell, ...]]]:
    eyes = on_terminal()
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        # Where all of a project was refused there is no file to name.
        name = row.filename or (row.project if eyes else "")
        shown = (row.client, row.agent, name, Moment(row.first_at), Moment(row.last_at), row.count)
        cells.append(shown if eyes else (*shown, row.project, row.version or ""))
    return (_COLUMNS if eyes else _PIPE_COLUMNS), cells
