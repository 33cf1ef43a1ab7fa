"""No room: files are streamed through, verified all the same, and nothing half-written stays."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from tests.cache.client import (
    Slow,
    assert_in_step,
    assert_nothing_kept,
    blobs_in,
    fetch,
    settled,
    until,
)
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running

SIZE = 400_000


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=SIZE)
    upstream.add("alpha", made)
    return made


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the kernel refuse room, as a full disk or a quota does."""

    def refuse(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)


async def assert_problem(daemon: Running) -> None:
    """`status` says that something cannot be kept."""
    problems = (await daemon.parts.operations.status()).problems
    assert any(problem.startswith("not everything can be kept") for problem in problems)


@pytest.mark.parametrize("size", [20_000, SIZE])
async def test_no_room__budget_smaller_than_the_file(
    tmp_path: Path, upstream: FakeUpstream, size: int
) -> None:
    """A file that will never fit is streamed through: right bytes, nothing kept, a problem."""
    wheel = make_wheel("beta", "1.0", size_bytes=size)
    upstream.add("beta", wheel)
    async with running(tmp_path, upstream.url, cache__max_size="10KiB") as daemon:
        url = await daemon.file_url("beta", wheel.filename)
        for _ in range(2):
            got = await fetch(daemon, url)
            assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
            assert got.headers["Content-Length"] == str(len(wheel.body))
            assert got.headers["Cache-Status"].startswith("pypicached; fwd=miss; detail=")
        assert upstream.count("*.whl") == 2
        await assert_nothing_kept(daemon)
        await assert_problem(daemon)


@pytest.mark.usefixtures("full_disk")
async def test_no_room__enospc(tmp_path: Path, upstream: FakeUpstream, wheel: DistFile) -> None:
    """A disk that refuses room is no upstream failure: the file passes through."""
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
        await assert_nothing_kept(daemon)
        await assert_problem(daemon)


@pytest.mark.usefixtures("full_disk")
async def test_no_room__unknown_length(tmp_path: Path) -> None:
    """A file whose length nobody knows passes through, too."""
    wheel = make_wheel("alpha", "1.0", size_bytes=SIZE)
    async with FakeUpstream(style="html") as upstream:
        upstream.add("alpha", wheel)
        upstream.fault("*.whl", "no_length")
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
            assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
            await assert_nothing_kept(daemon)


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("extra", [0, 300_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [20_000, SIZE])
async def test_no_room__wrong_file(
    tmp_path: Path, upstream: FakeUpstream, at: int, extra: int, framing: str, size: int
) -> None:
    """A wrong file is not completed when it passes through either (invariant 1)."""
    wheel = make_wheel("beta", "1.0", size_bytes=size)
    upstream.add("beta", wheel)
    upstream.fault("*.whl", "wrong_bytes", at=at)
    if extra:
        upstream.fault("*.whl", "long", n=extra)
    if framing == "chunked":
        upstream.fault("*.whl", "no_length")
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("beta", wheel.filename))
        assert got.status == 502 or not got.whole
        assert (got.status == 502) == (size == 20_000 or (extra > 0 and framing == "length"))
        assert got.status == 502 or len(got.body) <= len(wheel.body) - 64 * 1024
        await assert_nothing_kept(daemon)


@pytest.mark.usefixtures("full_disk")
async def test_no_room__four_upstream_streams_at_most(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """Clients that cannot share a spool take turns at upstream, four at a time, and all finish."""
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        gate = upstream.hold("*.whl", after_bytes=SIZE - 100_000)
        clients = [asyncio.create_task(fetch(daemon, url)) for _ in range(10)]
        await until(lambda: gate.waiting == 4)
        assert upstream.count("*.whl") == 4
        gate.open()
        for got in await asyncio.gather(*clients):
            assert (got.status, got.body == wheel.body) == (200, True)
        assert upstream.count("*.whl") == 10


@pytest.mark.usefixtures("full_disk")
async def test_no_room__client_leaves(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A client that leaves in the middle gives its turn back."""
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        for _ in range(5):
            async with Slow.asking(url) as client:
                await client.read_head()
        got = await fetch(daemon, url)
        assert got.body == wheel.body
        await until(lambda: not daemon.daemon._app.active)
        assert not daemon.parts.files._turn.locked()


async def test_no_room__old_files_make_room(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A download that finds no room evicts what was least recently used, and is kept."""
    wheels = [make_wheel(name, "1.0", size_bytes=200_000) for name in ("aa", "bb", "cc")]
    for wheel in wheels:
        upstream.add(wheel.filename.split("-")[0], wheel)
    async with running(tmp_path, upstream.url, cache__max_size="500KiB") as daemon:
        first, second, third = [
            await daemon.file_url(wheel.filename.split("-")[0], wheel.filename) for wheel in wheels
        ]
        for url in (first, second, first):
            await fetch(daemon, url)
            await settled(daemon)
            daemon.clock.advance(60)
        assert (await fetch(daemon, third)).body == wheels[2].body
        await assert_in_step(daemon)
        assert set(blobs_in(daemon)) == {wheels[0].sha256, wheels[2].sha256}
        upstream.clear()
        assert (await fetch(daemon, second)).body == wheels[1].body
        assert upstream.count("*.whl") == 1


async def test_no_room__what_is_being_read_stays(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A blob that a client still reads is not evicted; the newcomer passes through instead."""
    old = make_wheel("aa", "1.0", size_bytes=8_000_000)
    new = make_wheel("bb", "1.0", size_bytes=8_000_000)
    upstream.add("aa", old)
    upstream.add("bb", new)
    async with running(tmp_path, upstream.url, cache__max_size="12MiB") as daemon:
        await fetch(daemon, await daemon.file_url("aa", old.filename))
        await settled(daemon)
        async with Slow.asking(await daemon.file_url("aa", old.filename)) as reader:
            await reader.read_head()
            got = await fetch(daemon, await daemon.file_url("bb", new.filename))
            assert (got.status, got.body == new.body) == (200, True)
            await assert_in_step(daemon)
            assert list(blobs_in(daemon)) == [old.sha256]
            assert await reader.reader.readexactly(len(old.body)) == old.body


async def test_no_room__commit_refused(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the commit fails the clients still have the file; nothing is left of it."""

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            got = await fetch(daemon, url)
            assert (got.whole, got.body == wheel.body) == (True, True)
            await assert_nothing_kept(daemon)
        await assert_problem(daemon)
        await fetch(daemon, url)
        await assert_in_step(daemon)
        assert list(blobs_in(daemon)) == [wheel.sha256]


@pytest.mark.usefixtures("full_disk")
async def test_no_room__small_file(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Room for a small file is made while upstream is asked; without it each client has it still.

    Nothing stays reserved, and nothing is left behind.
    """
    small = make_wheel("small", "1.0", size_bytes=20_000)
    upstream.add("small", small)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("small", small.filename)
        for _ in range(2):
            assert (await fetch(daemon, url)).body == small.body
        await assert_nothing_kept(daemon)


async def test_no_room__small_file_is_nowhere(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Where upstream has it not, the room that was made for it is given back."""
    small = make_wheel("small", "1.0", size_bytes=20_000)
    upstream.add("small", small)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("small", small.filename)
        upstream.fault("*.whl", "status", code=404)
        assert (await fetch(daemon, url)).status != 200
        await assert_nothing_kept(daemon)
