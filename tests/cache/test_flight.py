"""Single flight: one piece of work per key, whoever waits, leaves or fails."""

from __future__ import annotations

import asyncio
import logging

import pytest

from pypicached.cache.flight import Flights, wait_at_most
from pypicached.errors import UpstreamUnavailableError


class Work:
    """Counts how often it runs, and waits to be told to end."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.runs = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.error = error

    async def __call__(self) -> int:
        """Do the work."""
        self.runs += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            await asyncio.sleep(0)  # cleaning up takes a step
            raise
        if self.error is not None:
            raise self.error
        return self.runs


async def test_flight__joined_by_all() -> None:
    """All who come while the work runs share it; whoever comes later starts anew."""
    flights: Flights[str, int] = Flights()
    work = Work()
    joined = [flights.join("a", work) for _ in range(5)]
    assert [leading for _, leading in joined] == [True, False, False, False, False]
    work.go.set()
    assert [await task for task, _ in joined] == [1] * 5
    await asyncio.sleep(0)
    assert len(flights) == 0
    assert await flights.join("a", work)[0] == 2


async def test_flight__keys_apart() -> None:
    """Different keys are different work."""
    flights: Flights[str, int] = Flights()
    one, two = Work(), Work()
    flights.join("a", one)
    flights.join("b", two)
    await asyncio.sleep(0)
    assert (one.runs, two.runs, len(flights)) == (1, 1, 2)
    await flights.close()


async def test_flight__waiter_that_leaves() -> None:
    """A waiter that gives up, or is cancelled, changes nothing for the work."""
    flights: Flights[str, int] = Flights()
    work = Work()
    task, _ = flights.join("a", work)
    assert not await wait_at_most(task, 0.01)
    waiter = asyncio.create_task(wait_at_most(task, 10))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    work.go.set()
    assert await wait_at_most(task, 1)
    assert (task.result(), work.cancelled) == (1, 0)


async def test_flight__failure_is_shared_and_forgotten() -> None:
    """A failure reaches all who wait, and the next one tries again."""
    flights: Flights[str, int] = Flights()
    work = Work(UpstreamUnavailableError("pypi", "timed out"))
    tasks = [flights.join("a", work)[0] for _ in range(2)]
    work.go.set()
    for task in tasks:
        with pytest.raises(UpstreamUnavailableError):
            await task
    await asyncio.sleep(0)
    work.error = None
    assert await flights.join("a", work)[0] == 2


async def test_flight__unexpected_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A mistake of ours is in the log even if nobody waits any more; a known failure is not."""
    flights: Flights[str, int] = Flights()
    for error in (UpstreamUnavailableError("pypi", "timed out"), KeyError("oops")):
        work = Work(error)
        work.go.set()
        task, _ = flights.join("a", work)
        await asyncio.wait({task})
        await asyncio.sleep(0)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "KeyError" in str(caplog.records[0].exc_info)


async def test_flight__join_between_end_and_landing() -> None:
    """Whoever comes when the work is done, but before the loop has said so, starts anew."""
    flights: Flights[str, int] = Flights()
    work = Work()
    seen: list[bool] = []

    async def ending() -> int:
        # Runs after this task's last step, before the callbacks of its end.
        asyncio.get_running_loop().call_soon(lambda: seen.append(flights.join("a", work)[1]))
        return 0

    first, _ = flights.join("a", ending)
    await first
    await asyncio.sleep(0)
    assert seen == [True]
    assert len(flights) == 1
    second, leading = flights.join("a", work)
    assert not leading
    work.go.set()
    assert await second == 1
    await asyncio.sleep(0)
    assert len(flights) == 0


async def test_flight__close() -> None:
    """`close` cancels all work and returns only when it has cleaned up."""
    flights: Flights[str, int] = Flights()
    works = [Work(), Work()]
    tasks = [flights.join(str(n), work)[0] for n, work in enumerate(works)]
    await asyncio.sleep(0)
    await flights.close()
    assert all(task.cancelled() for task in tasks)
    assert [work.cancelled for work in works] == [1, 1]
    assert len(flights) == 0
