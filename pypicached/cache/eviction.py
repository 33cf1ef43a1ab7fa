"""Making room: the least recently used blobs go, when the budget or the disk asks for it.

`plan_eviction` decides, purely. One worker keeps the cache between a low and a high water mark so
that downloads rarely wait; a download that finds no room waits for the same worker's work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator

import msgspec

from pypicached.cache.blobs import Blobs
from pypicached.cache.pace import Pace
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
# Where all is pinned, how often each blob is asked about again.
HELD_SECONDS = 600.0
ALL_PINNED = "no room on the cache disk: everything that could go is pinned or being read"


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


class HeldPrefix:
    """The oldest blobs that pins hold: they gather at the old end, and are passed over as one.

    Good until a pin goes. What may go and stands among them all the same (a blob that has lost its
    names, or was adopted late) is met again when a walk finds nothing better. Single-threaded.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last: BlobRow | None = None
        self._revision = -1
        self._begun = 0.0
        self._open = False

    def resume(self, revision: int) -> BlobRow | None:
        """Begin a walk; return behind which blob, under pins of this revision."""
        if revision != self._revision:
            self._last, self._revision = None, revision
        if self._last is None:
            self._begun = self._now()
        self._open = True
        return self._last

    def note(self, rows: list[BlobRow], pinned: Container[str]) -> None:
        """Take the next blobs of the walk into account."""
        for row in rows if self._open else ():
            if row.sha256 not in pinned:
                self._open = False
                return
            self._last = row

    def ended(self) -> None:
        """A walk came to its end: the next one begins at the first blob, but not all the time."""
        if self._now() - self._begun >= HELD_SECONDS:
            self._last = None


class Tally(msgspec.Struct):
    """What went in one go."""

    blobs: int = 0
    bytes: int = 0


class Eviction:
    """The worker, and the way for a download to wait for room."""

    def __init__(self, blobs: Blobs, ledger: Ledger) -> None:
        self._blobs = blobs
        self._ledger = ledger
        self._turn = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._trouble = Trouble(logger)
        self._held = HeldPrefix()
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
            await self._check_enough(missing)
            with _telling() as tally:
                await self._evict(missing, tally)

    async def _check_enough(self, needed: int) -> None:
        """Raise NoRoomError if pins leave too little that could go; without pins all could."""
        if not self._blobs.pins:
            return
        async for candidates in self._candidates():
            needed -= sum(
                row.disk_bytes for row in candidates if row.sha256 not in self._blobs.uses
            )
            if needed <= 0:
                return
        raise NoRoomError(ALL_PINNED)

    def _above(self, share: float) -> int:
        """Return by how many bytes the cache is above a share of its limit. Raises NoRoomError."""
        budget = self._blobs.budget
        if budget.limit_bytes is None:
            return budget.missing(0)
        mark = int(budget.limit_bytes * share)
        return max(budget.missing(0), budget.held_bytes - mark)

    def look(self) -> None:
        """Have the worker see at once how full it is: its limits are other ones."""
        self._wanted.set()

    async def run(self) -> None:
        """Keep the cache below its marks until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                # `wait_for` swallows a cancel that comes as the wait ends: a stop would never end.
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                if self._above(HIGH) > 0:
                    await self._thin_out()
            except (LedgerError, NoRoomError, OSError) as error:
                # The next look tries again; downloads that find no room are passed through.
                self._trouble.tell(f"cannot evict: {error}")

    async def _thin_out(self) -> None:
        """Go down to the low mark at an easy pace; who waits for room has its turn in between."""
        pace = Pace()
        with _telling() as tally:
            while (needed := self._above(LOW)) > 0:
                before = tally.blobs
                async with self._turn:
                    began = time.monotonic()
                    await self._evict(needed, tally, a_batch=True)
                if tally.blobs == before:
                    return
                await pace.worked(time.monotonic() - began)

    async def _evict(self, needed: int, tally: Tally, *, a_batch: bool = False) -> None:
        """Remove blobs until `needed` bytes are free or nothing may go; `a_batch`: or any went.

        Raises NoRoomError at the first batch of which something cannot be removed: a disk that is
        read-only must not cost every blob its row.
        """
        async for candidates in self._candidates():
            plan = plan_eviction(candidates, needed, self._blobs.uses)
            removal = await self._blobs.remove([row.sha256 for row in plan])
            freed = sum(row.disk_bytes for row in plan if row.sha256 in removal.gone)
            needed -= freed
            tally.blobs += len(removal.gone)
            tally.bytes += freed
            self.evicted_blobs += len(removal.gone)
            for reason in removal.failed.values():
                raise NoRoomError(f"a blob cannot be removed: {reason}")
            if needed <= 0 or (a_batch and removal.gone):
                return

    async def _candidates(self) -> AsyncIterator[list[BlobRow]]:
        """Yield batches of blobs that no pin holds, least recently used first."""
        await self._ledger.usage.flush()  # pending access times count
        last = self._held.resume(self._blobs.pins.revision)
        while rows := await self._ledger.files.oldest_blobs(last, BATCH):
            last = rows[-1]
            pinned = await self._blobs.pinned([row.sha256 for row in rows])
            self._held.note(rows, pinned)
            yield [row for row in rows if row.sha256 not in pinned]
        self._held.ended()


@contextlib.contextmanager
def _telling() -> Iterator[Tally]:
    """Count what goes, and say it in one line, whatever ended it."""
    tally = Tally()
    try:
        yield tally
    finally:
        if tally.blobs:
            text = f"evicted {tally.blobs} least recently used blobs"
            event(logger, logging.INFO, text, bytes=tally.bytes)
