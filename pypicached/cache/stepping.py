"""Doing long pure work on the event loop without keeping it from everybody else.

Not in a thread: a thread that computes in Python takes the GIL away from each socket call, which
cut a server of small files to a hundredth (DESIGN.md). Steps of a few milliseconds do no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
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


async def each_in_turn(pieces: Iterator[T], take: Callable[[T], object]) -> None:
    """Hand on each piece as it is made, and let others run in between."""
    for piece in pieces:
        take(piece)
        await asyncio.sleep(0)


async def one_ahead(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield the same, with the next one in the making while one is worked on."""
    async with contextlib.aclosing(items):
        coming = asyncio.ensure_future(anext(items))
        try:
            while True:
                try:
                    item = await coming
                except StopAsyncIteration:
                    return
                coming = asyncio.ensure_future(anext(items))
                yield item
        finally:
            coming.cancel()
            await asyncio.wait({coming})
            # Of what failed while nobody waited for it nothing is to be told.
            if not coming.cancelled():
                coming.exception()
