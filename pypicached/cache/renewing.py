"""An object of a shared store tells by its time when any host used it last: that is kept true here.

`prune --store` goes by it. Times are renewed behind the clients, at most once a day each: when a
blob is used here, and when one has come from the store that nobody has renewed for so long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from pypicached.cache.blobs import Blobs
from pypicached.cache.health import Health
from pypicached.cache.trouble import Trouble
from pypicached.errors import LedgerError, StoreError, StoreRefusedError
from pypicached.ledger import Ledger
from pypicached.logs import event
from pypicached.store import Store

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 86400.0
LOOK_SECONDS = 600.0
REFRESHED_AT_ONCE = 100
# Uses are written down in turns: one may be a little older than what was seen before it.
OVERLAP_SECONDS = 60.0
# Of what has come from the store; what is more than this is met by the next look.
MOST_AGED = 1000
# An object of which no blob is here, and that nobody was sent to for so long, is forgotten.
FORGET_SECONDS = 90 * 86400.0
# What waits for longer was postponed by a clock that was ahead: none is, by so long.
LONGEST_WAIT_SECONDS = 7200.0


class Renewing:
    """Renews times. Single-threaded. `renewed_blobs` counts from the daemon's start."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        store: Store,
        health: Health,
        writing: Health,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.renewed_blobs = 0
        self._ledger = ledger
        self._shared = ledger.shared
        self._blobs = blobs
        self._store = store
        self._health = health
        self._writing = writing
        self._now = now
        self._aged: dict[str, None] = {}
        self._wanted = asyncio.Event()
        self._last = (now() - REFRESH_SECONDS, "")
        self._forgotten_to = ""
        self._trouble = Trouble(logger)

    def is_due(self, kept_at: float) -> bool:
        """Whether an object with that time is to be renewed; one of the future is."""
        return not 0 <= self._now() - kept_at <= REFRESH_SECONDS

    def arrived(self, sha256: str, kept_at: float) -> None:
        """A blob has come from the store: that is a use of its object."""
        if self.is_due(kept_at) and len(self._aged) < MOST_AGED:
            self._aged[sha256] = None
            self._wanted.set()

    async def renew(self, sha256: str) -> bool:
        """Renew an object's time; return whether there is one. Raises StoreError, LedgerError."""
        if not await self._store.refresh(sha256):
            return False
        self._writing.succeeded()
        self.renewed_blobs += 1
        about = self._blobs.store.stat(sha256)
        await self._shared.arrived(sha256, about.st_size if about else 0)
        return True

    async def run(self) -> None:
        """Renew what is used, until cancelled."""
        looked_at = float("-inf")
        while True:
            self._wanted.clear()
            try:
                await self._renew_aged()
                if time.monotonic() - looked_at >= LOOK_SECONDS:
                    looked_at = time.monotonic()
                    await self._look()
            except LedgerError as error:
                self._trouble.tell(f"cannot see which shared files are used: {error}")
            except StoreError as error:
                self._health.failed(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wanted.wait()

    async def _renew_aged(self) -> None:
        while self._aged:
            sha256 = next(iter(self._aged))
            if not await self._try(sha256):
                return
            self._aged.pop(sha256, None)

    async def _look(self) -> None:
        """Renew what was used since the last look, and forget some of what is not any more."""
        await self._shared.recall(LONGEST_WAIT_SECONDS)
        self._forgotten_to = await self._shared.forget_some(self._forgotten_to, FORGET_SECONDS)
        await self._ledger.usage.flush()
        # A use by a clock that was ahead would hide all others until then.
        last = (min(self._last[0], self._now()) - OVERLAP_SECONDS, "")
        while used := await self._shared.used_since(last, REFRESH_SECONDS, REFRESHED_AT_ONCE):
            for sha256, at in used:
                if not await self._try(sha256):
                    return
                self._last = last = (at, sha256)

    async def _try(self, sha256: str) -> bool:
        """Renew one object, or see that it cannot be; False: not now. StoreError, LedgerError."""
        if not (self._writing.allows() and self._health.allows()):
            return False
        try:
            there = await self.renew(sha256)
        except StoreRefusedError as error:
            # Perhaps of this one alone: the others do not wait for it.
            self._writing.failed(error)
            if not self._writing.failing:
                text = f"the time of object {sha256} cannot be renewed: {error.reason}"
                event(logger, logging.WARNING, text)
            return not self._writing.failing
        self._health.succeeded()
        if not there:
            await self._shared.vanished(sha256)
        return True
