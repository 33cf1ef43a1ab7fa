"""A transfer that is cancelled or fails leaves no spool, no room held and no descriptor open."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pypicached.cache import filling
from pypicached.cache.digests import Expected
from pypicached.cache.download import Download
from pypicached.cache.source import Source
from pypicached.cache.transfer import Arrived, Transfer
from pypicached.errors import NeverFitsError, NoRoomError, VerificationError
from pypicached.store import Spool, spool
from pypicached.upstream import Connection, Limits
from tests.cache.building import BLOCK, Cache, building
from tests.fake import DistFile, FakeUpstream, make_wheel

SIZE = 200_000


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=SIZE)
    upstream.add("alpha", made)
    return made


@contextlib.asynccontextmanager
async def connecting(upstream: FakeUpstream) -> AsyncIterator[Connection]:
    """Open a connection to the fake, and close it."""
    connection = Connection("pypi", upstream.url, limits=Limits())
    try:
        yield connection
    finally:
        await connection.close()


def open_under(root: Path) -> list[str]:
    """Return the open descriptors of this process that belong to spools or blobs."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            where = str(entry.readlink())
            if where.startswith((f"{root}/tmp", f"{root}/blobs")):
                found.append(where)
    return found


def build(cache: Cache, connection: Connection, url: str, expected: Expected) -> Transfer:
    """Build a transfer as `Files` does, for a download that only its owner holds."""
    download = Download("alpha", Source(connection, "file", url, expected, lambda: True))
    download.attach()
    return Transfer(
        download, blobs=cache.blobs, eviction=cache.eviction, on_bytes=lambda _octets: None
    )


def whole(wheel: DistFile) -> Expected:
    """What a good page says of the file."""
    return Expected(size=len(wheel.body), hashes={"sha256": wheel.sha256})


def assert_nothing_left(cache: Cache) -> None:
    """No spool, no descriptor, no room held."""
    assert list((cache.store.root / "tmp").iterdir()) == []
    assert open_under(cache.store.root) == []
    assert cache.budget.reserved_bytes == 0


def give_up(cache: Cache, arrived: Arrived) -> None:
    """Do with what arrived what its taker would do if it could not keep it."""
    cache.budget.release(arrived.reserved)
    arrived.spool.discard()


@pytest.mark.parametrize("known", [True, False])
async def test_transfer__cancelled_at_each_step(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, known: bool
) -> None:
    """Wherever the owner is cancelled, nothing is left behind."""
    expected = whole(wheel) if known else Expected(hashes={"sha256": wheel.sha256})
    outcomes = set()
    async with building(tmp_path, 100 * 1024 * 1024) as cache, connecting(upstream) as connection:
        for steps in (*range(12), 15, 20, 27, 36, 50, 70, 100, 150, 10_000):
            work = build(cache, connection, upstream.url_of(wheel), expected)
            task = asyncio.create_task(work.run())
            for _ in range(steps):
                if task.done():
                    break
                await asyncio.sleep(0)
            task.cancel()
            try:
                give_up(cache, await task)
                outcomes.add("arrived")
            except asyncio.CancelledError:
                outcomes.add("cancelled")
            assert_nothing_left(cache)
    assert "cancelled" in outcomes


async def test_transfer__cancelled_while_the_spool_is_made(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spool that a thread makes for a task that is gone is discarded."""
    create = Spool.create
    tasks: list[asyncio.Task[Arrived]] = []
    async with building(tmp_path) as cache, connecting(upstream) as connection:
        loop = asyncio.get_running_loop()

        def slow(path: Path, length: int | None) -> Spool:
            # The owner is cancelled while its thread is at work.
            loop.call_soon_threadsafe(tasks[0].cancel)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
            return create(path, length)

        monkeypatch.setattr(Spool, "create", slow)
        work = build(cache, connection, upstream.url_of(wheel), whole(wheel))
        tasks.append(asyncio.create_task(work.run()))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert_nothing_left(cache)
        assert upstream.requests == []


@pytest.mark.parametrize("after", [None, 0, 100_000, SIZE - 1])
async def test_transfer__cancelled_while_upstream_holds(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, after: int | None
) -> None:
    """Cancelled before the answer, at its head, in the middle, before its last byte."""
    gate = upstream.hold("*.whl", after_bytes=after)
    async with building(tmp_path) as cache, connecting(upstream) as connection:
        work = build(cache, connection, upstream.url_of(wheel), whole(wheel))
        task = asyncio.create_task(work.run())
        await gate.reached()
        assert cache.budget.reserved_bytes > 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert_nothing_left(cache)


@pytest.mark.parametrize("kind", ["wrong_bytes", "short", "long"])
async def test_transfer__wrong(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, kind: str
) -> None:
    """A wrong file is a VerificationError, and nothing is left."""
    upstream.fault("*.whl", kind)
    async with building(tmp_path) as cache, connecting(upstream) as connection:
        work = build(cache, connection, upstream.url_of(wheel), whole(wheel))
        with pytest.raises(VerificationError):
            await work.run()
        assert_nothing_left(cache)


async def test_transfer__arrived(tmp_path: Path, upstream: FakeUpstream, wheel: DistFile) -> None:
    """What arrived is whole, hashed, and holds exactly its room, and its directory's."""
    async with building(tmp_path) as cache, connecting(upstream) as connection:
        work = build(cache, connection, upstream.url_of(wheel), whole(wheel))
        arrived = await work.run()
        assert arrived.spool.read_at(SIZE * 2, 0) == wheel.body
        assert (arrived.sha256, arrived.length) == (wheel.sha256, len(wheel.body))
        assert arrived.verified
        room = -(-SIZE // BLOCK) * BLOCK + cache.store.new_directory_bytes
        assert cache.budget.reserved_bytes == arrived.reserved == room
        give_up(cache, arrived)
        assert_nothing_left(cache)


async def test_transfer__unknown_length_takes_room_in_steps(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for a body of unknown length is taken as it grows, up to half of all there is."""
    for module in (filling, spool):
        monkeypatch.setattr(module, "STEP_BYTES", 64 * 1024)
    upstream.fault("*.whl", "no_length")
    expected = Expected(hashes={"sha256": wheel.sha256})
    limit = 512 * 1024 + 2 * BLOCK
    async with building(tmp_path, limit) as cache, connecting(upstream) as connection:
        arrived = await build(cache, connection, upstream.url_of(wheel), expected).run()
        directory_bytes = cache.store.new_directory_bytes
        assert arrived.reserved == 256 * 1024 + directory_bytes
        assert arrived.spool.read_at(arrived.length, 0) == wheel.body
        give_up(cache, arrived)
        cache.budget.limit_bytes = 448 * 1024 + 2 * directory_bytes
        with pytest.raises(NeverFitsError):
            await build(cache, connection, upstream.url_of(wheel), expected).run()
        assert_nothing_left(cache)


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "open"])
async def test_transfer__disk_that_fails(
    tmp_path: Path,
    upstream: FakeUpstream,
    wheel: DistFile,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    """A disk that refuses is told apart from an upstream that fails."""

    def refuse(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with building(tmp_path) as cache, connecting(upstream) as connection:
        work = build(cache, connection, upstream.url_of(wheel), whole(wheel))
        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse)
            with pytest.raises(NoRoomError, match="No space left"):
                await work.run()
        assert_nothing_left(cache)
