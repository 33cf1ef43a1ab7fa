"""How far a download is, told to any number of waiters without waking them for every packet."""

from __future__ import annotations

import asyncio

# With 100 readers each announcement wakes 100 tasks: this many bytes, or this long, apart.
ANNOUNCE_BYTES = 256 * 1024
ANNOUNCE_SECONDS = 0.05


class Progress:
    """A count of bytes that grows, and an end. Single-threaded."""

    def __init__(self) -> None:
        self.written = 0
        self.ended = False
        self._announced = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    def advance(self, written: int) -> None:
        """The writer has got to `written`; waiters hear of it soon, of the first byte at once."""
        self.written = written
        if self._announced == 0 or written - self._announced >= ANNOUNCE_BYTES:
            self._announce()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(ANNOUNCE_SECONDS, self._announce)

    def changed(self) -> None:
        """Something else that waiters look at has changed: the length is known, say."""
        self._announce()

    def end(self) -> None:
        """No more will come, well or badly."""
        self.ended = True
        self._announce()

    async def wait(self) -> None:
        """Wait for the next announcement; returns at once after the end."""
        if self.ended:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _announce(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._announced = self.written
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
