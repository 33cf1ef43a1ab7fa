"""Single flight: one piece of work per key, however many wait for it.

The work runs in a task of its own that no waiter owns: a waiter that is cancelled, or gives up at
a deadline, changes nothing for the work or for the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

from pypicached.errors import PypicachedError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

logger = logging.getLogger(__name__)


class Flights(Generic[K, T]):
    """Running work by key. Single-threaded: only the event loop calls it."""

    def __init__(self) -> None:
        # The only mutable state. A task that is done may stay until the loop calls `_landed`.
        self._tasks: dict[K, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def join(
        self, key: K, work: Callable[[], Coroutine[None, None, T]]
    ) -> tuple[asyncio.Task[T], bool]:
        """Return the running task of `key`, and whether this call started it."""
        running = self._tasks.get(key)
        if running is not None and not running.done():
            return running, False
        task = asyncio.get_running_loop().create_task(work(), name=f"flight {key}")
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return task, True

    async def landed(self, key: K) -> None:
        """Return once no work of this key runs; how it ended is not told."""
        task = self._tasks.get(key)
        if task is not None:
            await asyncio.wait({task})

    async def settle(self) -> None:
        """Return once all work that runs now has come to its end; how is not told."""
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    def _landed(self, key: K, task: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if task.cancelled():
            return
        error = task.exception()  # also marks it as seen: all waiters may have left
        if error is not None and not isinstance(error, PypicachedError):
            logger.error("unexpected error in %s", task.get_name(), exc_info=error)

    def cancel(self, chosen: Callable[[K], bool]) -> None:
        """Cancel the work of chosen keys; whoever waits for it finds it cancelled."""
        for key, task in self._tasks.items():
            if chosen(key):
                task.cancel()

    async def close(self) -> None:
        """Cancel all work and wait until it has cleaned up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def wait_at_most(task: asyncio.Task[T], seconds: float) -> bool:
    """Wait for a flight without owning it; return whether it landed in time."""
    done, _ = await asyncio.wait({task}, timeout=seconds)
    return bool(done)


async def to_the_end(work: Coroutine[None, None, None]) -> None:
    """Do `work` to its end also if the caller is cancelled meanwhile; then raise that."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
