"""What `warm` shows: bars while it runs, then a table of what became of each file."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from pypicached.cli.progress import ProgressDisplay
from pypicached.cli.terminal import (
    Column,
    Size,
    count,
    on_terminal,
    print_line,
    print_note,
    print_table,
    size,
)
from pypicached.errors import clean

if TYPE_CHECKING:
    import rich.progress

    from pypicached.messages import DownloadStatus, Progress
    from pypicached.warm.messages import Mode, WarmAnswer, WarmItem

_COLUMNS = (
    Column("project", "Project"),
    Column("version", "Version"),
    Column("filename", "File"),
    Column("size_bytes", "Size", right=True),
    Column("outcome", "Outcome"),
    Column("targets", "For"),
    Column("reason", "Why"),
)
# A file's name has its project and version.
_SHORT = tuple(column for column in _COLUMNS if column.name not in ("project", "version"))
_OUTCOMES = ("cached", "fetched", "would-fetch", "refused", "failed")
# More of them are a number below the table.
_MAX_CACHED = 20
# A screen has room for so many bars.
_MAX_BARS = 8


class WarmDisplay:
    """A context manager: an overall bar and one per download on a terminal, else lines."""

    def __init__(self) -> None:
        self._lines = ProgressDisplay("warming")
        self._bars: rich.progress.Progress | None = None
        self._overall: rich.progress.TaskID | None = None
        self._tasks: dict[str, rich.progress.TaskID] = {}

    def __enter__(self) -> WarmDisplay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, step: Progress) -> None:
        """Show how far the job is."""
        if not sys.stderr.isatty():
            self._lines.show(step)
            return
        if self._bars is None:
            self._bars = _build_bars()
            self._overall = self._bars.add_task("resolving", total=None, text="")
            self._bars.start()
        assert self._overall is not None
        text = "" if step.total is None else f"{step.done:,} of {step.total:,} files"
        amount = f", {size(step.bytes)} fetched" if step.bytes else ""
        self._bars.update(
            self._overall,
            description="resolving" if step.total is None else "warming",
            completed=step.done,
            total=step.total,
            text=text + amount,
        )
        self._show_downloads(self._bars, step.downloads[:_MAX_BARS])

    def _show_downloads(
        self, bars: rich.progress.Progress, downloads: list[DownloadStatus]
    ) -> None:
        names = {download.filename for download in downloads}
        for gone in [name for name in self._tasks if name not in names]:
            bars.remove_task(self._tasks.pop(gone))
        for download in downloads:
            name = download.filename
            if name not in self._tasks:
                self._tasks[name] = bars.add_task(f"  {clean(name, 44)}", total=None, text="")
            whole = download.size_bytes
            of = "" if whole is None else f" of {size(whole)}"
            bars.update(
                self._tasks[name],
                completed=download.written_bytes,
                total=whole,
                text=f"{size(download.written_bytes)}{of}",
            )


def _build_bars() -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )


def print_answer(answer: WarmAnswer, mode: Mode) -> None:
    """Print what became of each file, what could not be had and why, and the sums."""
    for note in (*answer.notes, *answer.left_out):
        print_note(clean(note, 500))
    if answer.detached:
        print_line("started; the daemon's log tells how it ends")
        return
    # What is not there stands where eyes end up.
    items = sorted(answer.items, key=lambda item: _OUTCOMES.index(item.outcome))
    if items and on_terminal():
        _print_short(items)
    elif items:
        print_table(_COLUMNS, [_cells(item) for item in items])
    for item in items:
        more = item.reason.splitlines()[1:]
        for line in more:  # a conflict is explained in several
            print_note(clean(line, 500))
    print_note(_sums(answer, mode))


def _print_short(items: list[WarmItem]) -> None:
    """Print a table for eyes: no more columns than tell something, and no long list of hits."""
    targets = len({target for item in items for target in item.targets})
    cached = [item for item in items if item.outcome == "cached"]
    if len(cached) > _MAX_CACHED:
        items = [item for item in items if item.outcome != "cached"]
    columns = [column for column in _SHORT if targets > 1 or column.name != "targets"]
    rows = []
    for item in items:
        project, _, filename, amount, outcome, fit, reason = _cells(item)
        cells = {
            "filename": filename or project,
            "size_bytes": amount,
            "outcome": outcome,
            "targets": "all" if len(item.targets) == targets else fit,
            "reason": reason,
        }
        rows.append(tuple(cells[column.name] for column in columns))
    if rows:
        print_table(columns, rows)


def _cells(item: WarmItem) -> tuple[str | int, ...]:
    amount = "" if item.size_bytes is None else Size(item.size_bytes)
    reason = item.reason.splitlines()[0] if item.reason else ""
    targets = ", ".join(item.targets)
    return (item.project, item.version, item.filename, amount, item.outcome, targets, reason)


def _sums(answer: WarmAnswer, mode: Mode) -> str:
    counts = {
        outcome: sum(item.outcome == outcome for item in answer.items) for outcome in _OUTCOMES
    }
    told = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.items() if number)
    missing = sum(i.size_bytes or 0 for i in answer.items if i.outcome == "would-fetch")
    amount = size(missing if mode == "plan" else answer.fetched_bytes)
    what = {"fetch": "fetched", "plan": "would be fetched", "check": "fetched"}[mode]
    files = count(len(answer.items), "file")
    return f"{files}: {told or 'nothing to do'}; {amount} {what} in {answer.seconds:.1f} s"
