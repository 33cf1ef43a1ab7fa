"""Making room: the least recently used blobs go, when the budget or the disk asks for it.

`plan_eviction` decides, purely. One worker keeps the cache between a low and a high water mark so
that downloads rarely wait; a download that finds no room waits for the same worker's work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Container, Iterable

from pypicached.cache.blobs import Blobs
from pypicached.cache.trouble import Trouble
from pypicached.errors import LedgerError, NoRoomError
from pypicached.ledger import BlobRow, Ledger
from pypicached.logs import event

logger = logging.getLogger(__name__)

# Of the limit: above high the worker begins, at low it stops.
HIGH, LOW = 0.97, 0.93
# How many candidates are read, and removed, at a time: hits go on in between.
BATCH = 200
# The disk is shared with others: how often its free space is looked at.
LOOK_SECONDS = 15.0


def plan_eviction(
    oldest_first: Iterable[BlobRow], needed: int, keep: Container[str]
) -> list[BlobRow]:
    """Return the fewest blobs, least recently used first, that free `needed` bytes of disk.

    Blobs in `keep` (in use, pinned) never go. Fewer bytes than needed may be all there is.
    """
    plan: list[BlobRow] = []
    for blob in oldest_first:
        if needed <= 0:
            break
        if blob.sha256 not in keep:
            plan.append(blob)
            needed -= blob.disk_bytes
    return plan


class Eviction:
    """The worker, and the way for a download to wait for room."""

    def __init__(self, blobs: Blobs, ledger: Ledger) -> None:
        self._blobs = blobs
        self._ledger = ledger
        self._turn = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._trouble = Trouble(logger)
        self.evicted_blobs = 0

    async def reserve(self, wanted: int) -> None:
        """Reserve room, evicting if that is what it takes; NeverFitsError, NoRoomError if not.

        Where all blobs together would not be enough, none of them goes.
        """
        budget = self._blobs.budget
        budget.check_fits(wanted)
        if budget.missing(wanted):
            try:
                async with self._turn:
                    await self._make_room(wanted)
            except LedgerError as error:
                raise NoRoomError(f"cannot make room: {error}") from error
        budget.reserve(wanted)
        # The room is given now: a disk that cannot be asked any more must not take it back.
        with contextlib.suppress(NoRoomError):
            if self._above(HIGH) > 0:
                self._wanted.set()

    async def _make_room(self, wanted: int) -> None:
        missing = self._blobs.budget.missing(wanted)
        if missing > self._blobs.budget.used_bytes:
            raise NoRoomError("no room on the cache disk, whatever were evicted")
        if missing:
            await self._evict(missing)

    def _above(self, share: float) -> int:
        """Return by how many bytes the cache is above a share of its limit. Raises NoRoomError."""
        budget = self._blobs.budget
        if budget.limit_bytes is None:
            return budget.missing(0)
        mark = int(budget.limit_bytes * share)
        return max(budget.missing(0), budget.used_bytes + budget.reserved_bytes - mark)

    async def run(self) -> None:
        """Keep the cache below its marks until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), LOOK_SECONDS)
            self._wanted.clear()
            try:
                if self._above(HIGH) > 0:
                    async with self._turn:
                        await self._evict(self._above(LOW))
            except (LedgerError, NoRoomError, OSError) as error:
                # The next look tries again; downloads that find no room are passed through.
                self._trouble.tell(f"cannot evict: {error}")

    async def _evict(self, needed: int) -> None:
        """Remove blobs until `needed` bytes are free or nothing may go.

        Raises NoRoomError at the first batch of which something cannot be removed: a disk that is
        read-only must not cost every blob its row.
        """
        await self._ledger.usage.flush()  # pending access times count
        last: BlobRow | None = None
        while needed > 0:
            candidates = await self._ledger.files.oldest_blobs(last, BATCH)
            if not candidates:
                return
            last = candidates[-1]
            plan = plan_eviction(candidates, needed, self._blobs.uses)
            removal = await self._blobs.remove([row.sha256 for row in plan])
            freed = sum(row.disk_bytes for row in plan if row.sha256 in removal.gone)
            needed -= freed
            self.evicted_blobs += len(removal.gone)
            if removal.gone:
                event(
                    logger,
                    logging.INFO,
                    f"evicted {len(removal.gone)} least recently used blobs",
                    bytes=freed,
                )
            for reason in removal.failed.values():
                raise NoRoomError(f"a blob cannot be removed: {reason}")
