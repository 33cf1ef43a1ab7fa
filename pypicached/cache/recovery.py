"""After a start: count what is here, and give rows to blobs that have none.

No blob is read and nothing is deleted for being an orphan: its name is its digest, given only after
verification, so it is worth keeping until eviction decides by its age.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import AsyncIterator

from pypicached.cache.blobs import Blobs
from pypicached.errors import LedgerError
from pypicached.ledger import BlobRow, Ledger
from pypicached.logs import event
from pypicached.store.disk import disk_bytes

logger = logging.getLogger(__name__)

BATCH = 500


async def count_stored(ledger: Ledger, blobs: Blobs) -> int:
    """Give the budget what the ledger knows to be stored; return the number of blobs."""
    count, used = await ledger.files.totals()
    blobs.budget.commit(0, used)
    return count


async def adopt_orphans(ledger: Ledger, blobs: Blobs) -> int:
    """Walk the store in the background and give rows to blobs without one; return how many.

    Where ledger or disk fail meanwhile, the rest waits for the next start.
    """
    adopted = 0
    try:
        async for new in _adoptions(ledger, blobs):
            adopted += new
    except (LedgerError, OSError) as error:
        event(logger, logging.ERROR, f"cannot look for blobs that have no entry: {error}")
    if adopted:
        event(logger, logging.WARNING, f"took back {adopted} stored blobs that had no entry")
    return adopted


async def _adoptions(ledger: Ledger, blobs: Blobs) -> AsyncIterator[bool]:
    walk = blobs.store.walk()
    while found := await blobs.store.disk.run(lambda: list(itertools.islice(walk, BATCH))):
        for sha256, about in found:
            yield await _adopt(ledger, blobs, sha256, about)
        await asyncio.sleep(0)


async def _adopt(ledger: Ledger, blobs: Blobs, sha256: str, about: os.stat_result) -> bool:
    """Give one blob a row unless it has one. Its last use is when it was last written."""
    if await ledger.files.get_blob(sha256) is not None:
        return False
    return await blobs.adopt(BlobRow(sha256, about.st_size, disk_bytes(about), about.st_mtime))
