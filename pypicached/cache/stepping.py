"""Doing long pure work on the event loop without keeping it from everybody else.

Not in a thread: a thread that computes in Python takes the GIL away from each socket call, which
cut a server of small files to a hundredth (DESIGN.md). Steps of a few milliseconds do no harm.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from pypicached.simple.steps import Steps

T = TypeVar("T")


async def in_steps(steps: Steps[T]) -> T:
    """Do all steps, and let others run between them; return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
