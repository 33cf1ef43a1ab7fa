"""The resolver's process and its parent: latency is hidden, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from pypicached.cache.worker import WorkerError
from pypicached.warm.plan import Job
from pypicached.warm.resolver import run_resolver
from pypicached.warm.source import Listed
from pypicached.warm.targets import parse_target
from tests.fake import FakeUpstream, make_sdist, make_wheel
from tests.warm.http import HttpSource
from tests.warm.shelf import LINUX, versions, wish

LATENCY_SECONDS = 0.05


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as running:
        yield running


@pytest.fixture
async def source(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[HttpSource]:
    async with aiohttp.ClientSession() as session:
        yield HttpSource(session, upstream.url, tmp_path)


def children() -> set[int]:
    """Return our child processes, zombies too."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return set(map(int, listed))


def job(*wishes: str, **more: object) -> Job:
    """Return a job for one target."""
    listed = tuple(wish(text, line) for line, text in enumerate(wishes, 1))
    return Job(**{"targets": (LINUX,), "wishes": listed, **more})  # type: ignore[arg-type]


async def test_resolver__plans(upstream: FakeUpstream, source: HttpSource) -> None:
    """A job goes through the process and comes back as plans; pages are asked for once."""
    upstream.add("a", make_wheel("a", "1.0", requires=["b; python_version < '3.12'", "c"]))
    upstream.add("b", make_wheel("b", "1.0"))
    upstream.add("c", make_sdist("c", "1.0", metadata_version="2.2", requires=["b"]))
    targets = (parse_target("3.11", "linux-x86_64"), parse_target("3.13", "macos-arm64"))
    plans = await run_resolver(job("a", "missing", targets=targets), source)
    assert [plan.target for plan in plans] == [target.name for target in targets]
    assert [versions(plan) for plan in plans] == [{"a": "1.0", "b": "1.0", "c": "1.0"}] * 2
    assert [[p.what for p in plan.problems] for plan in plans] == [["missing"]] * 2
    assert all(upstream.count(f"/simple/{name}/") == 1 for name in ("a", "b", "c", "missing"))
    assert children() == set()


async def test_resolver__latency_is_hidden(upstream: FakeUpstream, source: HttpSource) -> None:
    """40 requirements behind 50 ms each take a few rounds, not 40 of them."""
    for number in range(40):
        lower = f"d{number}"
        upstream.add(f"w{number}", make_wheel(f"w{number}", "1.0", requires=[lower, "shared<3"]))
        upstream.add(lower, make_wheel(lower, "1.0", requires=["shared"]))
    upstream.add("shared", *(make_wheel("shared", f"{n}.0") for n in range(1, 5)))
    upstream.fault("*", "delay", seconds=LATENCY_SECONDS)
    began = time.monotonic()
    plan = (await run_resolver(job(*(f"w{number}" for number in range(40))), source))[0]
    seconds = time.monotonic() - began
    assert (len(plan.items), plan.problems) == (81, ())
    asked = len(upstream.requests)
    # One after another it would be 162 times the latency; 4 s leave room for a busy machine.
    assert source.most >= 40, source.most
    assert seconds < asked * LATENCY_SECONDS / 2, (seconds, asked)


async def test_resolver__cancelled(upstream: FakeUpstream, source: HttpSource) -> None:
    """A job that is cancelled kills its process, waits for it, and cancels what it asked for."""
    upstream.add("a", make_wheel("a", "1.0"))
    gate = upstream.hold("/simple/a/")
    running = asyncio.create_task(run_resolver(job("a"), source))
    await gate.reached()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (children(), source.cancelled) == (set(), 1)


async def test_resolver__time_limit(upstream: FakeUpstream, source: HttpSource) -> None:
    """A job that takes too long fails, and leaves no process behind."""
    upstream.add("a", make_wheel("a", "1.0"))
    upstream.hold("/simple/a/")
    with pytest.raises(WorkerError, match="took too long"):
        await run_resolver(job("a"), source, time_limit_seconds=1.0)
    assert (children(), source.cancelled) == (set(), 1)


async def test_resolver__dies(upstream: FakeUpstream, source: HttpSource) -> None:
    """A process that is killed (by the OOM killer, say) is an error that says so, not a hang."""
    upstream.add("a", make_wheel("a", "1.0"))
    gate = upstream.hold("/simple/a/")
    running = asyncio.create_task(run_resolver(job("a"), source))
    await gate.reached()
    (process,) = children()
    os.kill(process, signal.SIGKILL)
    with pytest.raises(WorkerError, match="ended with -9"):
        await running
    assert (children(), source.cancelled) == (set(), 1)


class Mistaken(HttpSource):
    """A source with a mistake in its code."""

    async def page(self, project: str) -> Listed:
        """Raise what no source should."""
        raise KeyError(project)


async def test_resolver__mistake_in_the_source(source: HttpSource) -> None:
    """What a source raises that is no error of ours ends the job: nobody would answer any more."""
    source.__class__ = Mistaken
    with pytest.raises(ExceptionGroup) as raised:
        await run_resolver(job("a"), source)
    assert raised.group_contains(KeyError)
    assert children() == set()


@pytest.mark.parametrize("kind", ["page", "sidecar"])
async def test_resolver__upstream_fails(
    upstream: FakeUpstream, source: HttpSource, kind: str
) -> None:
    """A failure of the upstream is never taken for absence; the rest is planned."""
    upstream.add("a", make_wheel("a", "1.0"), make_wheel("a", "2.0", requires=["b"]))
    upstream.add("b", make_wheel("b", "1.0"))
    upstream.add("c", make_wheel("c", "1.0"))
    upstream.fault("/simple/b/" if kind == "page" else "*/b-1.0*.metadata", "status", code=503)
    plan = (await run_resolver(job("a", "c"), source))[0]
    assert versions(plan) == {"c": "1.0"}
    problem = ("failed", "a", "b: index fake: it answered 503", "requirements.txt line 1")
    assert [(p.kind, p.what, p.reason, p.where) for p in plan.problems] == [problem]


async def test_resolver__sidecar_is_gone(upstream: FakeUpstream, source: HttpSource) -> None:
    """A version without usable metadata is passed over, and that is noted."""
    upstream.add("a", make_wheel("a", "1.0"), make_wheel("a", "2.0"))
    upstream.fault("*/a-2.0*.metadata", "status", code=404)
    plan = (await run_resolver(job("a"), source))[0]
    assert (versions(plan), plan.problems) == ({"a": "1.0"}, ())
    assert plan.notes == (
        "a-2.0-py3-none-any.whl was passed over: index fake: a listed file is gone",
    )
