"""A new page is answered with before the ledger has it: what must not be seen of that."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiosqlite
import pytest

from pypicached.errors import LedgerError
from pypicached.ledger import pages
from pypicached.ledger.connection import Step, Writer
from pypicached.messages import InvalidateRequest
from tests.cache.client import fetch, settled
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Clock, Running, running

ALPHA = make_wheel("alpha", "1.0")
HIT = "pypicached; hit"


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    """An index with one project."""
    async with FakeUpstream(api_version="1.4") as upstream:
        upstream.add("alpha", ALPHA)
        yield upstream


class Ledger:
    """The ledger's one writer, which waits before each end of a transaction until let go."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        # How many transactions have come to their end.
        self.ended = 0


@contextlib.contextmanager
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Keep transactions from their end."""
    ledger, transaction = Ledger(), Writer.transaction

    @contextlib.asynccontextmanager
    async def held(self: Writer) -> AsyncIterator[aiosqlite.Connection]:
        async with transaction(self) as db:
            yield db
            await ledger.go_on.wait()
        ledger.ended += 1

    async def run(self: Writer, *steps: Step) -> None:
        async with held(self) as db:
            for step in steps:
                await db.execute(*step)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "transaction", held)
        patch.setattr(Writer, "run", run)
        yield ledger
        ledger.go_on.set()


def stored(directory: Path) -> list[tuple[str, float]]:
    """Return (state, checked_at) of the ledger's rows of the project."""
    with contextlib.closing(sqlite3.connect(directory / "cache" / "ledger.sqlite")) as db:
        return db.execute("SELECT state, checked_at FROM page WHERE project = 'alpha'").fetchall()


async def status_of(daemon: Running) -> str:
    """Ask for the page; return its Cache-Status."""
    reply = await daemon.ask("/simple/alpha/", Accept=JSON)
    assert (reply.status, ALPHA.filename in reply.text) == (200, True)
    return reply.headers["Cache-Status"]


async def test_storing__answered_before(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who wait for the page have it while the ledger is told; it is a hit for who comes then.

    One request leaves, and the ledger has the page in the end.
    """
    async with running(tmp_path, upstream.url) as daemon:
        with waiting(monkeypatch) as ledger:
            herd = await asyncio.gather(*(status_of(daemon) for _ in range(5)))
            assert sorted(herd) == ["pypicached; fwd=miss; collapsed"] * 4 + [
                "pypicached; fwd=miss; stored"
            ]
            assert await status_of(daemon) == HIT
            assert (ledger.ended, stored(tmp_path)) == (0, [])
        await daemon.written()
        assert [state for state, _ in stored(tmp_path)] == ["present"]
        assert upstream.count("/simple/alpha/") == 1


async def test_storing__no_room_in_memory(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What memory cannot hold is waited for, not asked for again (invariant 4)."""
    async with running(tmp_path, upstream.url, cache__memory="1KB") as daemon:
        with waiting(monkeypatch) as ledger:
            await status_of(daemon)
            second = asyncio.create_task(status_of(daemon))
            await asyncio.wait({second}, timeout=0.1)
            assert not second.done()
            ledger.go_on.set()
            assert await second == HIT
        assert upstream.count("/simple/alpha/") == 1


async def test_storing__file_whose_name_does_not_tell(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is found on a page that the ledger does not have yet."""
    odd = make_wheel("quite-another", "1.0")
    upstream.add("beta", odd)
    async with running(tmp_path, upstream.url) as daemon:
        with waiting(monkeypatch):
            url = await daemon.file_url("beta", odd.filename)
            path = url.removeprefix(daemon.url).split("/", 3)[3]
            found = daemon.parts.catalog.pages["pypi"].project_of_odd(path)
            assert await asyncio.wait_for(found, 5.0) == "beta"
        await daemon.written()
        assert (await daemon.ask(url.removeprefix(daemon.url))).body == odd.body
        assert not daemon.parts.catalog.pages["pypi"]._storing._odd


@pytest.mark.parametrize("how", ["quarantined", "replaced"])
async def test_storing__what_it_says_of_files_comes_first(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that takes a cached file back has done so when its first client has it (rule 23)."""
    clock = Clock()
    new = make_wheel("alpha", "1.0", requires=["beta"])
    async with FakeUpstream(file_paths="flat", api_version="1.4") as upstream:
        upstream.add("alpha", ALPHA)
        async with running(tmp_path, upstream.url, clock) as daemon:
            url = await daemon.file_url("alpha", ALPHA.filename)
            assert (await fetch(daemon, url)).body == ALPHA.body
            await settled(daemon)
            upstream.remove("alpha")
            upstream.add("alpha", new, status="quarantined" if how == "quarantined" else "active")
            clock.advance(3600)

            async def never(*_: object) -> None:
                await asyncio.Event().wait()

            with monkeypatch.context() as patch:
                patch.setattr(pages.Pages, "put", never)
                await daemon.page("alpha")
                reply = await fetch(daemon, url)
                if how == "quarantined":
                    assert reply.status == 403
                else:
                    assert reply.body == new.body
                daemon.parts.catalog.pages["pypi"].retire()


async def test_storing__invalidated_meanwhile(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator's word that comes behind the answer counts: the page is asked for anew."""
    clock = Clock()
    async with running(tmp_path, upstream.url, clock) as daemon:
        with waiting(monkeypatch) as ledger:
            await status_of(daemon)
            word = InvalidateRequest(projects=["alpha"])
            told = asyncio.create_task(daemon.parts.keeping.invalidate(word))
            await asyncio.wait({told}, timeout=0.1)
            ledger.go_on.set()
            assert (await told).pages == 1
        assert stored(tmp_path) == [("present", 0.0)]
        assert await status_of(daemon) != HIT
        assert upstream.count("/simple/alpha/") == 2


async def test_storing__stopped_meanwhile(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop does not lose what was answered with: the next start has it (rule 33)."""
    clock = Clock()
    with contextlib.ExitStack() as stack:
        async with running(tmp_path, upstream.url, clock) as daemon:
            ledger = stack.enter_context(waiting(monkeypatch))
            await status_of(daemon)
            # The stop has begun by then, and has closed the pages but for this one.
            asyncio.get_running_loop().call_later(0.3, ledger.go_on.set)
        assert [state for state, _ in stored(tmp_path)] == ["present"]
    async with running(tmp_path, upstream.url, clock) as daemon:
        assert await status_of(daemon) == HIT
    assert upstream.count("/simple/alpha/") == 1


async def test_storing__refused(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that refuses costs the page: it is asked for again, and not by its validators.

    A 304 would renew the older page that the ledger still has.
    """
    clock = Clock()

    async def refusing(*_: object) -> None:
        raise LedgerError("cannot write to the ledger: it is a test")

    async with running(tmp_path, upstream.url, clock) as daemon:
        await status_of(daemon)
        upstream.add("alpha", make_wheel("alpha", "2.0"))
        clock.advance(3600)
        with monkeypatch.context() as patch:
            patch.setattr(pages.Pages, "put", refusing)
            assert "alpha-2.0" in (await daemon.ask("/simple/alpha/", Accept=JSON)).text
        clock.advance(3600)
        await status_of(daemon)
        last = [one for one in upstream.requests if one.path == "/simple/alpha/"][-1]
        assert "If-None-Match" not in last.headers
        await daemon.written()
        ((state, checked_at),) = stored(tmp_path)
        assert (state, clock() - checked_at < 60) == ("present", True)
