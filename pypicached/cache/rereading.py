"""Stored bytes that clients meet are read again behind them: rot is found by its first use.

Hits do not hash: a large blob goes by `sendfile`, and the one client that meets changed bytes is
told so by the hash that its index gave. By then the blob is being read through here, one at a time
and at the pace of `verify`. Damaged, it goes, and the next request has it from upstream. What was
found well, or has just been verified and written, is not read again for a day, unless the file
at its place is another one or was changed: all but the medium itself leaves its mark on an inode.

Nobody meets what nobody asks for: that is for `verify`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

from pypicached.cache.blobs import Blobs
from pypicached.cache.flight import Flights
from pypicached.cache.observe import Observations
from pypicached.cache.pace import Pace
from pypicached.cache.trouble import Trouble
from pypicached.cache.verifying import Look
from pypicached.errors import HostError, LedgerError
from pypicached.ledger import BlobRow, CachedFile, Ledger
from pypicached.store import Identity, identify_open
from pypicached.store.disk import disk_bytes

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 86400.0
# A busy cache of a day; beyond it a blob is merely read once more.
MAX_KNOWN = 20_000
# What does not find a place comes again with its next hit.
MAX_WAITING = 1_000


class Rereading:
    """What is known of the blobs met last, and the worker. Single-threaded."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        observations: Observations,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._observations = observations
        self._now = now
        # Digest → (which file was found well, when).
        self._well: OrderedDict[str, tuple[Identity, float]] = OrderedDict()
        # Digests, oldest first.
        self._waiting: dict[str, None] = {}
        # Damage that was told already, until other bytes are kept in its place.
        self._told: OrderedDict[str, None] = OrderedDict()
        self._wanted = asyncio.Event()
        self._vouching: Flights[str, bool] = Flights()
        self._trouble = Trouble(logger)
        blobs.on_kept.append(self._kept)

    # ── what hits tell ───────────────────────────────────────────────────────────────────────

    def met(self, sha256: str, fd: int) -> None:
        """An open blob is about to be sent as it is: have it read, unless it is known."""
        known = self._well.get(sha256)
        if known is not None:
            same = known[0] == identify_open(fd)
            if same and 0 <= self._now() - known[1] < AGAIN_SECONDS:
                self._well.move_to_end(sha256)
                return
        self._want(sha256)

    def missed(self, file: CachedFile) -> None:
        """A blob that has an entry cannot be opened, or not as the entry says."""
        look = self._blobs.store.examine(file.sha256, file.size_bytes)
        try:
            look.step()
        finally:
            look.close()
        if look.problem is not None:
            self.suspect(file, look.problem)

    def suspect(self, file: CachedFile, problem: str) -> None:
        """A stored file is not what it should be: tell, and have it dropped if that is so."""
        try:
            self._blobs.store.free_bytes()
        except OSError:
            return  # the whole disk has gone: nothing is damaged, and `status` tells
        self._tell(file.sha256, file.filename, problem)
        self._want(file.sha256)

    def _want(self, sha256: str) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting[sha256] = None
            self._wanted.set()

    def _tell(self, sha256: str, filename: str, problem: str) -> None:
        if sha256 not in self._told:
            self._observations.damaged(filename, problem)
        self._told[sha256] = None
        if len(self._told) > MAX_KNOWN:
            self._told.popitem(last=False)

    def _kept(self, sha256: str) -> None:
        self._told.pop(sha256, None)
        self._note_well(sha256, self._blobs.store.identify(sha256))

    def _note_well(self, sha256: str, seen: Identity | None) -> None:
        if seen is not None:
            self._well[sha256] = (seen, self._now())
            self._well.move_to_end(sha256)
            if len(self._well) > MAX_KNOWN:
                self._well.popitem(last=False)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Read what waits, until cancelled."""
        pace = Pace()
        while True:
            await self._wanted.wait()
            for sha256 in list(self._waiting):
                try:
                    await self._read(sha256, pace)
                except (LedgerError, HostError) as error:
                    self._trouble.tell(f"cannot read stored files again: {error}")
                del self._waiting[sha256]
            if not self._waiting:
                self._wanted.clear()

    async def vouch(self, sha256: str) -> bool:
        """Tell whether a blob may be given to one more file; wait until it is read if need be.

        It may if it has an entry of some file, which it got when it was verified. One that has
        none, as all do once the ledger is lost, is read through first. Raises LedgerError.
        """
        if self._blobs.store.stat(sha256) is None:
            return False
        if await self._ledger.files.of_blob(sha256):
            return True
        reading, _ = self._vouching.join(sha256, lambda: self._read_orphan(sha256))
        return await asyncio.shield(reading)

    async def close(self) -> None:
        """Cancel what callers of `vouch` wait for."""
        await self._vouching.close()

    async def _read_orphan(self, sha256: str) -> bool:
        about = self._blobs.store.stat(sha256)
        if about is not None:
            row = BlobRow(sha256, about.st_size, disk_bytes(about), about.st_mtime)
            await self._blobs.adopt(row)
        try:
            return await self._read(sha256, Pace(0.0))
        except HostError:
            return False

    async def _read(self, sha256: str, pace: Pace) -> bool:
        """Read a blob through and drop it if it is damaged; return whether it is here and well.

        Raises LedgerError, HostError.
        """
        row = await self._ledger.files.get_blob(sha256)
        before = self._blobs.store.identify(sha256)
        if row is None:
            return False
        look = Look(self._ledger, self._blobs, row, pace)
        async with contextlib.aclosing(look.steps()) as steps:
            async for _ in steps:
                pass
        found = look.damage
        if found is None:
            self._note_well(sha256, before)
            return True
        assert found.problem is not None
        files = await self._ledger.files.of_blob(sha256)
        self._tell(sha256, files[0].filename if files else f"blob {sha256}", found.problem)
        if not found.denied:
            refused = await self._blobs.drop_damaged(sha256, found.seen)
            if refused is not None:
                self._trouble.tell(f"damaged blob {sha256} cannot be dropped: {refused}")
        return False
