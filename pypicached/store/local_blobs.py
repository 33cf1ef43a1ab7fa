"""The blobs of a local store as `Store` has them: for whom one store is like another.

The cache itself keeps to `LocalStore`, which is quicker and tells more. Nothing here knows the
ledger or the budget: whoever puts or deletes answers for both.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from pypicached.errors import (
    BlobMissingError,
    StoreRefusedError,
    StoreUnavailableError,
    WrongBytesError,
)
from pypicached.store.local import LocalStore
from pypicached.store.protocol import WALK_AT_ONCE, BlobStream, StoredBlob
from pypicached.store.spool import Spool

_READ_BYTES = 256 * 1024


class LocalBlobs:
    """A `Store` on local disk; safe for many tasks of one event loop. `kept_at` is the mtime."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    async def stat(self, sha256: str) -> StoredBlob | None:
        """Return what is known of a blob; None if it is certain that there is none."""
        with _explained():
            return await self._store.disk.run(self._stat, sha256)

    def _stat(self, sha256: str) -> StoredBlob | None:
        if self._store.missing([sha256]):
            return None
        about = self._store.path_of(sha256).lstat()
        return _blob(sha256, about) if stat.S_ISREG(about.st_mode) else None

    @contextlib.asynccontextmanager
    async def get(self, sha256: str, *, offset: int = 0) -> AsyncIterator[BlobStream]:
        """Open a blob from `offset` on; beyond its end is nothing. Raises BlobMissingError."""
        about = await self.stat(sha256)
        with _explained():
            fd = None if about is None else self._store.open(sha256, about.size_bytes)
        if about is None or fd is None:
            raise BlobMissingError
        try:
            reading = _Reading(self._store, fd, offset)
            yield BlobStream(offset, about.size_bytes, about.kept_at, reading.read_some)
        finally:
            os.close(fd)

    async def put(self, sha256: str, path: Path) -> None:
        """Store the bytes of a file as a blob: whole, or not at all. One that is there is replaced.

        Raises OSError if the file cannot be read; WrongBytesError if its bytes are not `sha256`'s.
        """
        with open(path, "rb") as file:  # noqa: ASYNC230 - no read yet
            length = os.fstat(file.fileno()).st_size
            with _explained():
                spool = await self._store.create_spool(length)
            try:
                await self._store.disk.run(_copy, file, spool, sha256)
                with _explained():
                    await self._store.publish(spool, sha256)
            except BaseException:
                spool.discard()
                raise
            spool.close()

    async def refresh(self, sha256: str) -> bool:
        """Set `kept_at` to now; return False if there is no such blob."""
        with _explained():
            try:
                await self._store.disk.run(os.utime, self._store.path_of(sha256))
            except FileNotFoundError:
                return not self._store.missing([sha256])
        return True

    async def delete(self, digests: Collection[str]) -> dict[str, str]:
        """Remove blobs; return those that could not be removed, and why. A missing one is gone."""
        refused: dict[str, OSError] = {}
        await self._store.delete(digests, refused)
        return {sha256: str(error.strerror) for sha256, error in refused.items()}

    async def walk(self) -> AsyncIterator[list[StoredBlob]]:
        """Yield all blobs by digest, at most `WALK_AT_ONCE` at a time.

        One that comes or goes meanwhile may or may not be met.
        """
        pages = _pages(self._store.walk())
        with _explained():
            while page := await self._store.disk.run(next, pages, None):
                yield page


class _Reading:
    """Where a reader is in an open blob."""

    def __init__(self, store: LocalStore, fd: int, position: int) -> None:
        self._store = store
        self._fd = fd
        self._position = position

    async def read_some(self) -> bytes:
        with _explained():
            piece = await self._store.disk.run(os.pread, self._fd, _READ_BYTES, self._position)
        self._position += len(piece)
        return piece


def _copy(file: BinaryIO, spool: Spool, sha256: str) -> None:
    digest = hashlib.sha256()
    position = 0
    while piece := file.read(_READ_BYTES):
        digest.update(piece)
        spool.write_at(piece, position)
        position += len(piece)
    if digest.hexdigest() != sha256:
        raise WrongBytesError
    spool.seal(position)


def _pages(found: Iterable[tuple[str, os.stat_result]]) -> Iterator[list[StoredBlob]]:
    """Return blobs that come by directory, in the order of digests and in pages; blocking."""
    for _, group in itertools.groupby(found, key=lambda entry: entry[0][:2]):
        blobs = sorted(group)
        for start in range(0, len(blobs), WALK_AT_ONCE):
            yield [_blob(*entry) for entry in blobs[start : start + WALK_AT_ONCE]]


def _blob(sha256: str, about: os.stat_result) -> StoredBlob:
    return StoredBlob(sha256, about.st_size, about.st_mtime)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise what a disk has against it as StoreError."""
    try:
        yield
    except PermissionError:
        raise StoreRefusedError("does not let us: its directory belongs to somebody else") from None
    except OSError as error:
        raise StoreUnavailableError(f"cannot be used: {error.strerror}"[:79]) from error
