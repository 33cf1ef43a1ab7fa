"""What an index takes back of what is cached: remembered, told, and served or not as was set."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.requirement import parse_requirement
from tests.cache.client import settled
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Clock, Running, running

ONE, TWO = make_wheel("alpha", "1.0"), make_wheel("alpha", "2.0", size_bytes=100_000)


async def fill(daemon: Running) -> list[str]:
    """Cache two files and their sidecars; return their paths."""
    paths = []
    for file in (ONE, TWO):
        paths.append((await daemon.file_url("alpha", file.filename)).removeprefix(daemon.url))
        assert (await daemon.ask(paths[-1])).status == 200
        assert (await daemon.ask(f"{paths[-1]}.metadata")).status == 200
    await settled(daemon)
    return paths


async def problems(daemon: Running) -> list[str]:
    return [p for p in (await daemon.parts.operations.status()).problems if "no more" in p]


async def removed_of(daemon: Running) -> list[str]:
    rows = await daemon.parts.operations.list_files("alpha", "size")
    return sorted(row.filename for row in rows if row.removed_at is not None)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("whole", [False, True])
async def test_removed__kept(tmp_path: Path, restart: bool, whole: bool) -> None:
    """A file, or a project, that vanished is listed no more, served, counted and told."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE, TWO)
        async with running(tmp_path, upstream.url, clock) as daemon:
            paths = await fill(daemon)
            assert await problems(daemon) == []
            upstream.remove("alpha")
            if not whole:
                upstream.add("alpha", ONE)
            clock.advance(3600)
            page = await daemon.ask("/simple/alpha/", Accept=JSON)
            assert page.status == (404 if whole else 200)
            assert daemon.parts.observations.removed_files == (2 if whole else 1)
            if not restart:
                await assert_told(daemon, paths, whole=whole)
        if restart:
            async with running(tmp_path, upstream.url, clock) as daemon:
                await assert_told(daemon, paths, whole=whole)


async def assert_told(daemon: Running, paths: list[str], *, whole: bool) -> None:
    for path in paths:
        assert (await daemon.ask(path)).status == 200
        assert (await daemon.ask(f"{path}.metadata")).status == 200
    (problem,) = await problems(daemon)
    assert problem.startswith("2 cached" if whole else "1 cached")
    assert "still served" in problem
    assert TWO.filename in problem
    gone = [ONE, TWO] if whole else [TWO]
    names = [name for file in gone for name in (file.filename, f"{file.filename}.metadata")]
    assert await removed_of(daemon) == sorted(names)


async def test_removed__comes_back(tmp_path: Path) -> None:
    """What is listed again is like any other file."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE, TWO)
        async with running(tmp_path, upstream.url, clock, policy__removed_files="refuse") as daemon:
            paths = await fill(daemon)
            upstream.remove("alpha")
            clock.advance(3600)
            assert (await daemon.ask("/simple/alpha/")).status == 404
            assert [(await daemon.ask(path)).status for path in paths] == [403, 403]
            (problem,) = await problems(daemon)
            assert "and refused" in problem
            upstream.add("alpha", ONE, TWO)
            clock.advance(3600)
            assert (await daemon.ask("/simple/alpha/")).status == 200
            assert [(await daemon.ask(path)).status for path in paths] == [200, 200]
            assert await removed_of(daemon) == []
            assert await problems(daemon) == []


async def test_removed__seen_without_the_page_before(tmp_path: Path) -> None:
    """A page that was dropped meanwhile hides nothing: what is cached is compared."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE, TWO)
        async with running(tmp_path, upstream.url, clock) as daemon:
            await fill(daemon)
            async with daemon.parts.ledger.files._writer.transaction() as db:
                await db.execute("DELETE FROM page")
            daemon.parts.catalog.pages["pypi"].forget_all()
            upstream.remove("alpha", ONE.filename)
            await daemon.page("alpha")
            assert await removed_of(daemon) == [ONE.filename, f"{ONE.filename}.metadata"]


async def test_removed__only_moved(tmp_path: Path) -> None:
    """A file that is listed at another address with the same digest has not been removed."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE, TWO)
        async with running(tmp_path, upstream.url, clock) as daemon:
            await fill(daemon)
            upstream.dialect.file_paths = "flat"
            upstream.add("alpha", ONE, TWO)
            clock.advance(3600)
            await daemon.page("alpha")
            assert await removed_of(daemon) == []


async def test_removed__outage_is_no_removal(tmp_path: Path) -> None:
    """An index that fails, or sends a page that is none, takes nothing back."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE, TWO)
        async with running(tmp_path, upstream.url, clock, policy__removed_files="refuse") as daemon:
            paths = await fill(daemon)
            for code in (503, 403, 401, 429, 451):
                upstream.fault("/simple/alpha/", "status", code=code)
                clock.advance(3600)
                await daemon.ask("/simple/alpha/")
                upstream.heal()
            assert [(await daemon.ask(path)).status for path in paths] == [200, 200]
            assert await removed_of(daemon) == []


async def test_removed__quarantine_is_told(tmp_path: Path) -> None:
    """`status` names what an index has put into quarantine."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", ONE, TWO)
        async with running(tmp_path, upstream.url, clock) as daemon:
            await fill(daemon)
            upstream.add("alpha", status="quarantined")
            clock.advance(3600)
            await daemon.page("alpha")
            told = (await daemon.parts.operations.status()).problems
            assert [p for p in told if "has put alpha into quarantine" in p]
            explained = await daemon.parts.explaining.explain(parse_requirement("alpha"))
            assert {(f.listed, f.served, f.rule) for f in explained.files} == {
                (False, False, "quarantine")
            }
