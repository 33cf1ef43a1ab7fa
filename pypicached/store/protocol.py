"""What every store of blobs does, be it a disk or a bucket.

A store knows bytes by their sha256 and nothing else: no names, no policy, no budget. What it gives
back is what it was given, as far as it can tell; whoever reads compares the digest all the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec

# What `Store.walk` yields at most at a time.
WALK_AT_ONCE = 1000


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob as its store tells of it.

    `kept_at` is when it was put there or last refreshed, by the store's own clock, in seconds since
    the epoch; a store may leave off the fraction.
    """

    sha256: str
    size_bytes: int
    kept_at: float


class BlobStream(msgspec.Struct, frozen=True):
    """Bytes of a blob on their way, from `start` to its end; `length` is the whole blob's.

    `kept_at` is as of StoredBlob; 0 if the store does not say.
    """

    start: int
    length: int
    kept_at: float
    # Returns what has arrived, at least one byte; empty at the end. Raises StoreError.
    read_some: Callable[[], Awaitable[bytes]]


class Store(Protocol):
    """Blobs by digest; safe for many tasks of one event loop.

    Everything may raise StoreUnavailableError (no usable answer in time: later may do) and
    StoreRefusedError (it answers, and does not let us).
    """

    async def stat(self, sha256: str) -> StoredBlob | None:
        """Return what is known of a blob; None if it is certain that there is none."""

    def get(self, sha256: str, *, offset: int = 0) -> AbstractAsyncContextManager[BlobStream]:
        """Open a blob from `offset` on; beyond its end is nothing. Raises BlobMissingError."""

    async def put(self, sha256: str, path: Path) -> None:
        """Store the bytes of a file as a blob: whole, or not at all. One that is there is replaced.

        Raises OSError if the file cannot be read; WrongBytesError if its bytes are not `sha256`'s.
        """

    async def refresh(self, sha256: str) -> bool:
        """Set `kept_at` to now; return False if there is no such blob."""

    async def delete(self, digests: Collection[str]) -> dict[str, str]:
        """Remove blobs; return those that could not be removed, and why. A missing one is gone."""

    def walk(self) -> AsyncIterator[list[StoredBlob]]:
        """Yield all blobs by digest, at most `WALK_AT_ONCE` at a time.

        One that comes or goes meanwhile may or may not be met.
        """
