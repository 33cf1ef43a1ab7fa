"""A ledger or a disk that fails under a running daemon: clients are served, and it heals."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pypicached.cache import refresh
from pypicached.cache.stored_files import FileKey
from pypicached.errors import LedgerError
from pypicached.messages import PruneAnswer, PruneRequest
from tests.cache.client import assert_in_step, blobs_in, fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Clock, Reply, Running, running

WHEELS = [make_wheel(name, "1.0", size_bytes=100_000) for name in ("aa", "bb")]


@pytest.fixture(autouse=True)
def _published(upstream: FakeUpstream) -> None:
    for wheel in WHEELS:
        upstream.add(project_of(wheel), wheel)


def project_of(wheel: DistFile) -> str:
    """Return the project that a wheel of ours belongs to."""
    return wheel.filename.split("-")[0]


async def assert_served(daemon: Running) -> None:
    """Pages and files are what upstream has."""
    for wheel in WHEELS:
        got = await fetch(daemon, await daemon.file_url(project_of(wheel), wheel.filename))
        assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)


async def problems(daemon: Running) -> str:
    """Return what `status` says is wrong; the page for people says it, too."""
    told = (await daemon.parts.operations.status()).problems
    page = await daemon.ask("/")
    assert page.status == 200
    return "\n".join(told)


@contextlib.contextmanager
def away(path: Path) -> Iterator[None]:
    """Let a directory be gone for a while."""
    elsewhere = path.with_name(f"{path.name}-away")
    path.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(path)


# ── the ledger ───────────────────────────────────────────────────────────────────────────────


async def test_host__ledger_garbage(
    tmp_path: Path, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger that cannot be read is a cache without anything in it, and is told once.

    The next start sets it aside and takes the blobs back.
    """
    key = FileKey("pypi", upstream.url_of(WHEELS[0]).partition("://")[2], "file")
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon)
        await settled(daemon)
        path = daemon.parts.ledger.path
    started = running(tmp_path, upstream.url)
    daemon = await started.__aenter__()
    try:
        path.write_bytes(os.urandom(path.stat().st_size))
        for wheel in WHEELS:
            await daemon.page(project_of(wheel))
            assert await daemon.parts.files.stored.get(key) is None
        assert "cannot read the ledger" in await problems(daemon)
        ready = await daemon.ask("/readyz")
        assert (ready.status, "cannot read the ledger" in ready.text) == (503, True)
        said = [record.getMessage() for record in caplog.records]
        for end in ("files come from upstream", "pages of index pypi come from upstream"):
            assert len([text for text in said if text.endswith(end)]) == 1
    finally:
        with pytest.raises(LedgerError):  # its end cannot write its counters
            await started.__aexit__(None, None, None)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon)
        assert (await daemon.ask("/readyz")).status == 200
        assert "set aside" in await problems(daemon)


async def test_host__ledger_that_cannot_be_written(tmp_path: Path, upstream: FakeUpstream) -> None:
    """What is known is still listed, `status` says what is wrong, and the daemon stays ready."""
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon)
        await settled(daemon)
        await daemon.parts.ledger.usage.flush()
        writer = daemon.parts.ledger.usage._writer._db
        await writer.execute("PRAGMA query_only = 1")
        await assert_served(daemon)
        operations = daemon.parts.operations
        assert "cannot write to the ledger" in await problems(daemon)
        listed = list(await operations.list_projects("size"))
        assert sorted(row.project for row in listed) == ["aa", "bb"]
        assert len(list(await operations.list_files("aa", "size"))) == 1
        assert (await operations.stats(86400, 10)).kinds["file"].requests == 2
        assert (await daemon.ask("/readyz")).status == 200
        await writer.execute("PRAGMA query_only = 0")
        assert await problems(daemon) == ""
        assert (await operations.stats(86400, 10)).kinds["file"].requests == 4


# ── the cache directory ──────────────────────────────────────────────────────────────────────


async def test_host__cache_directory_gone(tmp_path: Path, upstream: FakeUpstream) -> None:
    """While it is gone files pass through and `status` says why; nothing is forgotten."""
    ledger = tmp_path / "state" / "ledger.sqlite"
    async with running(tmp_path, upstream.url, cache__ledger=str(ledger)) as daemon:
        await assert_served(daemon)
        await settled(daemon)
        kept = set(blobs_in(daemon))
        with away(daemon.parts.store.root):
            for _ in range(2):
                await assert_served(daemon)
            assert "the cache directory cannot be used" in await problems(daemon)
            ready = await daemon.ask("/readyz")
            assert (ready.status, "cache directory" in ready.text) == (503, True)
        assert set(blobs_in(daemon)) == kept
        upstream.clear()
        await assert_served(daemon)
        await settled(daemon)
        assert upstream.count("*.whl") == 0
        await assert_in_step(daemon)


async def test_host__start_with_directories_in_the_way(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Whatever lies in `tmp/` and `lists/` is removed at start, directories too."""
    for name in ("tmp", "lists"):
        directory = tmp_path / "cache" / name / "deep" / "deeper"
        directory.mkdir(parents=True)
        (directory / "file").write_text("x")
        (directory.parent.parent / "link").symlink_to(tmp_path)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon)
        await settled(daemon)
        for name in ("tmp", "lists"):
            assert list((tmp_path / "cache" / name).iterdir()) == []


# ── bodies that go through files ─────────────────────────────────────────────────────────────

PAGES: dict[str, Callable[[Running], Awaitable[Reply]]] = {
    "huge page": lambda daemon: daemon.ask("/simple/aa/"),
    "list": lambda daemon: daemon.ask("/simple/"),
}


@pytest.mark.parametrize("what", PAGES)
async def test_host__no_place_for_a_body(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Without `tmp/` a huge body is a 503 in words, or what is stored, stale; then all is well."""
    monkeypatch.setattr(refresh, "INLINE_BYTES", 10)
    clock, ask = Clock(), PAGES[what]
    async with running(tmp_path, upstream.url, clock) as daemon:
        tmp = daemon.parts.store.root / "tmp"
        with away(tmp):
            reply = await ask(daemon)
            assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
            assert "cache disk" in reply.text
        clock.advance(20)
        first = await ask(daemon)
        assert first.status == 200
        clock.advance(700)
        upstream.add("cc", make_wheel("cc"))
        upstream.add("aa", make_wheel("aa", "2.0"))
        with away(tmp):
            stale = await ask(daemon)
            assert (stale.status, stale.body) == (200, first.body)
            assert stale.headers["Cache-Status"].startswith("pypicached; fwd=stale; detail=")
            assert "cache disk" in stale.headers["Cache-Status"]
        clock.advance(20)
        fresh = await ask(daemon)
        assert fresh.status == 200
        assert fresh.body != first.body


async def test_host__no_processes(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that starts no process is told from an upstream that fails."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    async with running(tmp_path, upstream.url) as daemon:
        with monkeypatch.context() as patch:
            patch.setattr("asyncio.create_subprocess_exec", refuse)
            reply = await daemon.ask("/simple/")
        assert (reply.status, "this host" in (reply.reason or "")) == (503, True)
        daemon.clock.advance(20)
        assert (await daemon.ask("/simple/")).status == 200


@pytest.mark.parametrize("how", ["removed", "cut", "directory removed"])
async def test_host__rendered_lists_are_made_anew(
    tmp_path: Path, upstream: FakeUpstream, how: str
) -> None:
    """A rendered list that somebody has spoilt is made anew, now and when the list changes."""
    async with running(tmp_path, upstream.url) as daemon:
        first = await daemon.ask("/simple/")
        used = daemon.parts.blobs.budget.used_bytes
        directory = tmp_path / "cache" / "lists"

        def spoil() -> None:
            for path in directory.iterdir():
                if how == "cut":
                    os.truncate(path, 10)
                else:
                    path.unlink()
            if how == "directory removed":
                shutil.rmtree(directory)

        spoil()
        again = await daemon.ask("/simple/")
        assert (again.status, again.body) == (200, first.body)
        assert daemon.parts.blobs.budget.used_bytes == used
        spoil()
        daemon.clock.advance(700)
        upstream.add("cc", make_wheel("cc"))
        changed = await daemon.ask("/simple/")
        assert (changed.status, b"cc" in changed.body) == (200, True)
        assert len(list(directory.iterdir())) == 1
        assert daemon.parts.blobs.budget.used_bytes == used


# ── removing ─────────────────────────────────────────────────────────────────────────────────


async def test_host__prune_on_a_read_only_disk(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk does not let go is named, stays counted, and is served on without upstream."""

    def refuse(_path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon)
        await settled(daemon)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            steps = [s async for s in daemon.parts.keeping.prune(PruneRequest(days=0))]
        answer = steps[-1]
        assert isinstance(answer, PruneAnswer)
        assert (answer.files, answer.bytes) == ([], 0)
        assert answer.failed == [wheel.filename for wheel in WHEELS]
        await assert_in_step(daemon)
        upstream.clear()
        await assert_served(daemon)
        assert upstream.count("*.whl") == 0


# ── the clock ────────────────────────────────────────────────────────────────────────────────


async def test_host__clock_set_back(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A page from the future is asked for anew, and the uptime is no less than nothing."""
    clock = Clock()
    async with running(tmp_path, upstream.url, clock) as daemon:
        await daemon.ask("/simple/aa/")
        clock.advance(-3600)
        upstream.add("aa", make_wheel("aa", "2.0"))
        reply = await daemon.ask("/simple/aa/")
        assert reply.headers["Cache-Status"] == "pypicached; fwd=stale; stored"
        assert "aa-2.0" in reply.text
        assert (await daemon.parts.operations.status()).uptime_seconds >= 0


async def test_host__clock_set_back_with_stale_while_revalidate(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Nobody knows the age of a page from the future: it is not served at once."""
    clock = Clock()
    async with running(tmp_path, upstream.url, clock, cache__stale_while_revalidate="1h") as daemon:
        await daemon.ask("/simple/aa/")
        clock.advance(700)
        reply = await daemon.ask("/simple/aa/")
        assert reply.headers["Cache-Status"].endswith('detail="stale-while-revalidate"')
        clock.advance(-7200)
        upstream.add("aa", make_wheel("aa", "2.0"))
        assert "aa-2.0" in (await daemon.ask("/simple/aa/")).text
