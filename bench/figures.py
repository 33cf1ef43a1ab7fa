"""Figures beside what was promised of them, and tables on a terminal: the same for all benches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


class Figure(msgspec.Struct):
    """One line; `promise` None: no promise was made, `value` None: it could not be measured.

    A stretch is what we aim at: a run does not fail for it.
    """

    name: str
    value: float | None
    unit: str
    promise: float | None = None
    at_least: bool = False
    stretch: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether the promise holds; what was not measured holds nothing."""
        if self.promise is None:
            return True
        if self.value is None:
            return False
        return self.value >= self.promise if self.at_least else self.value <= self.promise

    @property
    def measured(self) -> str:
        """The value as it is shown."""
        return "-" if self.value is None else f"{shown(self.value)} {self.unit}".rstrip()

    @property
    def promised(self) -> str:
        """The promise as it is shown."""
        if self.promise is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.promise:g} {self.unit}".rstrip()

    @property
    def verdict(self) -> str:
        """Whether the promise was kept, in words."""
        if self.promise is None or self.is_kept:
            return "" if self.promise is None else "kept"
        return "not reached" if self.stretch else "NOT KEPT"


def is_broken(figures: Sequence[Figure]) -> bool:
    """Tell whether a promise was not kept."""
    return any(not figure.is_kept and not figure.stretch for figure in figures)


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return the figures as what is written to a file."""
    return [msgspec.structs.asdict(figure) | {"kept": figure.is_kept} for figure in figures]


def write_json(path: Path | None, what: object) -> None:
    """Write a bench's results, if a file was named for them."""
    if path is not None:
        path.write_text(json.dumps(what, indent=2) + "\n")


def print_figures(figures: Sequence[Figure]) -> None:
    """Print each figure beside its promise."""
    rows = [[f.name, f.measured, f.promised, f.verdict] for f in figures]
    print_table(["", "measured", "promised", ""], rows)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table whose first column is text, and the others figures."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column, text in enumerate(head):
        table.add_column(text, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        style = "bold red" if "NOT KEPT" in row else None
        table.add_row(*row, style=style)
    console = Console()
    if not console.is_terminal:
        # A file has no width that a table would have to fit.
        console = Console(width=300)
    console.print(table)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


def shown(value: float) -> str:
    """Return a number with three digits, and three decimals at most."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.{1 if size >= 10 else 2 if size >= 1 else 3}f}"
