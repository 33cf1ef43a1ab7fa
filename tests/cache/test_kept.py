"""What is kept is served without upstream, found by its digest, and missed when it is not right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cache.client import assert_in_step, blobs_in, fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Clock, running, write_config

SIZE = 300_000


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=SIZE)
    upstream.add("alpha", made)
    return made


@pytest.mark.parametrize("size", [20_000, SIZE])
async def test_kept__restart_serves_without_upstream(
    tmp_path: Path, upstream: FakeUpstream, size: int
) -> None:
    """After a restart a kept file is served from disk, also while upstream is down."""
    wheel = make_wheel("beta", "1.0", size_bytes=size)
    upstream.add("beta", wheel)
    async with running(tmp_path, upstream.url) as daemon:
        path = (await daemon.file_url("beta", wheel.filename)).removeprefix(daemon.url)
        await fetch(daemon, daemon.url + path)
        await settled(daemon)
    await upstream.stop()
    try:
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, daemon.url + path)
            assert (got.status, got.body == wheel.body) == (200, True)
            assert got.headers["Cache-Status"] == "pypicached; hit"
            await assert_in_step(daemon)
    finally:
        await upstream.start()


async def test_kept__hit_asks_nobody(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A hit asks neither for the file nor for its page, however old that is."""
    clock = Clock()
    async with running(tmp_path, upstream.url, clock) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        await fetch(daemon, url)
        await settled(daemon)
        upstream.clear()
        clock.advance(90 * 86400)
        assert (await fetch(daemon, url)).body == wheel.body
        assert upstream.requests == []


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    os.truncate(path, 1000)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _grow(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


def _link(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("spoil", [_remove, _truncate, _empty, _grow, _link])
@pytest.mark.parametrize("restart", [False, True])
async def test_kept__rule_59_blob_gone_or_wrong(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, spoil: object, restart: bool
) -> None:
    """A blob that vanished or is of the wrong size is fetched again, and counted once."""
    assert callable(spoil)
    async with running(tmp_path, upstream.url) as daemon:
        path = (await daemon.file_url("alpha", wheel.filename)).removeprefix(daemon.url)
        await fetch(daemon, daemon.url + path)
        await settled(daemon)
        blob = blobs_in(daemon)[wheel.sha256]
        if not restart:
            spoil(blob)
            got = await fetch(daemon, daemon.url + path)
            assert (got.status, got.body == wheel.body) == (200, True)
            await settled(daemon)
            blob.with_name("elsewhere").unlink(missing_ok=True)
            await assert_in_step(daemon)
    if restart:
        spoil(blob)
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, daemon.url + path)
            assert (got.status, got.body == wheel.body) == (200, True)
            await settled(daemon)
            blob.with_name("elsewhere").unlink(missing_ok=True)
            await assert_in_step(daemon)
    assert upstream.count("*.whl") == 2
    assert blob.read_bytes() == wheel.body


async def test_kept__directory_in_its_place(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A directory where a blob should be is a miss, never a 5xx."""
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        await fetch(daemon, url)
        await settled(daemon)
        blob = blobs_in(daemon)[wheel.sha256]
        blob.unlink()
        blob.mkdir()
        for _ in range(2):
            got = await fetch(daemon, url)
            assert (got.status, got.body == wheel.body) == (200, True)
            await settled(daemon)


async def test_kept__same_file_under_two_indexes(tmp_path: Path) -> None:
    """A file that comes under another index is known by its digest: stored and fetched once."""
    wheel = make_wheel("alpha", "1.0", size_bytes=SIZE)
    async with FakeUpstream() as one, FakeUpstream() as two:
        for name, upstream in (("one", one), ("two", two)):
            upstream.add("alpha", wheel)
            config = write_config(tmp_path, {"name": name, "url": upstream.url})
            async with running(tmp_path, config=config) as daemon:
                got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
                assert (got.status, got.body == wheel.body) == (200, True)
                await assert_in_step(daemon)
                assert list(blobs_in(daemon)) == [wheel.sha256]
                rows = list(await daemon.parts.operations.list_files("alpha", "size"))
        assert {row.index for row in rows} == {"one", "two"}
        assert (one.count("*.whl"), two.count("*.whl")) == (1, 0)


async def test_kept__same_file_under_two_urls(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A file that moved to another URL is known by its digest, and not fetched again."""
    wheel = make_wheel("alpha", "1.0", size_bytes=SIZE)
    upstream.add("alpha", wheel)
    async with running(tmp_path, upstream.url) as daemon:
        await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        await settled(daemon)
        moved = f"{upstream.files_origin}/elsewhere/{wheel.filename}"
        upstream.add("alpha", urls={wheel.filename: moved})
        daemon.clock.advance(3600)
        url = await daemon.file_url("alpha", wheel.filename)
        assert "/elsewhere/" in url
        got = await fetch(daemon, url)
        assert (got.status, got.body == wheel.body) == (200, True)
        assert upstream.count("*.whl") == 1
        await assert_in_step(daemon)


async def test_kept__digest_known_but_another_size(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A blob is not taken for a file that its page says is longer."""
    async with running(tmp_path, upstream.url) as daemon:
        await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        await settled(daemon)
        moved = f"{upstream.files_origin}/elsewhere/{wheel.filename}"
        row = {wheel.filename: {"size": len(wheel.body) + 1}}
        upstream.add("alpha", urls={wheel.filename: moved}, rows=row)
        upstream.serve(f"/elsewhere/{wheel.filename}", wheel.body)
        daemon.clock.advance(3600)
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert got.status == 502


async def test_kept__file_of_no_bytes(tmp_path: Path) -> None:
    """An empty file is a file."""
    async with FakeUpstream(hashes=False) as upstream:
        url = f"{upstream.files_origin}/empty/alpha-1.0-py3-none-any.whl"
        wheel = make_wheel("alpha", "1.0")
        upstream.serve("/empty/alpha-1.0-py3-none-any.whl", b"")
        row = {wheel.filename: {"size": 0, "hashes": {}}}
        upstream.add("alpha", wheel, urls={wheel.filename: url}, rows=row)
        async with running(tmp_path, upstream.url) as daemon:
            for _ in range(2):
                got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
                assert (got.status, got.body, got.whole) == (200, b"", True)
                assert got.headers["Content-Length"] == "0"
                await assert_in_step(daemon)
            assert upstream.count("*.whl") == 1


async def test_kept__hits_and_last_use(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """`list` tells how often and when a file was last used, pending counts too."""
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        await fetch(daemon, url)
        await settled(daemon)
        before = next(await daemon.parts.operations.list_files("alpha", "size"))
        daemon.clock.advance(7200)
        for _ in range(3):
            await fetch(daemon, url)
        after = next(await daemon.parts.operations.list_files("alpha", "size"))
        assert after.hits - before.hits == 3
        assert after.last_used_at > before.last_used_at
        assert after.first_cached_at == before.first_cached_at
