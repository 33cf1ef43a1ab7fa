"""`[cache] prune_after`: what was not used for so long is dropped by the daemon itself, once a day.

What may go, and how it goes, is `pruning` and `blobs`; here it is decided when, and at what pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import msgspec

from pypicached.cache.pruning import Pruning
from pypicached.cache.trouble import Trouble
from pypicached.errors import HostError, LedgerError
from pypicached.logs import event

logger = logging.getLogger(__name__)

# Soon after a start, so that a host that is off at night has its turn too, then once a day.
FIRST_SECONDS = 600.0
EVERY_SECONDS = 86400.0
# Between two batches, so that traffic has the disk and the ledger in between.
PAUSE_SECONDS = 0.1


class Aged(msgspec.Struct):
    """What went in one round."""

    blobs: int = 0
    bytes: int = 0
    pages: int = 0


class Ageing:
    """The worker; `after_seconds` without use, and a file or page goes. None: never."""

    def __init__(
        self,
        pruning: Pruning,
        after_seconds: float | None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._pruning = pruning
        self._after_seconds = after_seconds
        self._now = now
        self._changed = asyncio.Event()
        self._trouble = Trouble(logger)

    def apply(self, after_seconds: float | None) -> None:
        """Drop what is unused for so long instead, first as soon as after a start."""
        if after_seconds != self._after_seconds:
            self._after_seconds = after_seconds
            self._changed.set()

    async def run(self) -> None:
        """Drop what is unused, now and then, until cancelled."""
        pause = FIRST_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self._after_seconds is None else pause):
                    await self._changed.wait()
                self._changed.clear()
                pause = FIRST_SECONDS
                continue
            pause = EVERY_SECONDS
            try:
                await self.drop()
            except (LedgerError, HostError, OSError) as error:
                self._trouble.tell(f"cannot drop what is unused: {error}")

    async def drop(self) -> Aged:
        """Drop what is unused by now, and say in one line how much that was.

        Raises LedgerError, and HostError where the disk does not let go: the rest waits then.
        """
        after_seconds, aged = self._after_seconds, Aged()
        if after_seconds is None:
            return aged
        moment = self._now() - after_seconds
        try:
            async for removal, freed in self._pruning.drop_unused(moment):
                aged.blobs += len(removal.gone)
                aged.bytes += freed
                for reason in removal.failed.values():
                    raise HostError(f"a blob cannot be removed: {reason}")
                await asyncio.sleep(PAUSE_SECONDS)
            async for count in self._pruning.drop_unused_pages(moment):
                aged.pages += count
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            if aged.blobs or aged.pages:
                days = after_seconds / 86400
                text = f"dropped {aged.blobs} blobs and {aged.pages} pages unused for {days:g} days"
                event(logger, logging.INFO, text, bytes=aged.bytes)
        return aged
