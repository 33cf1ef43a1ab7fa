"""`pypicached stats`: how much was asked, and how much of it the cache answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect
from pypicached.cli.terminal import (
    Cell,
    Column,
    Size,
    on_terminal,
    print_json,
    print_line,
    print_table,
)
from pypicached.errors import ControlError, clean

if TYPE_CHECKING:
    from pypicached.messages import KindStats, Stats

# In the order of a request's fate; the names are those of the JSON document.
_COUNTERS = {
    "requests": "Requests",
    "hits": "Hits",
    "joins": "Joined a download",
    "misses": "Misses",
    "revalidated": "Revalidated",
    "stale": "Served stale",
    "errors": "Errors",
    "bytes_from_cache": "From cache",
    "bytes_from_upstream": "From upstream",
    "upstream_requests": "Asked of upstreams",
}
# Columns of ten figures each that fit on a terminal of 80.
_GROUPS_PER_TABLE = 4
_TOP = (
    Column("project", "Project"),
    Column("requests", "Requests", right=True),
    Column("bytes", "Served", right=True),
)


def stats(
    since: Annotated[str, typer.Option(metavar="DURATION", help="How far back: 24h, 30d.")] = "24h",
    top: Annotated[
        int, typer.Option(min=0, max=1000, metavar="N", help="How many projects to name.")
    ] = 10,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Show requests, hits and bytes, by kind and by index, and the most used projects."""
    answer = connect(socket).stats(_seconds(since), top)
    if as_json:
        print_json(answer)
    else:
        _print_stats(answer)


def _seconds(since: str) -> float:
    from pypicached.settings.units import parse_duration

    try:
        return parse_duration(since)
    except ValueError as error:
        reason = f'--since: "{clean(since, 60)}" is {error}; for example --since 24h'
        raise ControlError(reason, exit_code=2) from None


def _print_stats(answer: Stats) -> None:
    print_line(f"since {answer.since}")
    print_line()
    _print_counters("kind", "By kind", answer.kinds)
    print_line()
    _print_counters("index", "By index", answer.indexes)
    if answer.top:
        print_line()
        rows = [(row.project, row.requests, Size(row.bytes)) for row in answer.top]
        print_table(_TOP, rows, "Most used projects")


def _print_counters(name: str, title: str, groups: Mapping[str, KindStats]) -> None:
    """Print a line per group in a pipe; on a terminal a column per group, which is narrower."""
    if not on_terminal():
        columns = [Column(name, name), *(Column(counter, counter) for counter in _COUNTERS)]
        rows = [[key, *_cells(group)] for key, group in groups.items()]
        print_table(columns, rows)
        return
    names = list(groups)
    for start in range(0, len(names), _GROUPS_PER_TABLE):
        shown = names[start : start + _GROUPS_PER_TABLE]
        columns = [Column(name, ""), *(Column(key, clean(key), right=True) for key in shown)]
        figures = zip(*(_cells(groups[key]) for key in shown), strict=True)
        rows = [[label, *row] for label, row in zip(_COUNTERS.values(), figures, strict=True)]
        print_table(columns, rows, title)


def _cells(group: KindStats) -> list[Cell]:
    figures = ((counter, getattr(group, counter)) for counter in _COUNTERS)
    return [Size(figure) if counter.startswith("bytes") else figure for counter, figure in figures]
