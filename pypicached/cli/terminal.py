"""How answers look: for eyes on a terminal, for `grep` and `cut` in a pipe, as JSON for scripts.

What came from an index or a client is foreign text: every cell goes through `clean`, so that no
escape sequence reaches the terminal. Decides nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pypicached.errors import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


# Rows of a table that rich lays out in a second.
MAX_RULED = 2000


class Size(int):
    """Bytes: "1.5 GiB" for eyes, a plain number in a pipe."""


class Moment(str):
    """A moment in ISO 8601: "3 h ago" for eyes, as it is in a pipe."""

    __slots__ = ()


class Column(NamedTuple):
    """One column; `name` heads it in a pipe, `title` on a terminal."""

    name: str
    title: str
    right: bool = False


Cell = str | int


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def console() -> Console:
    """Return a console on standard output; NO_COLOR and TERM are honoured by rich."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)


def print_line(text: str = "") -> None:
    """Print one line as it is, never wrapped, never coloured."""
    sys.stdout.write(text + "\n")


def print_text(text: str) -> None:
    """Print lines that bring their own ends."""
    sys.stdout.write(text)


def print_note(text: str) -> None:
    """Print one line on standard error, in the form of every message of ours."""
    sys.stdout.flush()
    sys.stderr.write(f"pypicached: {text}\n")


def print_failure(text: str) -> None:
    """Print a note about why a command failed; in the journal it is an error (sd-daemon(3))."""
    print_failure_line(f"pypicached: {text}")


def print_failure_line(line: str) -> None:
    """Print such a line as it is."""
    from pypicached.logs import is_journal

    sys.stdout.flush()
    sys.stderr.write(f"<3>{line}\n" if is_journal(sys.stderr) else f"{line}\n")


def print_json(answer: Any) -> None:
    """Print exactly one JSON document."""
    import msgspec

    print_line(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], title: str = "") -> None:
    """Print a table: ruled on a terminal, else a line of names and tab-separated lines.

    One that nobody reads to its end is printed in plain columns: ruling would take minutes.
    """
    if on_terminal():
        now = datetime.now(UTC)
        if len(rows) <= MAX_RULED:
            console().print(build_table(columns, rows, now, title))
        else:
            print_text("".join(plain_lines(columns, rows, now)))
        return
    print_line("\t".join(column.name for column in columns))
    for row in rows:
        print_line("\t".join(clean(str(cell), limit=1000) for cell in row))


def build_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], now: datetime, title: str = ""
) -> Table:
    """Return the table that a terminal gets."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for column in columns:
        if column.right:
            table.add_column(column.title, justify="right", no_wrap=True)
        else:
            # A name is folded, never cut: it is what one wants to copy.
            table.add_column(column.title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(for_eyes(cell, now)) for cell in row))
    return table


def plain_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], now: datetime
) -> Iterator[str]:
    """Yield the lines of a table as wide as its cells, whatever the terminal's width is."""
    cells = [tuple(column.title for column in columns)]
    cells += [tuple(for_eyes(cell, now) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        placed = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        yield "  ".join(placed).rstrip() + "\n"


def for_eyes(cell: Cell, now: datetime) -> str:
    """Return a cell as a person reads it."""
    match cell:
        case Size():
            return size(cell)
        case Moment():
            return age(cell, now)
        case int():
            return f"{cell:,}"
        case _:
            return clean(cell, limit=1000)


def size(size_bytes: int) -> str:
    """Return "1.5 GiB"."""
    from pypicached.settings.units import format_size

    return format_size(size_bytes)


def count(number: int, thing: str) -> str:
    """Return "1 file", "1,234 files"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float, parts: int = 2) -> str:
    """Return "3 d 4 h": the largest units, apart, without fractions of a second."""
    import re

    from pypicached.settings.units import format_duration

    text = format_duration(max(0, int(seconds)), parts)
    return " ".join(re.findall(r"\d+|[a-z]+", text))


def age(moment: str, now: datetime) -> str:
    """Return "3 h ago" for a moment in ISO 8601; what is none is returned as it is."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return clean(moment)
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    seconds = (now - then).total_seconds()
    return f"{duration(seconds, parts=1)} ago" if seconds >= 1 else "just now"
