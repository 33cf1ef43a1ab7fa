"""What becomes of a file whose bytes are here: its row, its place in memory, its way to the fleet.

Its readers have it all by then; what fails here costs them nothing, and is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from pypicached.cache.blobs import Blobs
from pypicached.cache.digests import Expected
from pypicached.cache.listing import Listings
from pypicached.cache.observe import Observations
from pypicached.cache.rereading import Rereading
from pypicached.cache.sidecars import SIDECAR
from pypicached.cache.stored_files import FileKey
from pypicached.cache.transfer import Arrived
from pypicached.errors import LedgerError
from pypicached.ledger import CachedFile
from pypicached.logs import event
from pypicached.policy import moment_of
from pypicached.simple.model import ProjectFile

logger = logging.getLogger(__name__)


class Committing:
    """Makes cached files. Single-threaded; any number of downloads."""

    def __init__(
        self,
        blobs: Blobs,
        listings: Listings,
        rereading: Rereading,
        observations: Observations,
        now: Callable[[], float],
    ) -> None:
        self._blobs = blobs
        self._listings = listings
        self._rereading = rereading
        self._observations = observations
        self._now = now

    async def link(
        self, key: FileKey, project: str, entry: ProjectFile, expected: Expected
    ) -> bool:
        """Record the file if a blob with the digest that its page gives is here already."""
        sha256 = expected.hashes.get("sha256", "")
        if len(sha256) != 64:
            return False
        file = self._cached(key, project, entry, sha256, expected.size or 0)
        try:
            return await self._rereading.vouch(sha256) and await self._blobs.link(file)
        except LedgerError as error:
            event(logger, logging.ERROR, str(error), file=entry.filename)
            return False

    async def keep(self, key: FileKey, project: str, entry: ProjectFile, arrived: Arrived) -> None:
        """Keep a verified download. Raises nothing: where it cannot be kept, that is told."""
        file = self._cached(
            key, project, entry, arrived.sha256, arrived.length, ok=arrived.verified
        )
        try:
            await self._blobs.keep(arrived.spool, file, arrived.reserved, from_fleet=arrived.shared)
            await self._listings.kept(file)
        except (OSError, LedgerError) as error:
            # Its readers have it all; it is only not kept.
            self._observations.no_room(f"could not keep {file.filename}: {error}")
            event(logger, logging.ERROR, f"could not keep {file.filename}: {error}")
            return
        event(
            logger,
            logging.INFO,
            f"cached {file.filename}",
            index=key.index,
            bytes=arrived.length,
            verified=arrived.verified,
        )

    def _cached(
        self,
        key: FileKey,
        project: str,
        entry: ProjectFile,
        sha256: str,
        size: int,
        *,
        ok: bool = True,
    ) -> CachedFile:
        now = self._now()
        return CachedFile(
            index=key.index,
            path=key.path,
            kind=key.kind,
            project=project,
            filename=entry.filename + (SIDECAR if key.kind == "metadata" else ""),
            sha256=sha256,
            size_bytes=size,
            verified=ok,
            first_cached_at=now,
            last_used_at=now,
            uploaded_at=moment_of(entry.upload_time),
        )
