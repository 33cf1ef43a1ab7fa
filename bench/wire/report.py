"""What a run is told as: a document (JSON), and tables for a terminal and for a README.

The tables are made of the document, so that they can be made again of a stored one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from bench.figures import Figure, as_json, markdown, print_figures, print_table, shown
from bench.targets import DAEMON
from bench.wire.book import Book
from bench.wire.promises import judge
from bench.wire.rows import ROWS, values_of

# Rows that the short table leaves out; the document has them all.
_DETAIL = (", p99",)


def document(
    book: Book, about: dict[str, Any], absent: dict[str, str], parts: Collection[str]
) -> dict[str, Any]:
    """Return everything that a run has found."""
    values = values_of(book)
    return {
        "about": about,
        "absent": absent,
        "rows": [msgspec.structs.asdict(row) | {"values": values.of[row.key]} for row in ROWS],
        "missing": values.missing,
        "samples": book.samples,
        "promises": as_json(judge(values, about["large_bytes"], parts)),
    }


def figures_of(told: dict[str, Any]) -> list[Figure]:
    """Return the promises of a document."""
    rows = [{k: v for k, v in row.items() if k != "kept"} for row in told["promises"]]
    return [msgspec.convert(row, Figure) for row in rows]


def print_report(told: dict[str, Any]) -> None:
    """Print all of a document, with ratios."""
    head, rows = _table(told)
    print_table(head, rows, "In brackets: how many times better pypicached is (0.5: half as good)")
    for name, why in told["absent"].items():
        print(f"{name}: {why}")
    for row, names in told["missing"].items():
        for name, why in names.items():
            print(f"{row}: {name}: {' '.join(why.split())[:100]}")
    print()
    print_figures(figures_of(told))


def render_markdown(told: dict[str, Any]) -> dict[str, str]:
    """Return Markdown by the name of its place: the few rows, all of them, and the promises."""
    about = told["about"]
    where = f"{about['cores']} cores ({about['processor']}), {about['versions']}"
    told_of = f"{about['when']}, {where}, the median of {about['rounds']} rounds."
    promises = [[f.name, f.measured, f.promised, f.verdict] for f in figures_of(told)]
    return {
        "short": f"{told_of}\n\n{markdown(*_table(told, short=True))}",
        "rows": f"{told_of}\n\n{markdown(*_table(told))}",
        "promises": markdown(["", "measured", "promised", ""], promises),
    }


def put_into(text: str, places: dict[str, str]) -> str:
    """Return a document with what belongs between its marks (`<!-- bench.wire: NAME -->`)."""
    for name, what in places.items():
        begin, end = f"<!-- bench.wire: {name} -->", f"<!-- end of bench.wire: {name} -->"
        head, found, rest = text.partition(begin)
        _, ended, tail = rest.partition(end)
        if found and ended:
            text = f"{head}{begin}\n{what}\n{end}{tail}"
    return text


def _table(told: dict[str, Any], *, short: bool = False) -> tuple[list[str], list[list[str]]]:
    names = [DAEMON, *(n for n in told["about"]["targets"] if n != DAEMON)]
    rows = [
        [
            f"{row['key']} ({row['unit']})" if row["unit"] else row["key"],
            *(_cell(row, name, told) for name in names),
        ]
        for row in told["rows"]
        if not row["key"].endswith(_DETAIL) and row["values"] and (row["short"] or not short)
    ]
    return ["", *names], rows


def _cell(row: dict[str, Any], name: str, told: dict[str, Any]) -> str:
    value = row["values"].get(name)
    if value is None:
        why = told["missing"].get(row["key"], {}).get(name)
        return "-" if why is None else "none" if why.startswith("has no") else "failed"
    ours = row["values"].get(DAEMON)
    if name == DAEMON or not ours or value <= 0 or ours < 0:
        return shown(value)
    better = ours / value if row["more"] else value / ours
    return f"{shown(value)} ({shown(better)}x)"
