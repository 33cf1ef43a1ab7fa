"""A copy of the ledger to be sent: a file without a name, within the budget, gone when closed.

It is made in the store's `tmp/`, which the next start empties, and loses its name as soon as it is
whole: whatever happens, nothing of it stays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from pypicached.cache.blobs import Blobs
from pypicached.cache.eviction import Eviction
from pypicached.errors import BusyError, HostError, NoRoomError
from pypicached.ledger import Ledger
from pypicached.store.disk import DiskPool, blocks_for

READ_BYTES = 256 * 1024


class Copy:
    """An open copy; `size_bytes` is all of it."""

    def __init__(self, fd: int, disk: DiskPool) -> None:
        self.size_bytes = os.fstat(fd).st_size
        self._fd = fd
        self._disk = disk

    async def read(self) -> bytes:
        """Return the next bytes, none at the end. Raises OSError."""
        return await self._disk.run(os.read, self._fd, READ_BYTES)


class Copying:
    """Makes copies, one at a time."""

    def __init__(self, ledger: Ledger, blobs: Blobs, eviction: Eviction) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._eviction = eviction
        self._running = False

    @contextlib.asynccontextmanager
    async def copy(self) -> AsyncIterator[Copy]:
        """Yield a copy of the ledger as it is now, with what is still to be counted written.

        Raises BusyError, LedgerError, NoRoomError, HostError.
        """
        if self._running:
            raise BusyError("another backup is running; ask again when it is done")
        self._running = True
        try:
            await self._ledger.usage.flush()
            async with contextlib.AsyncExitStack() as stack:
                fd = await self._make(stack)
                yield Copy(fd, self._blobs.store.disk)
        finally:
            self._running = False

    async def _make(self, stack: contextlib.AsyncExitStack) -> int:
        """Return a descriptor of the copy; descriptor and room are given back by the stack."""
        budget, store = self._blobs.budget, self._blobs.store
        path = store.temporary_path()
        async with self._ledger.snapshot() as snapshot:
            room = blocks_for(snapshot.size_bytes, store.block_bytes)
            try:
                await self._eviction.reserve(room)
            except NoRoomError as error:
                raise NoRoomError(f"no room for a copy of the ledger: {error}") from error
            stack.callback(budget.release, room)
            try:
                await snapshot.copy_to(path)
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise HostError(f"cannot copy the ledger: {error.strerror}") from error
            finally:
                _unlink(path)
        stack.callback(os.close, fd)
        return fd


def _unlink(path: Path) -> None:
    # A disk that refuses has `tmp/` emptied at the next start.
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
