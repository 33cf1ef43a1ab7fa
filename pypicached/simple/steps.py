"""Long pure work cut into steps, so that a caller with an event loop can let it run in between.

A function that returns `Steps[T]` is a generator: it yields between steps of a few milliseconds
and returns a T. `finish` does all of it at once. Pure: what happens in between is the caller's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]

# Rows of a page between two steps: about 2 ms of parsing or rendering, 6 ms of unusual rows.
STEP_ROWS = 1000


def finish(steps: Steps[T]) -> T:
    """Do all steps and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield rows in batches of one step each."""
    for start in range(0, len(rows), STEP_ROWS):
        yield rows[start : start + STEP_ROWS]
