"""A host that only ever asks for files hears of what was withdrawn all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.cache.recall import MAX_WAITING
from tests.cache.client import settled, until
from tests.fake import FakeUpstream, make_wheel
from tests.harness import Clock, Running, running, write_config

ONE = make_wheel("alpha", "1.0")


async def path_of(daemon: Running) -> str:
    path = (await daemon.file_url("alpha", ONE.filename)).removeprefix(daemon.url)
    assert (await daemon.ask(path)).status == 200
    await settled(daemon)
    return path


async def looked(daemon: Running) -> None:
    await until(lambda: not daemon.parts.recall._waiting)


@pytest.mark.parametrize("restart", [False, True])
async def test_recall__quarantine_is_noticed(tmp_path: Path, restart: bool) -> None:
    """An hour later a hit has the page asked for; from then on the file is refused."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE)
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await path_of(daemon)
            upstream.add("alpha", status="quarantined")
            clock.advance(3000)
            assert (await daemon.ask(path)).status == 200
            await looked(daemon)
            assert upstream.count("/simple/alpha/") == 1
            clock.advance(700)
            if not restart:
                await assert_noticed(daemon, upstream, path)
        if restart:
            async with running(tmp_path, upstream.url, clock) as daemon:
                await assert_noticed(daemon, upstream, path)


async def assert_noticed(daemon: Running, upstream: FakeUpstream, path: str) -> None:
    assert (await daemon.ask(path)).status == 200  # nobody waits for the page
    await looked(daemon)
    assert upstream.count("/simple/alpha/") == 2
    assert (await daemon.ask(path)).status == 403


async def test_recall__removed_file_is_noticed(tmp_path: Path) -> None:
    """The same for a withdrawn release."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE, make_wheel("alpha", "2.0"))
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await path_of(daemon)
            upstream.remove("alpha", ONE.filename)
            clock.advance(4000)
            await daemon.ask(path)
            await looked(daemon)
            assert daemon.parts.observations.removed_files == 1


async def test_recall__an_outage_costs_nothing(tmp_path: Path) -> None:
    """Upstream is asked once an hour at most, whatever comes of it, and hits are hits."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE)
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await path_of(daemon)
            clock.advance(4000)
            upstream.fault("*", "status", code=403)
            upstream.clear()
            for _ in range(20):
                assert (await daemon.ask(path)).status == 200
                await looked(daemon)
            assert len(upstream.requests) == 1


async def test_recall__offline_asks_nobody(tmp_path: Path) -> None:
    """By the operator's word nothing is asked, for no reason."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE)
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await path_of(daemon)
            daemon.parts.offline.on = True
            clock.advance(4000)
            upstream.clear()
            assert (await daemon.ask(path)).status == 200
            await looked(daemon)
            assert upstream.requests == []


async def test_recall__rule_63_never_of_an_index_that_must_not_know(tmp_path: Path) -> None:
    """A name that belongs to another index by now is not asked for where its file came from."""
    clock = Clock()
    async with FakeUpstream() as public, FakeUpstream() as private:
        public.add("alpha", ONE)
        async with running(tmp_path, public.url, clock) as daemon:
            path = await path_of(daemon)
        config = write_config(
            tmp_path,
            {"name": "pypi", "url": public.url},
            {"name": "own", "url": private.url, "projects": ["alpha"]},
        )
        public.clear()
        clock.advance(4000)
        async with running(tmp_path, None, clock, config) as daemon:
            await daemon.ask(path)
            await looked(daemon)
        assert public.requests == []


async def test_recall__bounded(tmp_path: Path) -> None:
    """However many projects are met, a bounded number waits."""
    async with FakeUpstream() as upstream, running(tmp_path, upstream.url) as daemon:
        for number in range(2 * MAX_WAITING):
            daemon.parts.recall.met("pypi", f"p{number}")
        assert len(daemon.parts.recall._waiting) == MAX_WAITING
