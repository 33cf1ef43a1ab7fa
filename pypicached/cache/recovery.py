"""After a start: bring ledger and disk in step, in the background and at an easy pace.

A blob without a row gets one, a row tells no less than what its blob takes on this disk, and a row
whose blob has gone goes too. No blob is read, and none is deleted for being an orphan: its name is
its digest, given only after verification, so it is worth keeping until eviction decides by its age.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator

from pypicached.cache.blobs import Blobs
from pypicached.cache.pace import Pace
from pypicached.errors import LedgerError
from pypicached.ledger import BlobRow, Ledger
from pypicached.logs import event
from pypicached.store.disk import disk_bytes

logger = logging.getLogger(__name__)

# Names that are looked at, or rows, between two looks at the clock: a few milliseconds.
BATCH = 200
# Nobody waits for it: a tenth of a core while clients come back; minutes for a million blobs.
RESTS = 9.0
# Where more of the rows than this have no blob, it is the disk that has gone, and no row goes.
MAX_VANISHED = 0.5


async def count_stored(ledger: Ledger, blobs: Blobs) -> int:
    """Give the budget what the ledger knows to be stored; return the number of blobs."""
    count, used = await ledger.files.totals()
    blobs.budget.commit(0, used)
    return count


async def reconcile(ledger: Ledger, blobs: Blobs) -> int:
    """Walk the store, then the rows if there are more; return how many blobs were taken back.

    Where ledger or disk fail meanwhile, the rest waits for the next start.
    """
    pace = Pace(RESTS)
    adopted = found = 0
    try:
        async for names, new in _adoptions(ledger, blobs, pace):
            found, adopted = found + names, adopted + new
        if (await ledger.files.totals())[0] > found:
            await _drop_vanished(ledger, blobs, pace)
    except (LedgerError, OSError) as error:
        event(logger, logging.ERROR, f"cannot compare ledger and disk: {error}")
    if adopted:
        event(logger, logging.WARNING, f"took back {adopted} stored blobs that had no entry")
    return adopted


async def _adoptions(ledger: Ledger, blobs: Blobs, pace: Pace) -> AsyncIterator[tuple[int, int]]:
    """Give rows to all blobs; yield (blobs seen, rows given) for each batch."""
    walk = blobs.store.walk()
    while True:
        began = time.monotonic()
        seen, failed = await blobs.store.disk.run(_next_blobs, walk)
        if failed is None and not seen:
            return
        rows = await ledger.files.get_blobs(list(seen))
        adopted = 0
        for sha256, about in seen.items():
            if _differs(rows.get(sha256), about):
                adopted += await blobs.adopt(_row_of(sha256, about))
        yield len(seen), adopted
        if failed is not None:
            raise failed
        await pace.worked(time.monotonic() - began)


def _next_blobs(
    walk: Iterator[tuple[str, os.stat_result]],
) -> tuple[dict[str, os.stat_result], OSError | None]:
    """Return the next blobs of a walk, and what it ended with if the disk failed. Blocking."""
    seen: dict[str, os.stat_result] = {}
    try:
        seen.update(itertools.islice(walk, BATCH))
    except OSError as error:
        return seen, error
    return seen, None


def _differs(row: BlobRow | None, about: os.stat_result) -> bool:
    """Tell whether a blob has no row, or takes more than its row knows, as on another disk.

    What it takes less (a copy with holes, compression) stays counted: that errs on the safe side.
    One of another length is damaged: a miss, and for `verify` to tell.
    """
    if row is None:
        return True
    return row.size_bytes == about.st_size and row.disk_bytes < disk_bytes(about)


def _row_of(sha256: str, about: os.stat_result) -> BlobRow:
    """Return the row of a blob; its last use, if no row knows better, is when it was written."""
    return BlobRow(sha256, about.st_size, disk_bytes(about), about.st_mtime)


async def _drop_vanished(ledger: Ledger, blobs: Blobs, pace: Pace) -> None:
    """Drop the rows whose blobs have gone, unless most seem to have."""
    total, _ = await ledger.files.totals()
    vanished: list[str] = []
    async for batch in _vanished(ledger, blobs, pace):
        vanished += batch
        if len(vanished) > total * MAX_VANISHED:
            text = f"most of {total} stored blobs are not on the disk: is it the right one?"
            event(logger, logging.ERROR, text)
            return
    dropped = 0
    for start in range(0, len(vanished), BATCH):
        began = time.monotonic()
        dropped += await blobs.drop_vanished(vanished[start : start + BATCH])
        await pace.worked(time.monotonic() - began)
    if dropped:
        event(logger, logging.WARNING, f"dropped the entries of {dropped} blobs that had gone")


async def _vanished(ledger: Ledger, blobs: Blobs, pace: Pace) -> AsyncIterator[list[str]]:
    """Yield the digests of rows without a blob, batch by batch."""
    last = ""
    while True:
        began = time.monotonic()
        digests = [row.sha256 for row in await ledger.files.next_blobs(last, BATCH)]
        if not digests:
            return
        yield await blobs.store.disk.run(blobs.store.missing, digests)
        last = digests[-1]
        await pace.worked(time.monotonic() - began)
