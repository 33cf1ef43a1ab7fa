"""Progress of long work on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from pypicached.cli.terminal import print_note, size
from pypicached.errors import clean

if TYPE_CHECKING:
    import rich.progress

    from pypicached.messages import Progress

# What is over within a second needs no bar.
_PATIENCE_SECONDS = 1.0
# In a log, more often than this is noise.
_LINE_SECONDS = 10.0


class ProgressDisplay:
    """A context manager; `show` is called from one thread with each step. `now` in seconds.

    With `octets` what is done is bytes.
    """

    def __init__(
        self, what: str, now: Callable[[], float] = time.monotonic, *, octets: bool = False
    ) -> None:
        self._what = what
        self._octets = octets
        self._now = now
        self._next_at = now() + _PATIENCE_SECONDS
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, step: Progress) -> None:
        """Show a step, unless the work is still young or the last line is."""
        if self._bar is None and self._now() < self._next_at:
            return
        if sys.stderr.isatty():
            self._show_bar(step)
        else:
            self._next_at = self._now() + _LINE_SECONDS
            print_note(self._sentence(step))

    def _sentence(self, step: Progress) -> str:
        done, *of = (
            size(number) if self._octets else f"{number:,}"
            for number in (step.done, step.total)
            if number is not None
        )
        total = "".join(f" of {number}" for number in of)
        return f"{self._what}: {done}{total} {_text(step)}".rstrip()

    def _show_bar(self, step: Progress) -> None:
        if self._bar is None:
            self._bar = _build_bar(self._octets)
            self._task = self._bar.add_task(self._what, total=None, text="")
            self._bar.start()
        if self._task is not None:
            self._bar.update(self._task, completed=step.done, total=step.total, text=_text(step))


def _text(step: Progress) -> str:
    """Return what is beside the numbers: bytes, as a person reads them, and the daemon's words."""
    octets = [] if step.bytes is None else [size(step.bytes)]
    return " ".join([*octets, clean(step.text, limit=60)]).rstrip()


def _build_bar(octets: bool) -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True) if octets else MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
