"""Removing from a shared store what no host has used for long; no host asks another.

An object's own time tells: every host that uses one renews it, at most daily. All times are the
store's, so that the clock of no host counts. Whoever still has a blob of which the object is gone
puts it there again with its next use; two hosts that prune at once only find less to do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from pypicached.cache.blobs import Blobs
from pypicached.cache.renewing import REFRESH_SECONDS
from pypicached.store import Bucket

DAY_SECONDS = 86400.0
# What is used every day may have been renewed almost two days ago.
LEAST_DAYS = 2.0
# Parts of uploads that nobody has ended for so long never will be.
STALE_UPLOAD_SECONDS = DAY_SECONDS

assert LEAST_DAYS * DAY_SECONDS >= 2 * REFRESH_SECONDS


class StoreSweep(msgspec.Struct):
    """How far it is: objects looked at, and of these that went (or would), are pinned, refused.

    `refused`: digest → why.
    """

    looked_at: int = 0
    gone: int = 0
    gone_bytes: int = 0
    pinned: int = 0
    uploads: int = 0
    refused: dict[str, str] = {}


class StorePruning:
    """Prunes one bucket. Any number of callers."""

    def __init__(self, bucket: Bucket, blobs: Blobs) -> None:
        self._bucket = bucket
        self._blobs = blobs

    async def run(self, days: float, *, dry_run: bool) -> AsyncGenerator[StoreSweep, None]:
        """Remove what was not used for so many days; yield the same sweep after each step.

        Raises StoreError, LedgerError.
        """
        sweep = StoreSweep()
        before = await self._bucket.now() - days * DAY_SECONDS
        async for found in self._bucket.walk():
            sweep.looked_at += len(found)
            old = {blob.sha256: blob.size_bytes for blob in found if blob.kept_at < before}
            pinned = await self._blobs.pinned(list(old))
            sweep.pinned += len(pinned)
            going = old.keys() - pinned
            refused = {} if dry_run or not going else await self._bucket.delete(going)
            sweep.refused |= refused
            gone = going - refused.keys()
            sweep.gone += len(gone)
            sweep.gone_bytes += sum(old[sha256] for sha256 in gone)
            yield sweep
        if not dry_run:
            sweep.uploads = await self._bucket.abort_stale_uploads(STALE_UPLOAD_SECONDS)
        yield sweep
