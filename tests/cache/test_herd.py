"""Many clients on one file: one upstream request, and nobody depends on anybody else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pypicached.cache.download import Miss
from pypicached.cache.stored_files import FileKey
from pypicached.web import sending
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
from tests.harness import running

SIZE = 600_000
HELD_AT = 400_000


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=SIZE)
    upstream.add("alpha", made)
    return made


async def test_herd__rule_48_one_upstream_request(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """100 cold requests make one upstream GET, and each gets bytes while it still runs."""
    gate = upstream.hold("*.whl", after_bytes=HELD_AT)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        started = asyncio.Semaphore(0)

        async def client() -> tuple[bytes, str]:
            async with daemon.session.get(url) as answer:
                first = await answer.content.readexactly(100_000)
                started.release()
                return first + await answer.read(), answer.headers["Cache-Status"]

        clients = [asyncio.create_task(client()) for _ in range(100)]
        for _ in clients:
            await started.acquire()
        assert gate.waiting == 1, "the download was over before every client had its first bytes"
        gate.open()
        results = await asyncio.gather(*clients)
        assert all(body == wheel.body for body, _ in results)
        told = [status for _, status in results]
        assert told.count("pypicached; fwd=miss; stored") == 1
        assert told.count("pypicached; fwd=miss; collapsed") == 99
        assert upstream.count("*.whl") == 1
        await assert_in_step(daemon)


async def test_herd__all_in_the_same_step(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """Requests that look the file up at the same time still share one download."""
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        path = url.removeprefix(f"{daemon.url}/files/pypi/")
        files = daemon.parts.files
        found = await asyncio.gather(*(files.open(FileKey("pypi", path, "file")) for _ in "12345"))
        misses = [one for one in found if isinstance(one, Miss)]
        assert [miss.leading for miss in misses].count(True) == 1
        assert {id(miss.download) for miss in misses} == {id(misses[0].download)}
        assert len(misses) == 5
        for miss in misses:
            miss.download.detach()
        await settled(daemon)
        assert upstream.count("*.whl") == 1


async def test_herd__rule_58_first_client_leaves(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """The first client leaves in the middle; the others get the whole file from one GET."""
    gate = upstream.hold("*.whl", after_bytes=HELD_AT)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        first = await daemon.session.get(url)
        await first.content.readexactly(100_000)
        others = [asyncio.create_task(fetch(daemon, url)) for _ in range(5)]
        await gate.reached()
        first.close()
        gate.open()
        for got in await asyncio.gather(*others):
            assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
        assert upstream.count("*.whl") == 1


async def test_herd__every_client_leaves(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A download that nobody waits for any more is finished and kept all the same."""
    gate = upstream.hold("*.whl", after_bytes=HELD_AT)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        async with Slow.asking(url) as client:
            await client.read_head()
        await gate.reached()
        gate.open()
        await settled(daemon)
        assert list(blobs_in(daemon)) == [wheel.sha256]
        got = await fetch(daemon, url)
        assert (got.headers["Cache-Status"], got.body == wheel.body) == ("pypicached; hit", True)
        assert upstream.count("*.whl") == 1


async def test_herd__one_failure_for_all(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """When the download fails, each of its clients is broken off; none completes the file."""
    upstream.fault("*.whl", "wrong_bytes")
    gate = upstream.hold("*.whl", after_bytes=HELD_AT)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        clients = [asyncio.create_task(fetch(daemon, url)) for _ in range(10)]
        await gate.reached()
        gate.open()
        for got in await asyncio.gather(*clients):
            assert not got.whole
        assert upstream.count("*.whl") == 1
        await assert_nothing_kept(daemon)


async def test_herd__small_file_fails_for_all(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Each client of a small wrong file gets the same 502, from one upstream request."""
    wheel = make_wheel("beta", "1.0")
    upstream.add("beta", wheel)
    upstream.fault("*.whl", "wrong_bytes")
    gate = upstream.hold("*.whl")
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("beta", wheel.filename)
        clients = [asyncio.create_task(fetch(daemon, url)) for _ in range(10)]
        await gate.reached()
        await until(lambda: daemon.parts.files.downloads[0].readers == 10)
        gate.open()
        answers = await asyncio.gather(*clients)
        assert {(got.status, got.reason) for got in answers} == {(502, answers[0].reason)}
        assert upstream.count("*.whl") == 1


async def test_herd__file_and_sidecar_apart(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A sidecar does not wait for its file's download."""
    gate = upstream.hold("*.whl", after_bytes=HELD_AT)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        download = asyncio.create_task(fetch(daemon, url))
        await gate.reached()
        got = await fetch(daemon, f"{url}.metadata")
        assert (got.status, got.body) == (200, wheel.metadata)
        gate.open()
        assert (await download).body == wheel.body


async def test_herd__slow_client_holds_up_nobody(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A client that does not read keeps neither the download nor another client waiting."""
    wheel = make_wheel("big", "1.0", size_bytes=12_000_000)
    upstream.add("big", wheel)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("big", wheel.filename)
        async with Slow.asking(url) as slow:
            await slow.read_head()
            got = await fetch(daemon, url)
            assert got.body == wheel.body
            await settled(daemon)
            assert list(blobs_in(daemon)) == [wheel.sha256]
            # Whoever was slow still gets everything, from the spool that has become the blob.
            assert await slow.reader.readexactly(len(wheel.body)) == wheel.body
        assert upstream.count("*.whl") == 1


@pytest.mark.parametrize("stored", [False, True])
async def test_herd__client_that_stops_reading_is_let_go(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """A client that takes nothing for the idle time is let go, and its file is in use no more."""
    monkeypatch.setattr(sending, "IDLE_SECONDS", 0.2)
    wheel = make_wheel("big", "1.0", size_bytes=12_000_000)
    upstream.add("big", wheel)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("big", wheel.filename)
        if stored:
            await fetch(daemon, url)
            await settled(daemon)
        async with Slow.asking(url) as slow:
            head = await slow.read_head()
            assert "200 OK" in head
            await until(lambda: not daemon.daemon._app.active)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await slow.reader.readexactly(len(wheel.body))
        await settled(daemon)
        assert wheel.sha256 not in daemon.parts.blobs.uses
        got = await fetch(daemon, url)
        assert got.body == wheel.body


async def test_herd__range_of_a_growing_file(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """Ranges of a running download: 206 at once, bytes as they arrive, one upstream GET whole."""
    gate = upstream.hold("*.whl", after_bytes=HELD_AT)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        got = await fetch(daemon, url, Range="bytes=1000-99999")
        assert (got.status, got.body) == (206, wheel.body[1000:100_000])
        assert got.headers["Content-Range"] == f"bytes 1000-99999/{len(wheel.body)}"
        assert gate.waiting == 1
        async with daemon.session.get(url, headers={"Range": "bytes=-1000"}) as tail:
            # Its head is here although its bytes are not.
            assert (tail.status, gate.waiting) == (206, 1)
            gate.open()
            assert await tail.read() == wheel.body[-1000:]
        assert upstream.count("*.whl") == 1
        assert "range" not in upstream.requests[-1].headers
        await assert_in_step(daemon)


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-0", 206, slice(0, 1)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=10000-", 206, slice(10_000, None)),
        ("bytes=0-9999999", 206, slice(0, None)),
        ("bytes=9999999-", 416, slice(0, 0)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
        ("bytes=5-1", 200, slice(None)),
    ],
)
@pytest.mark.parametrize("size", [20_000, SIZE])
async def test_herd__rule_52_range_of_a_cold_file(
    tmp_path: Path, upstream: FakeUpstream, wanted: str, status: int, part: slice, size: int
) -> None:
    """A range of a cold file is answered like one of a stored file, and the whole file is kept."""
    wheel = make_wheel("gamma", "1.0", size_bytes=size)
    upstream.add("gamma", wheel)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("gamma", wheel.filename)
        cold = await fetch(daemon, url, Range=wanted)
        await settled(daemon)
        warm = await fetch(daemon, url, Range=wanted)
        for got in (cold, warm):
            assert (got.status, got.whole, got.body) == (status, True, wheel.body[part])
            assert got.headers["Accept-Ranges"] == "bytes"
        assert cold.headers.get("Content-Range") == warm.headers.get("Content-Range")
        if status == 416:
            assert cold.headers["Content-Range"] == f"bytes */{len(wheel.body)}"
        assert upstream.count("*.whl") == 1
        assert list(blobs_in(daemon)) == [wheel.sha256]
