"""After a crash: what is on disk is counted and taken back, what was unfinished is gone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pypicached.cache.recovery import count_stored, reconcile
from pypicached.errors import LedgerError
from pypicached.ledger import BlobRow
from pypicached.store import LocalStore
from pypicached.store.disk import DiskPool
from tests.cache.building import BLOCK, building, digests, make_file
from tests.cache.client import assert_in_step, blobs_in, fetch, settled
from tests.fake import FakeUpstream, make_wheel
from tests.harness import Running, running


def lay_down(root: Path, name: str, body: bytes, written_at: float = 500.0) -> str:
    """Put a blob on the disk without telling the ledger; return its digest."""
    sha256 = make_file(name, body).sha256
    path = root / "blobs" / "sha256" / sha256[:2] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    os.utime(path, (written_at, written_at))
    return sha256


def test_recovery__unfinished_downloads_go(tmp_path: Path) -> None:
    """Start-up empties `tmp/` and says how many spools there were; blobs stay."""
    disk = DiskPool(1)
    store = LocalStore(tmp_path, disk)
    assert store.prepare() == 0
    sha256 = lay_down(tmp_path, "p-1", b"body")
    for name in ("1-1", "1-2"):
        (tmp_path / "tmp" / name).write_bytes(b"half")
    assert LocalStore(tmp_path, disk).prepare() == 2
    assert list((tmp_path / "tmp").iterdir()) == []
    assert [digest for digest, _ in store.walk()] == [sha256]
    disk.close()


async def test_recovery__totals(tmp_path: Path) -> None:
    """A start counts what the ledger knows, and nothing twice."""
    async with building(tmp_path) as cache:
        files = [await cache.keep(f"p-{n}", BLOCK * (n + 1)) for n in range(3)]
        used = cache.budget.used_bytes
    async with building(tmp_path) as cache:
        assert await count_stored(cache.ledger, cache.blobs) == len(files)
        assert cache.budget.used_bytes == used > 0
        assert await reconcile(cache.ledger, cache.blobs) == 0
        await cache.check()


async def test_recovery__orphans_are_adopted(tmp_path: Path) -> None:
    """Blobs without a row get one, with the time they were written as their last use."""
    async with building(tmp_path) as cache:
        known = await cache.keep("p-0", used_at=1000)
        orphan = lay_down(tmp_path, "p-1", b"x" * 5000, written_at=777.0)
        assert await reconcile(cache.ledger, cache.blobs) == 1
        row = await cache.ledger.files.get_blob(orphan)
        assert row is not None
        assert (row.size_bytes, row.last_used_at) == (5000, 777.0)
        await cache.check()
        assert await reconcile(cache.ledger, cache.blobs) == 0
        # The eldest goes first, whoever told the ledger of it.
        await cache.blobs.remove([row.sha256])
        assert cache.stored() == digests([known])
        await cache.check()


async def test_recovery__what_is_no_blob_is_left_alone(tmp_path: Path) -> None:
    """Names that are no digest, links and directories are neither adopted nor removed."""
    async with building(tmp_path) as cache:
        shard = tmp_path / "blobs" / "sha256" / "aa"
        shard.mkdir()
        (shard / "README").write_text("not ours")
        (shard / ("a" * 64)).mkdir()
        (shard / ("ab" * 32)).symlink_to("README")
        (shard / ("AB" * 32)).write_text("upper case")
        (tmp_path / "blobs" / "sha256" / "stray").write_text("not ours")
        assert await reconcile(cache.ledger, cache.blobs) == 0
        assert len(list(shard.iterdir())) == 4
        await cache.check()


async def test_recovery__orphan_serves_its_page(tmp_path: Path) -> None:
    """Losing the ledger loses no file: its page links the digest again, without a download."""
    wheel = make_wheel("alpha", "1.0", size_bytes=100_000)
    async with FakeUpstream() as upstream:
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url) as daemon:
            await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
            await settled(daemon)
            cache = daemon.parts.store.root
        for path in cache.glob("ledger.sqlite*"):
            path.unlink()
        async with running(tmp_path, upstream.url) as daemon:
            assert list(blobs_in(daemon)) == [wheel.sha256]
            got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
            assert (got.status, got.body == wheel.body) == (200, True)
            assert got.headers["Cache-Status"] == "pypicached; hit"
            await _adopted(daemon)
            await assert_in_step(daemon)
        assert upstream.count("*.whl") == 1


async def _adopted(daemon: Running) -> None:
    """Wait for the walk that began at start; a second one finds nothing to do."""
    assert await reconcile(daemon.parts.ledger, daemon.parts.blobs) == 0


@pytest.mark.parametrize("error", [LedgerError("no"), OSError(errno.EIO, "bad disk")])
async def test_recovery__failing_host_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """Where ledger or disk fail, the walk ends with a line in the log; the next start goes on."""

    async def refuse(_digests: list[str]) -> None:
        raise error

    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        await cache.ledger.files.forget_blobs([file.sha256])
        cache.budget.removed(BLOCK)
        with monkeypatch.context() as patch:
            patch.setattr(cache.ledger.files, "get_blobs", refuse)
            assert await reconcile(cache.ledger, cache.blobs) == 0
        assert "cannot compare ledger and disk" in caplog.text
        assert await reconcile(cache.ledger, cache.blobs) == 1
        await cache.check()


async def test_recovery__another_disk(tmp_path: Path) -> None:
    """Where a blob takes more than on the host that it came from, row and budget say so."""
    async with building(tmp_path) as cache:
        file = await cache.keep("p-1", 5 * BLOCK)
        await cache.keep("p-2")
        await cache.ledger.files.adopt_blobs([BlobRow(file.sha256, 5 * BLOCK, BLOCK, 1.0)])
        cache.budget.used_bytes -= 4 * BLOCK
        assert await reconcile(cache.ledger, cache.blobs) == 0
        await cache.check()


async def test_recovery__another_length_is_left_to_verify(tmp_path: Path) -> None:
    """A blob that was cut stays as its row says: damage is for `verify` to tell."""
    async with building(tmp_path) as cache:
        file = await cache.keep("p-1", 5 * BLOCK)
        os.truncate(tmp_path / "blobs" / "sha256" / file.sha256[:2] / file.sha256, BLOCK)
        await reconcile(cache.ledger, cache.blobs)
        row = await cache.ledger.files.get_blob(file.sha256)
        assert row is not None
        assert row.size_bytes == 5 * BLOCK


async def test_recovery__entries_whose_blobs_have_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a power cut, or with an older ledger put back, such rows and their room go."""
    async with building(tmp_path) as cache:
        files = [await cache.keep(f"p-{n}") for n in range(5)]
        for file in files[:2]:
            cache.store._path(file.sha256).unlink()
        assert await reconcile(cache.ledger, cache.blobs) == 0
        await cache.check()
        assert await cache.ledger.files.of_project("p") == files[2:]
        assert "dropped the entries of 2 blobs" in caplog.text


async def test_recovery__disk_that_is_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where most blobs are missing it is the disk that is not the right one: no row goes."""
    async with building(tmp_path) as cache:
        files = [await cache.keep(f"p-{n}") for n in range(5)]
        for file in files[:3]:
            cache.store._path(file.sha256).unlink()
        assert await reconcile(cache.ledger, cache.blobs) == 0
        assert "is it the right one" in caplog.text
        assert len(await cache.ledger.files.of_project("p")) == 5


async def test_recovery__kept_again_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that is there again when its row would go keeps the row."""
    async with building(tmp_path) as cache:
        files = [await cache.keep(f"p-{n}") for n in range(5)]
        path = cache.store._path(files[0].sha256)
        body = path.read_bytes()
        path.unlink()
        drop = cache.blobs.drop_vanished

        async def late(digests: list[str]) -> int:
            path.write_bytes(body)
            return await drop(digests)

        monkeypatch.setattr(cache.blobs, "drop_vanished", late)
        await reconcile(cache.ledger, cache.blobs)
        await cache.check()
        assert len(await cache.ledger.files.of_project("p")) == 5
