"""Copies of the ledger within the budget; whatever happens, nothing of them stays."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from pypicached.cache.copying import Copying
from pypicached.errors import BusyError, HostError, LedgerError, NoRoomError
from pypicached.ledger import check_copy
from pypicached.ledger.backup import Snapshot
from tests.cache.building import BLOCK, Cache, building, digests


def copying(cache: Cache) -> Copying:
    """Return what makes copies of this cache's ledger."""
    return Copying(cache.ledger, cache.blobs, cache.eviction)


async def test_copy__whole_and_gone(tmp_path: Path) -> None:
    """A copy is all of the ledger, counted while it is there, without a name, and then gone."""
    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        cache.ledger.usage.touch_file(file.index, file.path, file.kind, file.sha256)
        async with copying(cache).copy() as copy:
            body = b""
            while piece := await copy.read():
                body += piece
            assert cache.budget.reserved_bytes >= copy.size_bytes == len(body)
            assert list((tmp_path / "tmp").iterdir()) == []
        (tmp_path / "copy").write_bytes(body)
        check_copy(tmp_path / "copy")
        # What was pending is in it.
        assert cache.ledger.usage._files == {}
        await cache.check()


async def test_copy__makes_room(tmp_path: Path) -> None:
    """The budget holds with a copy, too: what was used longest ago goes for it."""
    async with building(tmp_path, 60 * BLOCK) as cache:
        files = [await cache.keep(f"p-{n}", BLOCK, used_at=n) for n in range(58)]
        async with copying(cache).copy() as copy:
            assert copy.size_bytes > 2 * BLOCK
            assert cache.budget.used_bytes + cache.budget.reserved_bytes <= 60 * BLOCK
        assert cache.stored() < digests(files)
        await cache.check()


async def test_copy__no_room(tmp_path: Path) -> None:
    """Where there is no room, that is said, and nothing is left of the attempt."""
    async with building(tmp_path, 5 * BLOCK) as cache:
        file = await cache.keep("p-1")
        with pytest.raises(NoRoomError, match="no room for a copy of the ledger"):
            async with copying(cache).copy():
                raise AssertionError
        assert cache.stored() == digests([file])
        await cache.check()


@pytest.mark.parametrize(
    ("error", "raised"), [(LedgerError("full"), LedgerError), (OSError(5, "bad"), HostError)]
)
async def test_copy__fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    """A copy that fails leaves no file and no room held, and the next one may begin."""

    async def fail(_snapshot: Snapshot, path: Path) -> None:
        path.write_text("half")
        raise error

    async with building(tmp_path) as cache:
        source = copying(cache)
        with monkeypatch.context() as patch:
            patch.setattr(Snapshot, "copy_to", fail)
            with pytest.raises(raised):
                async with source.copy():
                    raise AssertionError
        await cache.check()
        async with source.copy() as copy:
            assert copy.size_bytes > 0
        await cache.check()


async def test_copy__cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who leaves while the copy is made leaves nothing."""
    begun = asyncio.Event()

    async def hang(_snapshot: Snapshot, path: Path) -> None:
        path.write_text("half")
        begun.set()
        await asyncio.Event().wait()

    async with building(tmp_path) as cache:
        source = copying(cache)
        async with source.copy():
            pass  # SQLite keeps one descriptor of a file that others have open, for the next time
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with monkeypatch.context() as patch:
            patch.setattr(Snapshot, "copy_to", hang)
            task = asyncio.create_task(source.copy().__aenter__())
            await begun.wait()
            with pytest.raises(BusyError, match="another backup"):
                await source.copy().__aenter__()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        await cache.check()
