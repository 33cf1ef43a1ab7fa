"""`pypicached status` on a terminal: one screen, problems last, where the eye ends. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pypicached.cli.status_lines import amount_text, measured_text, rate_text, store_text
from pypicached.cli.terminal import age, count, duration, size
from pypicached.errors import clean

if TYPE_CHECKING:
    from pypicached.messages import DiskStatus, IndexStatus, Status

_STATE_STYLES = {"ok": "green", "slow": "yellow", "failing": "bold red"}
_BAR_WIDTH = 24
# From here on the bar warns: eviction is at work or about to be.
_NEARLY_FULL = 0.95


def build_screen(status: Status, now: datetime) -> RenderableType:
    """Return the whole screen; `now` turns moments into ages."""
    return Group(*_parts(status, now))


def _parts(status: Status, now: datetime) -> Iterator[RenderableType]:
    yield _headline(status)
    yield Text()
    yield _facts(status)
    yield _heading("Indexes")
    yield _indexes(status.indexes, now)
    if status.downloads:
        yield _heading("Downloading now")
        yield _downloads(status)
    if status.failures:
        yield _heading("Last failures")
        yield _failures(status, now)
    yield from _problems(status.problems)


def _headline(status: Status) -> Text:
    line = Text.assemble(
        (f"pypicached {clean(status.version)}", "bold"),
        f"  up {duration(status.uptime_seconds)}",
        (f"  pid {status.pid}", "dim"),
    )
    if status.offline:
        line.append("  OFFLINE: upstreams are not asked", "bold yellow")
    return line


def _heading(text: str) -> Text:
    return Text(f"\n{text}", "bold")


def _grid(columns: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    for _ in range(columns):
        grid.add_column(overflow="fold")
    return grid


def _facts(status: Status) -> Table:
    grid = _grid(2)
    listeners = ", ".join(clean(listener) for listener in status.listeners) or "nowhere"
    grid.add_row(Text("  Listening"), Text(listeners))
    grid.add_row(Text("  Hit rate"), Text(f"{rate_text(status.hit_rate_24h)} in the last 24 h"))
    grid.add_row(Text("  Disk"), _disk_bar(status.disk))
    disk = status.disk
    free = f"{size(disk.free_bytes)} free on {clean(disk.directory) or 'its disk'}"
    grid.add_row(Text(), Text(free, "dim"))
    kept = f"{count(disk.files, 'file')}, {count(disk.pages, 'page')}"
    kept += f", ledger {size(disk.ledger_bytes)}"
    grid.add_row(Text(), Text(kept, "dim"))
    if store := status.store:
        state = Text(store.state, _STATE_STYLES.get(store.state, "dim"))
        grid.add_row(Text("  Shared store"), Text.assemble(state, f"  {clean(store_text(store))}"))
    return grid


def _disk_bar(disk: DiskStatus) -> RenderableType:
    text = Text(amount_text(disk.used_bytes, disk.limit_bytes))
    if not disk.limit_bytes:
        return text
    style = "yellow" if disk.used_bytes >= disk.limit_bytes * _NEARLY_FULL else "green"
    bar = ProgressBar(
        total=disk.limit_bytes,
        completed=min(disk.used_bytes, disk.limit_bytes),
        width=_BAR_WIDTH,
        complete_style=style,
        finished_style=style,
    )
    row = Table.grid(padding=(0, 1))
    row.add_row(bar, text)
    return row


def _indexes(indexes: list[IndexStatus], now: datetime) -> Table:
    grid = _grid(3)
    for index in indexes:
        state = Text(clean(index.state), _STATE_STYLES.get(index.state, "dim"))
        if index.since and index.state != "ok":
            state.append(f" since {age(index.since, now).removesuffix(' ago')}", "default")
        grid.add_row(Text(f"  {clean(index.name)}"), state, Text(clean(index.url)))
        if index.last_error:
            grid.add_row(Text(), Text(), Text(clean(index.last_error), "red"))
        if measured := measured_text(index):
            grid.add_row(Text(), Text(), Text(measured, "dim"))
    return grid


def _downloads(status: Status) -> Table:
    grid = _grid(3)
    for download in status.downloads:
        written = amount_text(download.written_bytes, download.size_bytes)
        readers = count(download.readers, "reader")
        grid.add_row(Text(f"  {clean(download.filename)}"), Text(written), Text(readers))
    return grid


def _failures(status: Status, now: datetime) -> Table:
    grid = _grid(3)
    for failure in status.failures:
        when = Text(f"  {age(failure.at, now)}", "dim")
        grid.add_row(when, Text(clean(failure.what)), Text(clean(failure.reason)))
    return grid


def _problems(problems: list[str]) -> Iterator[Text]:
    if not problems:
        yield Text("\nNo problems", "green")
        return
    yield Text(f"\nProblems ({len(problems)})", "bold red")
    for problem in problems:
        yield Text(f"  - {clean(problem, limit=1000)}")
