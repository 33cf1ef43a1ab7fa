"""Progress: waiters hear of every end, soon of every byte, and not of every packet."""

from __future__ import annotations

import asyncio

import pytest

from pypicached.cache.progress import ANNOUNCE_BYTES, ANNOUNCE_SECONDS, Progress


async def waiting(progress: Progress) -> asyncio.Task[None]:
    """Return a task that stands in `wait`."""
    task = asyncio.create_task(progress.wait())
    await asyncio.sleep(0)
    return task


async def test_progress__first_byte_at_once() -> None:
    """The first byte wakes waiters without delay."""
    progress = Progress()
    waiter = await waiting(progress)
    progress.advance(1)
    await asyncio.sleep(0)
    assert waiter.done()


async def test_progress__small_steps_are_gathered() -> None:
    """Small steps wake waiters once the time is up, large ones at once."""
    progress = Progress()
    progress.advance(1)
    waiter = await waiting(progress)
    progress.advance(2)
    progress.advance(1 + ANNOUNCE_BYTES - 1)
    await asyncio.sleep(0)
    assert not waiter.done()
    progress.advance(1 + ANNOUNCE_BYTES)
    await asyncio.sleep(0)
    assert waiter.done()


async def test_progress__last_small_step_is_told() -> None:
    """A small step that nothing follows is told all the same, in time."""
    progress = Progress()
    progress.advance(1)
    waiter = await waiting(progress)
    progress.advance(2)
    async with asyncio.timeout(ANNOUNCE_SECONDS * 20):
        await waiter


async def test_progress__end() -> None:
    """The end wakes everyone, and whoever comes later does not wait."""
    progress = Progress()
    waiters = [await waiting(progress) for _ in range(3)]
    progress.end()
    await asyncio.gather(*waiters)
    await progress.wait()


async def test_progress__waiter_that_leaves() -> None:
    """A cancelled waiter is forgotten and disturbs nobody."""
    progress = Progress()
    gone, stays = await waiting(progress), await waiting(progress)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert len(progress._waiters) == 1
    progress.end()
    await stays
