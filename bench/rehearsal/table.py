"""The table that an operator reads: a line per scenario, and below it what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.rehearsal.seen import Install, Row, Seen


def render(rows: Sequence[Row], tools: Sequence[str]) -> str:
    """Return the table as text."""
    head = ["scenario", *(f"{t}: cached" for t in tools), "slowest page", "stale"]
    head += ["well after", ""]
    cells = [_cells(row, tools) for row in rows]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]
    lines = [_line(head, widths), _line(["-" * w for w in widths], widths)]
    for row, line in zip(rows, cells, strict=True):
        lines.append(_line(line, widths))
        lines += [f"    {text}" for text in _below(row)]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _cells(row: Row, tools: Sequence[str]) -> list[str]:
    if row.seen is None:
        verdict = f"not tried: {row.not_tried}" if row.not_tried else "BROKEN"
        return [row.scenario, *("" for _ in tools), "", "", "", verdict]
    seen = row.seen
    moments = list(seen.recovered.values())
    after = "never" if None in moments else f"{max(m for m in moments if m is not None):.1f} s"
    return [
        row.scenario,
        *(_install(seen.warmed[tool]) for tool in tools),
        f"{seen.pages.slowest_seconds * 1000:.0f} ms",
        f"{seen.pages.stale} of {seen.pages.answers}",
        after,
        "NOT AS PROMISED" if row.problems else "as promised",
    ]


def _install(install: Install) -> str:
    outcome = "ok" if install.code == 0 and not install.wrong else "failed"
    return f"{outcome} {install.seconds:.1f} s"


def _below(row: Row) -> Iterable[str]:
    """What happened, what clients said of the unknown project, what files did, every problem."""
    yield f"upstream: {row.title}"
    if row.seen is not None:
        yield from _told(row.seen)
    yield from (f"! {problem}" for problem in row.problems)


def _told(seen: Seen) -> Iterable[str]:
    for tool, install in seen.unknown.items():
        end = "got it" if install.code == 0 else install.said
        yield f"{tool}, unknown project: {end} ({install.seconds:.1f} s)"
    cold = sorted({f"{a.status} {a.body}".removesuffix(" none") for a in seen.cold.values()})
    cached = sorted({f"{a.status} {a.body}".removesuffix(" none") for a in seen.cached.values()})
    said = f"index {seen.index_state}"
    if seen.index_state == "failing":
        said += f", {seen.index_error}"
    elif seen.failures:
        said += f"; {seen.failures[-1]}"
    yield f"cold files: {', '.join(cold)}; cached files: {', '.join(cached)}; status: {said}"


def summary(rows: Sequence[Row], seconds: float) -> str:
    """Return the last line."""
    bad = sum(bool(row.problems) for row in rows)
    skipped = sum(row.not_tried is not None for row in rows)
    text = f"{len(rows) - bad - skipped} of {len(rows)} as promised in {seconds:.0f} s"
    return text + (f", {skipped} not tried" if skipped else "")
