"""A body that drips is given up: whoever waits for it waits for ever, and joins those who do.

Only the time counts for which we wait for upstream: a client that takes its bytes slowly is another
matter.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from pypicached.errors import UpstreamTimeoutError

# 1 KiB a second over this long: below that a wheel of 1 MB takes a quarter of an hour.
WINDOW_SECONDS = 20.0
LEAST_BYTES = 20 * 1024


class Paced:
    """Reads one body, and insists on a least rate. Used by one task."""

    def __init__(
        self,
        index: str,
        read_some: Callable[[], Awaitable[bytes]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._read_some = read_some
        self._now = now
        self._waited = 0.0
        self._read = 0

    async def read_some(self) -> bytes:
        """Return what has arrived, empty at the end. Raises UpstreamTimeoutError if it drips."""
        began = self._now()
        data = await self._read_some()
        self._waited += self._now() - began
        self._read += len(data)
        if self._read >= LEAST_BYTES:
            self._waited, self._read = 0.0, 0
        elif data and self._waited >= WINDOW_SECONDS:
            raise UpstreamTimeoutError(self._index, "sends too slowly")
        return data
