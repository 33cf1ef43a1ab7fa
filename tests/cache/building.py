"""A cache without a daemon: store, ledger, budget, blobs and eviction on a directory of a test."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import msgspec

from pypicached.cache.blobs import Blobs
from pypicached.cache.budget import Budget
from pypicached.cache.eviction import Eviction
from pypicached.cache.pins import Pins
from pypicached.ledger import CachedFile, Ledger
from pypicached.store import LocalStore
from pypicached.store.disk import DiskPool

# Whole blocks on every file system that is likely here, so that sizes on disk are plain sums.
BLOCK = 4096
PLENTY = 1 << 50


class Cache(msgspec.Struct):
    """The parts, and how many bytes the disk claims to have free."""

    ledger: Ledger
    store: LocalStore
    budget: Budget
    blobs: Blobs
    eviction: Eviction
    free_bytes: int = PLENTY

    async def keep(self, name: str, size: int = BLOCK, *, used_at: float = 1000.0) -> CachedFile:
        """Reserve, write and keep a blob of `size` bytes as file `name` of project `name`."""
        content = content_of(name, size)
        file = make_file(name, content, used_at=used_at)
        await self.eviction.reserve(size)
        spool = await self.store.create_spool(size)
        spool.write_at(content, 0)
        await self.blobs.keep(spool, file, size)
        spool.close()
        return file

    def stored(self) -> set[str]:
        """Return the digests of the blobs on disk."""
        return {digest for digest, _ in self.store.walk()}

    async def check(self) -> None:
        """Disk, ledger and budget tell the same."""
        on_disk = dict(self.store.walk())
        used = sum(about.st_blocks * 512 for about in on_disk.values())
        assert await self.ledger.files.totals() == (len(on_disk), used)
        assert (self.budget.used_bytes, self.budget.reserved_bytes) == (used, 0)
        assert list((self.store.root / "tmp").iterdir()) == []


def content_of(name: str, size: int) -> bytes:
    """Return the bytes that `keep` gives to a name."""
    return (hashlib.sha256(name.encode()).digest() * (size // 32 + 1))[:size]


def make_file(name: str, content: bytes, *, used_at: float = 1000.0) -> CachedFile:
    """Make the row of a file."""
    return CachedFile(
        index="pypi",
        path=f"files.test/{name}",
        kind="file",
        project=name.partition("-")[0],
        filename=name,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        verified=True,
        first_cached_at=used_at,
        last_used_at=used_at,
    )


@contextlib.asynccontextmanager
async def building(
    root: Path, limit_bytes: int | None = None, *, now: Callable[[], float] = lambda: 5000.0
) -> AsyncIterator[Cache]:
    """Open everything on `root`; `limit_bytes` is the budget."""
    disk = DiskPool()
    store = LocalStore(root, disk)
    store.prepare()
    try:
        async with Ledger.open(root / "ledger.sqlite", now=now) as ledger:
            parts: list[Cache] = []
            budget = Budget(
                limit_bytes,
                min_free_bytes=0,
                free_bytes=lambda: parts[0].free_bytes,
            )
            blobs = Blobs(store, ledger, budget, Pins(root / "pins.txt", disk))
            parts.append(Cache(ledger, store, budget, blobs, Eviction(blobs, ledger)))
            yield parts[0]
    finally:
        disk.close()


def digests(files: Iterable[CachedFile]) -> set[str]:
    """Return the digests of files."""
    return {file.sha256 for file in files}
