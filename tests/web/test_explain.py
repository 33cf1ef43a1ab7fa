"""`explain` says of each file what the public listener does with it, and which rule decided."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.errors import ProjectNotFoundError, UpstreamError
from pypicached.messages import ExplainedFile, Explanation
from pypicached.requirement import parse_requirement
from tests.cache.client import settled
from tests.fake import FakeUpstream, make_wheel
from tests.harness import Clock, Running, running
from tests.web.test_policy import FRESH, LARGE, OLD, uploaded

UNDATED = make_wheel("alpha", "3.0", upload_time=None)
GONE = make_wheel("alpha", "0.5", upload_time=uploaded(200))


async def explain(daemon: Running, asked: str = "alpha") -> Explanation:
    return await daemon.parts.explaining.explain(parse_requirement(asked))


def brief(file: ExplainedFile) -> tuple[bool, bool, bool, str | None]:
    return file.listed, file.served, file.cached, file.rule


async def test_explain__every_file(tmp_path: Path) -> None:
    """Listed, held back, denied, removed, cached or not: what it says is what a client gets."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", OLD, GONE)
        async with running(tmp_path, upstream.url, clock) as daemon:
            for file in (OLD, GONE):
                url = await daemon.file_url("alpha", file.filename)
                await daemon.ask(url.removeprefix(daemon.url))
            await settled(daemon)
        upstream.remove("alpha", GONE.filename)
        upstream.add("alpha", FRESH, LARGE, UNDATED)
        clock.advance(3600)
        async with running(
            tmp_path, upstream.url, clock, policy__min_age="7d", policy__deny=["alpha==2.1"]
        ) as daemon:
            answer = await explain(daemon)
            assert (answer.project, answer.index, answer.refused) == ("alpha", "pypi", None)
            assert {f.filename: brief(f) for f in answer.files} == {
                OLD.filename: (True, True, True, None),
                FRESH.filename: (False, False, False, "min_age"),
                LARGE.filename: (False, False, False, "deny"),
                UNDATED.filename: (False, False, False, "min_age"),
                GONE.filename: (False, True, True, "removed_files"),
            }
            assert [f.version for f in answer.files if not f.reason] == ["1.0"]
            assert [f.filename for f in (await explain(daemon, "alpha<1")).files] == [GONE.filename]
            for published in (OLD, FRESH, LARGE, UNDATED, GONE):
                path = f"/files/pypi/{upstream.url_of(published).removeprefix('http://')}"
                served = next(f.served for f in answer.files if f.filename == published.filename)
                assert (await daemon.ask(path)).status == (200 if served else 403)


async def test_explain__refused_by_name(tmp_path: Path) -> None:
    """Of a denied project nobody is asked; what is cached of it is shown, refused."""
    async with FakeUpstream() as upstream:
        upstream.add("alpha", OLD)
        async with running(tmp_path, upstream.url) as daemon:
            url = await daemon.file_url("alpha", OLD.filename)
            await daemon.ask(url.removeprefix(daemon.url))
            await settled(daemon)
        upstream.clear()
        async with running(tmp_path, upstream.url, policy__deny=["alpha"]) as daemon:
            answer = await explain(daemon)
            assert "deny" in (answer.refused or "")
            assert [brief(file) for file in answer.files] == [(False, False, True, "deny")]
    assert upstream.requests == []


async def test_explain__offline(tmp_path: Path) -> None:
    """Offline only what is cached is listed, and it says so."""
    async with FakeUpstream() as upstream:
        upstream.add("alpha", OLD, FRESH)
        async with running(tmp_path, upstream.url) as daemon:
            url = await daemon.file_url("alpha", OLD.filename)
            await daemon.ask(url.removeprefix(daemon.url))
            await settled(daemon)
            daemon.parts.offline.on = True
            answer = await explain(daemon)
            assert {f.filename: brief(f) for f in answer.files} == {
                OLD.filename: (True, True, True, None),
                FRESH.filename: (False, False, False, "offline"),
            }


async def test_explain__nothing_known(tmp_path: Path) -> None:
    """An unknown project, and an index that cannot be asked, are told apart."""
    async with FakeUpstream() as upstream, running(tmp_path, upstream.url) as daemon:
        with pytest.raises(ProjectNotFoundError):
            await explain(daemon, "unknown")
        await upstream.stop()
        with pytest.raises(UpstreamError):
            await explain(daemon, "alpha")


async def test_explain__removed_project(tmp_path: Path) -> None:
    """A project that its index has removed is told as such, with what is left of it."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("alpha", OLD)
        async with running(tmp_path, upstream.url, clock) as daemon:
            url = await daemon.file_url("alpha", OLD.filename)
            await daemon.ask(url.removeprefix(daemon.url))
            await settled(daemon)
            upstream.remove("alpha")
            clock.advance(3600)
            answer = await explain(daemon)
            assert answer.refused == "no index here has a project named alpha"
            assert [brief(file) for file in answer.files] == [(False, True, True, "removed_files")]
