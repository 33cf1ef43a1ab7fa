"""Blobs with their rows and their room: the one place that keeps the three in step.

Commit: seal → rename → fsync directory → row. Removal: row, then blob. A crash between any two
steps leaves an orphan blob (adopted at start) or, after a power cut, a row without a blob, which
is a miss. Damaged blobs alone go before their rows. One lock makes commits and removals of the same
digest take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator

import msgspec

from pypicached.cache.budget import Budget
from pypicached.cache.pins import Pins
from pypicached.cache.uses import Uses
from pypicached.errors import LedgerError
from pypicached.ledger import BlobRow, CachedFile, Ledger
from pypicached.store import Identity, LocalStore, Spool
from pypicached.store.disk import disk_bytes

logger = logging.getLogger(__name__)


class Removal(msgspec.Struct, frozen=True):
    """What became of blobs that were to go: digests that went, and why others could not.

    `pinned` are those that a pin holds. What is being read is in none of these.
    """

    gone: set[str]
    failed: dict[str, str]
    pinned: set[str]


class Blobs:
    """Stored bytes of one daemon.

    `on_removed` is told of digests whose rows went, `on_kept` of each that was verified and
    written.
    """

    def __init__(
        self,
        store: LocalStore,
        ledger: Ledger,
        budget: Budget,
        pins: Pins,
        *,
        shares: bool = False,
    ) -> None:
        self.store = store
        self.budget = budget
        self.pins = pins
        self.uses = Uses()
        self.on_removed: list[Callable[[set[str]], None]] = []
        self.on_kept: list[Callable[[str], None]] = []
        self._files = ledger.files
        # Whether what is kept is to be put into a shared store, too.
        self._shares = shares
        self._turn = asyncio.Lock()

    async def keep(
        self, spool: Spool, file: CachedFile, reserved: int, *, from_fleet: bool = False
    ) -> None:
        """Make a verified spool the blob of `file`; OSError or LedgerError if that is refused.

        `from_fleet`: its bytes are those of the shared store, which needs them no more.
        Ends the reservation in every case. The spool stays open for those who still read it.
        """
        kept = False
        try:
            await self.store.disk.run(spool.seal, file.size_bytes)
            async with self._turn:
                # What has a row is counted, even if its blob had vanished: it is replaced.
                known = await self._files.get_blob(file.sha256)
                disk = await self.store.publish(spool, file.sha256)
                await self._files.record(file, disk, share=self._shares and not from_fleet)
                kept = True
                self.budget.commit(reserved, disk - (known.disk_bytes if known else 0))
                for told in self.on_kept:
                    told(file.sha256)
        finally:
            if not kept:
                self.budget.release(reserved)
                spool.unlink()

    async def link(self, file: CachedFile) -> bool:
        """Record `file` if a blob of its digest is here already; return whether.

        `size_bytes` of 0 stands for a length that the index did not say.
        """
        async with self._turn:
            about = self.store.stat(file.sha256)
            if about is None or file.size_bytes not in (0, about.st_size):
                return False
            known = await self._files.get_blob(file.sha256)
            if known is not None and known.size_bytes != about.st_size:
                return False
            whole = msgspec.structs.replace(file, size_bytes=about.st_size)
            disk = disk_bytes(about)
            await self._files.record(whole, disk, share=self._shares, anew=False)
            self.budget.commit(0, disk - (known.disk_bytes if known else 0))
            return True

    async def adopt(self, blob: BlobRow) -> bool:
        """Take a blob into account as it was found; return whether it had no row till now."""
        async with self._turn:
            if self.store.stat(blob.sha256) is None:
                return False
            known = await self._files.get_blob(blob.sha256)
            await self._files.adopt_blobs([blob], share=self._shares)
            self.budget.commit(0, blob.disk_bytes - (known.disk_bytes if known else 0))
            return known is None

    async def drop_vanished(self, digests: list[str]) -> int:
        """Remove the rows of blobs that are still not there; return how many.

        Raises LedgerError, OSError.
        """
        async with self._turn:
            missing = await self.store.disk.run(self.store.missing, digests)
            gone, _ = await self._remove(missing)
            return len(gone)

    async def pinned(self, digests: list[str]) -> set[str]:
        """Return which of these blobs a pin holds. Raises LedgerError."""
        if not self.pins:
            return set()
        names = await self._files.names_of_blobs(digests)
        return {digest for digest in digests if self.pins.hold_any(names.get(digest, ()))}

    async def remove(self, digests: Iterable[str]) -> Removal:
        """Remove blobs that nobody reads and no pin holds, rows first; return which went.

        One that the disk does not let go gets its rows back and stays counted. Raises LedgerError,
        and then nothing has gone.
        """
        async with self._turn:
            free = sorted(digest for digest in digests if digest not in self.uses)
            # Asked here again, whoever planned this: a pin holds from the moment it is made.
            pinned = await self.pinned(free)
            gone, failed = await self._remove([d for d in free if d not in pinned])
            return Removal(gone, failed, pinned)

    async def drop_damaged(self, sha256: str, seen: Identity | None) -> str | None:
        """Remove a blob that is not what its name says, pinned or not; its readers keep what is.

        `seen` is the file that was found damaged: another one in its place, whole by its making,
        stays. Returns why it could not go, or None. Raises LedgerError.
        """
        async with self._turn:
            if self.store.identify(sha256) != seen:
                return None
            refused: dict[str, OSError] = {}
            # The blob first: as an orphan it would be taken back, for nobody knows of it then.
            await self.store.delete([sha256], refused)
            for error in refused.values():
                return error.strerror or "the disk failed"
            await self._remove([sha256])
            return None

    async def _remove(self, going: list[str]) -> tuple[set[str], dict[str, str]]:
        """Return (gone, failed → why). Callers hold the turn."""
        rows = await self._files.get_blobs(going)
        files = await self._files.of_blobs(list(rows))
        await self._files.forget_blobs(list(rows))
        for told in self.on_removed:
            told(set(rows))
        refused: dict[str, OSError] = {}
        try:
            await self.store.delete(rows, refused)
        finally:
            # A caller that is cancelled has waited for the disk: what has gone has gone.
            for sha256, row in rows.items():
                if sha256 not in refused:
                    self.budget.removed(row.disk_bytes)
        failed: dict[str, str] = {}
        for sha256, error in refused.items():
            failed[sha256] = error.strerror or "the disk failed"
            logger.warning("cannot remove blob %s: %s", sha256, error)
            await self._give_back(rows[sha256], files.get(sha256, []))
        return rows.keys() - failed.keys(), failed

    async def _give_back(self, blob: BlobRow, files: list[CachedFile]) -> None:
        """Give a blob that could not be removed its rows back."""
        try:
            await self._files.adopt_blobs([blob])
            for file in files:
                await self._files.record(file, blob.disk_bytes)
        except LedgerError as error:
            # An orphan, then, that the next start adopts; it is on the disk, so it stays counted.
            logger.warning("blob %s has lost its entry: %s", blob.sha256, error)

    @contextlib.contextmanager
    def in_use(self, sha256: str) -> Iterator[None]:
        """Hold a blob against eviction while it is read."""
        self.uses.begin(sha256)
        try:
            yield
        finally:
            self.uses.end(sha256)
