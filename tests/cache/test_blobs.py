"""Blobs, rows and room in step: commits, links and removals, and what they leave if refused."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypicached.errors import LedgerError
from pypicached.ledger import BlobRow, CachedFile
from tests.cache.building import BLOCK, Cache, building, content_of, make_file

BODY = b"x" * 5000


async def spooled(cache: Cache, body: bytes = BODY) -> tuple[CachedFile, int]:
    """Return a file and the room that is reserved for it."""
    await cache.eviction.reserve(2 * BLOCK)
    return make_file("p-1", body), 2 * BLOCK


async def test_blobs__commit_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are durable before they have their name, and named before they have a row."""
    steps: list[str] = []
    async with building(tmp_path) as cache:
        fsync, ftruncate, rename = os.fsync, os.ftruncate, Path.rename
        record = cache.ledger.files.record

        def say_fsync(fd: int) -> None:
            where = Path(f"/proc/self/fd/{fd}").readlink()
            steps.append(f"fsync {where.parent.name if where.is_file() else 'directory'}")
            fsync(fd)

        def say_cut(fd: int, length: int) -> None:
            steps.append(f"cut to {length}")
            ftruncate(fd, length)

        def say_rename(path: Path, target: Path) -> Path:
            steps.append("rename")
            return rename(path, target)

        async def say_record(file: CachedFile, disk: int, *, share: bool) -> None:
            assert cache.stored() == {file.sha256}
            steps.append("row")
            await record(file, disk, share=share)

        # The shard's directory is there already, so that only the commit itself is seen.
        (tmp_path / "blobs" / "sha256" / make_file("p-1", BODY).sha256[:2]).mkdir()
        file, reserved = await spooled(cache)
        spool = await cache.store.create_spool(len(BODY))
        spool.write_at(BODY, 0)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", say_fsync)
            patch.setattr(os, "ftruncate", say_cut)
            patch.setattr(Path, "rename", say_rename)
            patch.setattr(cache.ledger.files, "record", say_record)
            await cache.blobs.keep(spool, file, reserved)
        spool.close()
        assert [step for step in steps if step != "fsync directory"] == [
            "cut to 5000",
            "fsync tmp",
            "rename",
            "row",
        ]
        assert steps.index("rename") < len(steps) - 1 - steps[::-1].index("fsync directory")
        assert steps[-1] == "row"


async def test_blobs__removal_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row goes before its blob (invariant 2)."""
    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        forget = cache.ledger.files.forget_blobs
        delete = cache.store.delete

        async def check_blob(digests: list[str]) -> None:
            assert cache.stored() == {file.sha256}
            await forget(digests)

        async def check_row(digests: Collection[str], refused: dict[str, OSError]) -> None:
            assert await cache.ledger.files.get_blobs(list(digests)) == {}
            await delete(digests, refused)

        monkeypatch.setattr(cache.ledger.files, "forget_blobs", check_blob)
        monkeypatch.setattr(cache.store, "delete", check_row)
        removal = await cache.blobs.remove([file.sha256, "00" * 32])
        assert (removal.gone, removal.failed) == ({file.sha256}, {})
        await cache.check()
        assert cache.stored() == set()


@pytest.mark.parametrize("step", ["fsync", "ftruncate", "rename", "record"])
async def test_blobs__refused_commit_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whichever step of a commit fails, neither bytes nor room are left behind."""

    def refuse(*_args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def refuse_row(_file: CachedFile, _disk: int, **_options: bool) -> None:
        raise LedgerError("no")

    async with building(tmp_path) as cache:
        file, reserved = await spooled(cache)
        spool = await cache.store.create_spool(len(BODY))
        spool.write_at(BODY, 0)
        with monkeypatch.context() as patch:
            if step == "record":
                patch.setattr(cache.ledger.files, "record", refuse_row)
            else:
                patch.setattr(Path if step == "rename" else os, step, refuse)
            with pytest.raises((OSError, LedgerError)):
                await cache.blobs.keep(spool, file, reserved)
        # Who still reads it may go on.
        reader = spool.open_reader()
        assert os.pread(reader, 10, 0) == BODY[:10]
        os.close(reader)
        spool.close()
        assert cache.stored() == set()
        await cache.check()


async def test_blobs__kept_twice_is_counted_once(tmp_path: Path) -> None:
    """The same bytes under two names are one blob, and take room once."""
    async with building(tmp_path) as cache:
        for name in ("p-1", "p-2"):
            file, reserved = await spooled(cache)
            spool = await cache.store.create_spool(len(BODY))
            spool.write_at(BODY, 0)
            await cache.blobs.keep(spool, make_file(name, BODY), reserved)
            spool.close()
        await cache.check()
        files = await cache.ledger.files.of_blob(file.sha256)
        assert {found.filename for found in files} == {"p-1", "p-2"}


async def test_blobs__link(tmp_path: Path) -> None:
    """A link needs bytes of the right length; an orphan that is linked is counted."""
    async with building(tmp_path) as cache:
        file = make_file("p-1", BODY)
        assert not await cache.blobs.link(file)
        blob = tmp_path / "blobs" / "sha256" / file.sha256[:2] / file.sha256
        blob.parent.mkdir()
        blob.write_bytes(BODY[:-1])
        assert not await cache.blobs.link(file)
        blob.write_bytes(BODY)
        assert await cache.blobs.link(file)
        assert await cache.blobs.link(make_file("p-2", BODY))
        await cache.check()
        row = await cache.ledger.files.get("pypi", "files.test/p-2", "file")
        assert row is not None
        assert row.size_bytes == len(BODY)


async def test_blobs__link_refused_by_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that the ledger refuses counts nothing."""
    async with building(tmp_path) as cache:
        file = make_file("p-1", BODY)
        blob = tmp_path / "blobs" / "sha256" / file.sha256[:2] / file.sha256
        blob.parent.mkdir()
        blob.write_bytes(BODY)

        async def refuse(_file: CachedFile, _disk: int, **_options: bool) -> None:
            raise LedgerError("no")

        with monkeypatch.context() as patch:
            patch.setattr(cache.ledger.files, "record", refuse)
            with pytest.raises(LedgerError):
                await cache.blobs.link(file)
        assert cache.budget.used_bytes == 0


async def test_blobs__removal_spares_readers(tmp_path: Path) -> None:
    """What is read stays with its row; the rest of the batch goes, and listeners hear of it."""
    told: list[set[str]] = []
    async with building(tmp_path) as cache:
        cache.blobs.on_removed.append(told.append)
        read, idle = await cache.keep("p-1"), await cache.keep("p-2")
        with cache.blobs.in_use(read.sha256), cache.blobs.in_use(read.sha256):
            pass
        with cache.blobs.in_use(read.sha256):
            removal = await cache.blobs.remove([read.sha256, idle.sha256])
        assert removal.gone == {idle.sha256}
        assert told == [removal.gone]
        assert cache.stored() == {read.sha256}
        await cache.check()


async def test_blobs__what_cannot_be_removed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that the disk does not let go keeps its rows and stays counted; the others go."""
    unlink = Path.unlink
    async with building(tmp_path) as cache:
        stuck, free = await cache.keep("p-1", used_at=7.0), await cache.keep("p-2")

        def refuse(path: Path, missing_ok: bool = False) -> None:
            if path.name == stuck.sha256:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            unlink(path, missing_ok)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            removal = await cache.blobs.remove([stuck.sha256, free.sha256])
        assert removal.gone == {free.sha256}
        assert removal.failed == {stuck.sha256: "Read-only file system"}
        assert await cache.ledger.files.of_blob(stuck.sha256) == [stuck]
        row = await cache.ledger.files.get_blob(stuck.sha256)
        assert row is not None
        assert row.last_used_at == 7.0
        await cache.check()


async def test_blobs__what_cannot_be_removed_is_counted_without_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger refuses to take the row back the blob is on the disk all the same: counted."""

    def refuse(_path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    async def refuse_row(_blobs: list[BlobRow], **_options: bool) -> None:
        raise LedgerError("no")

    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            patch.setattr(cache.ledger.files, "adopt_blobs", refuse_row)
            assert (await cache.blobs.remove([file.sha256])).gone == set()
        assert cache.stored() == {file.sha256}
        assert cache.budget.used_bytes == BLOCK


operations = st.lists(
    st.tuples(st.sampled_from(["keep", "remove", "vanish", "link", "adopt"]), st.integers(0, 3)),
    max_size=12,
)


@given(operations)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_blobs__always_in_step(
    tmp_path_factory: pytest.TempPathFactory, program: list[tuple[str, int]]
) -> None:
    """Whatever happens in whatever order, the budget is the sum of the ledger's rows."""

    async def run() -> None:
        async with building(tmp_path_factory.mktemp("cache"), 50 * BLOCK) as cache:
            for step, n in program:
                name = f"p-{n}"
                size = BLOCK * (n + 1)
                if step == "keep":
                    file = await cache.keep(name, size)
                else:
                    file = make_file(name, content_of(name, size))
                path = cache.store._path(file.sha256)
                if step == "remove":
                    await cache.blobs.remove([file.sha256])
                elif step == "vanish":
                    path.unlink(missing_ok=True)
                elif step == "link":
                    await cache.blobs.link(file)
                elif step == "adopt":
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(content_of(name, size))
                    disk = path.stat().st_blocks * 512
                    await cache.blobs.adopt(BlobRow(file.sha256, size, disk, 0.0))
                _, used = await cache.ledger.files.totals()
                assert (cache.budget.used_bytes, cache.budget.reserved_bytes) == (used, 0)

    asyncio.run(run())
