"""Stored bytes that are damaged: what the client gets, what is said, what is left behind."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from pypicached.cache import pace
from pypicached.cache.blobs import Removal
from pypicached.cache.pace import Pace
from pypicached.cache.stored_files import FileKey, Hit
from pypicached.ledger import CachedFile
from tests.cache.client import assert_in_step, blobs_in, fetch, settled, until
from tests.cache.test_verifying import flip, replace_by
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Clock, Running, running

SIZES = {"small": 20_000, "large": 300_000}


@pytest.fixture(autouse=True)
def _no_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "REST", 0.0)


@pytest.fixture(params=SIZES)
def wheel(request: pytest.FixtureRequest, upstream: FakeUpstream) -> DistFile:
    """Publish a wheel that is served from memory, or one that goes by `sendfile`."""
    return publish(upstream, SIZES[request.param])


@pytest.fixture
def large(upstream: FakeUpstream) -> DistFile:
    """Publish a wheel that goes by `sendfile`."""
    return publish(upstream, SIZES["large"])


def publish(upstream: FakeUpstream, size: int) -> DistFile:
    """Publish a wheel of that size."""
    wheel = make_wheel("alpha", "1.0", size_bytes=size)
    upstream.add("alpha", wheel)
    return wheel


async def store(directory: Path, upstream: FakeUpstream, wheel: DistFile) -> tuple[str, Path]:
    """Let a daemon store a file; return its path on any daemon, and its blob."""
    async with running(directory, upstream.url) as daemon:
        path = (await daemon.file_url("alpha", wheel.filename)).removeprefix(daemon.url)
        await fetch(daemon, daemon.url + path)
        await settled(daemon)
        return path, blobs_in(daemon)[wheel.sha256]


async def assert_whole(daemon: Running, path: str, wheel: DistFile) -> None:
    """The client gets the file, and it is kept, counted once, in its place."""
    got = await fetch(daemon, daemon.url + path)
    assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
    await settled(daemon)
    assert blobs_in(daemon)[wheel.sha256].read_bytes() == wheel.body
    for name in (daemon.parts.store.root / "tmp").iterdir():
        name.rmdir()  # moved out of the way, until the next start
    await assert_in_step(daemon)


async def assert_said(daemon: Running, wheel: DistFile, words: str) -> None:
    """`status` counts one damaged file, and names it and its damage."""
    status = await daemon.parts.operations.status()
    assert [p for p in status.problems if p.startswith("1 stored files could not be used")]
    reasons = [seen.reason for seen in status.failures if seen.what == wheel.filename]
    assert reasons == [f"its stored bytes cannot be used: {words}"]
    assert daemon.parts.observations.damaged_files == 1


def cut(path: Path) -> None:
    """Lose the end."""
    os.truncate(path, 1000)


# What a look at the file's status tells: (damage, its words).
VISIBLE: list[tuple[Callable[[Path], object], str]] = [
    (Path.unlink, "missing"),
    (lambda path: shutil.rmtree(path.parent), "missing"),
    (cut, "wrong size: 1000 bytes instead of"),
    (lambda path: os.truncate(path, 0), "wrong size: 0 bytes instead of"),
    (replace_by(Path.mkdir), "is a directory"),
    (replace_by(lambda path: path.symlink_to("/etc/hostname")), "is a link"),
    (replace_by(os.mkfifo), "is no file"),
]
NAMES = ["gone", "its directory gone", "cut", "empty", "directory", "link", "pipe"]


@pytest.mark.parametrize(("damage", "words"), VISIBLE, ids=NAMES)
async def test_damage__a_miss(
    tmp_path: Path,
    upstream: FakeUpstream,
    wheel: DistFile,
    damage: Callable[[Path], object],
    words: str,
) -> None:
    """What is no whole file any more is fetched again for the first who asks, and said once."""
    path, blob = await store(tmp_path, upstream, wheel)
    damage(blob)
    if words.startswith("wrong size"):
        words += f" {len(wheel.body)}"
    async with running(tmp_path, upstream.url) as daemon:
        for _ in range(2):
            await assert_whole(daemon, path, wheel)
        await assert_said(daemon, wheel, words)
    assert upstream.count("*.whl") == 2


@pytest.mark.parametrize(("damage", "words"), VISIBLE, ids=NAMES)
async def test_damage__in_an_outage(
    tmp_path: Path,
    upstream: FakeUpstream,
    wheel: DistFile,
    damage: Callable[[Path], object],
    words: str,
) -> None:
    """Without upstream it is a 503 and no longer among what is cached, and then it is fetched."""
    path, blob = await store(tmp_path, upstream, wheel)
    damage(blob)
    clock = Clock()
    async with running(tmp_path, upstream.url, clock) as daemon:
        await upstream.stop()
        assert (await fetch(daemon, daemon.url + path)).status == 503
        await until(lambda: not daemon.parts.rereading._waiting)
        assert await daemon.parts.ledger.files.totals() == (0, 0)
        assert daemon.parts.blobs.budget.used_bytes == 0
        assert blob.name not in blobs_in(daemon)
        await upstream.start()
        clock.advance(60)
        await assert_whole(daemon, path, wheel)


async def test_damage__flipped_small(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Of a small file no wrong byte leaves: it is hashed when it is taken into memory."""
    wheel = publish(upstream, SIZES["small"])
    path, blob = await store(tmp_path, upstream, wheel)
    flip(blob)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_whole(daemon, path, wheel)
        await assert_said(daemon, wheel, "wrong digest")


@pytest.mark.parametrize("restart", [False, True])
async def test_damage__flipped_large(
    tmp_path: Path, upstream: FakeUpstream, large: DistFile, restart: bool
) -> None:
    """A large file is sent as it is once; read again behind that, it is dropped and said."""
    path, blob = await store(tmp_path, upstream, large)
    if restart:
        flip(blob)
    async with running(tmp_path, upstream.url) as daemon:
        if not restart:
            await assert_whole(daemon, path, large)
            # What changes while it is being read is found by a later hit.
            await until(lambda: not daemon.parts.rereading._waiting)
            flip(blob)
        got = await fetch(daemon, daemon.url + path)
        # The hash of the page tells its client.
        assert (got.status, len(got.body), got.body == large.body) == (200, len(large.body), False)
        await until(lambda: not daemon.parts.rereading._waiting)
        await assert_said(daemon, large, "wrong digest")
        assert await daemon.parts.ledger.files.totals() == (0, 0)
        await assert_whole(daemon, path, large)
    assert upstream.count("*.whl") == 2


async def test_damage__flipped_while_upstream_is_away(
    tmp_path: Path, upstream: FakeUpstream, large: DistFile
) -> None:
    """Once found, wrong bytes are no longer served, whether or not others can be had."""
    path, blob = await store(tmp_path, upstream, large)
    flip(blob)
    async with running(tmp_path, upstream.url) as daemon:
        await upstream.stop()
        await fetch(daemon, daemon.url + path)
        await until(lambda: not daemon.parts.rereading._waiting)
        assert (await fetch(daemon, daemon.url + path)).status == 503
        await upstream.start()


async def test_damage__well_blobs_are_read_once_a_day(
    tmp_path: Path, upstream: FakeUpstream, large: DistFile
) -> None:
    """What was just written, or read and found well, is not read again until a day has passed."""
    path, _ = await store(tmp_path, upstream, large)
    clock = Clock()
    async with running(tmp_path, upstream.url, clock) as daemon:
        rereading = daemon.parts.rereading
        seen = []
        read = rereading._read

        async def note(sha256: str, pace: Pace) -> bool:
            seen.append(sha256)
            return await read(sha256, pace)

        rereading._read = note  # type: ignore[method-assign]
        for hours, expected in ((0, 1), (23, 1), (2, 2)):
            clock.advance(hours * 3600)
            await assert_whole(daemon, path, large)
            await until(lambda: not rereading._waiting)
            assert len(seen) == expected


async def test_damage__what_was_just_kept_is_known(
    tmp_path: Path, upstream: FakeUpstream, large: DistFile
) -> None:
    """A download was verified on its way to the disk: its first hit has it not read again."""
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", large.filename)
        await fetch(daemon, url)
        await settled(daemon)
        assert (await fetch(daemon, url)).body == large.body
        assert not daemon.parts.rereading._waiting


# ── a disk that fails ────────────────────────────────────────────────────────────────────────


async def test_damage__disk_error_while_it_is_sent(
    tmp_path: Path, upstream: FakeUpstream, large: DistFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client is broken off, never given a part as the whole; the blob goes, and all is well."""
    path, blob = await store(tmp_path, upstream, large)
    async with running(tmp_path, upstream.url) as daemon:
        with monkeypatch.context() as patch:
            patch.setattr(os, "sendfile", _failing_to_send(os.sendfile, blob))
            patch.setattr(os, "read", _failing(os.read, blob))
            got = await fetch(daemon, daemon.url + path)
            assert (got.status, got.whole) == (200, False)
            await until(lambda: not daemon.parts.rereading._waiting)
        await assert_said(daemon, large, "cannot be read: Input/output error")
        await assert_whole(daemon, path, large)
    assert upstream.count("*.whl") == 2


async def test_damage__disk_error_of_a_small_file(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read into memory is a miss, and never an error of ours."""
    wheel = publish(upstream, SIZES["small"])
    path, blob = await store(tmp_path, upstream, wheel)
    async with running(tmp_path, upstream.url) as daemon:
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", _failing(os.read, blob))
            await assert_whole(daemon, path, wheel)
        await assert_said(daemon, wheel, "cannot be read: Input/output error")
        await assert_whole(daemon, path, wheel)
    assert upstream.count("*.whl") == 2


def _failing(read: Callable[[int, int], bytes], blob: Path) -> Callable[[int, int], bytes]:
    """Return an `os.read` for which the present file at `blob` has a bad sector."""
    bad = blob.stat().st_ino

    def refuse(fd: int, length: int) -> bytes:
        if os.fstat(fd).st_ino == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, length)

    return refuse


def _failing_to_send(
    send: Callable[[int, int, int, int], int], blob: Path
) -> Callable[[int, int, int, int], int]:
    """Return an `os.sendfile` for which the present file at `blob` has a bad sector."""
    bad = blob.stat().st_ino

    def refuse(out: int, fd: int, offset: int, count: int) -> int:
        if os.fstat(fd).st_ino == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return send(out, fd, offset, count)

    return refuse


async def test_damage__cut_while_it_is_sent(
    tmp_path: Path, upstream: FakeUpstream, large: DistFile
) -> None:
    """A blob that is cut between `open` and `sendfile` breaks its client off."""
    path, blob = await store(tmp_path, upstream, large)
    async with running(tmp_path, upstream.url) as daemon:
        stored = daemon.parts.files.stored
        get = stored.get

        async def late(key: FileKey) -> Hit | None:
            hit = await get(key)
            cut(blob)
            return hit

        stored.get = late  # type: ignore[method-assign]
        got = await fetch(daemon, daemon.url + path)
        assert (got.status, got.whole) == (200, False)
        stored.get = get  # type: ignore[method-assign]
        await assert_whole(daemon, path, large)


# ── blobs that nobody vouches for ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("damage", [flip, cut], ids=["flipped", "cut"])
@pytest.mark.parametrize("sizes", [True, False])
async def test_damage__orphan_is_read_before_it_is_linked(
    tmp_path: Path, damage: Callable[[Path], None], sizes: bool
) -> None:
    """With its ledger lost, a blob is read through before a page's file becomes its name."""
    async with FakeUpstream(style="json" if sizes else "html") as upstream:
        wheel = publish(upstream, SIZES["large"])
        path, blob = await store(tmp_path, upstream, wheel)
        for lost in (tmp_path / "cache").glob("ledger.sqlite*"):
            lost.unlink()
        damage(blob)
        async with running(tmp_path, upstream.url) as daemon:
            clients = [fetch(daemon, daemon.url + path) for _ in range(5)]
            for got in await asyncio.gather(*clients):
                assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
            await assert_whole(daemon, path, wheel)
        assert upstream.count("*.whl") == 2


# ── what is removed while it is first asked for ──────────────────────────────────────────────


async def test_damage__removed_while_its_entry_is_looked_up(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that goes while its first hit is on its way is not served from memory for ever."""
    path, _ = await store(tmp_path, upstream, wheel)
    async with running(tmp_path, upstream.url) as daemon:
        blobs, files = daemon.parts.blobs, daemon.parts.ledger.files
        row_gone, blob_may_go = asyncio.Event(), asyncio.Event()
        blobs.on_removed.append(lambda _digests: row_gone.set())
        get, delete = files.get, blobs.store.delete
        removing: list[asyncio.Task[Removal]] = []

        async def slow_get(index: str, path: str, kind: str) -> CachedFile | None:
            entry = await get(index, path, kind)
            if not removing:
                removing.append(asyncio.create_task(blobs.remove([wheel.sha256])))
                await row_gone.wait()
            return entry

        async def slow_delete(digests: Collection[str], refused: dict[str, OSError]) -> None:
            await blob_may_go.wait()
            await delete(digests, refused)

        monkeypatch.setattr(files, "get", slow_get)
        monkeypatch.setattr(blobs.store, "delete", slow_delete)
        asking = asyncio.create_task(fetch(daemon, daemon.url + path))
        await row_gone.wait()
        blob_may_go.set()
        assert (await asking).body == wheel.body
        assert (await asking).headers["Cache-Status"] == "pypicached; fwd=miss; stored"
        await settled(daemon)
        await assert_whole(daemon, path, wheel)
        assert daemon.parts.observations.damaged_files == 0
    assert upstream.count("*.whl") == 2
