"""10,000 requests under every kind of failure: nothing of them stays behind."""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.cache.client import settled, spools_in, until
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Running, running, write_config

PROJECTS = 25
CLIENTS = 50
# Kinds and arguments of the fake's faults, each in turn for all requests.
FAULTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("*", "status", {"code": 503}),
    ("*", "status", {"code": 429, "headers": {"Retry-After": "1"}}),
    ("*", "status", {"code": 401}),
    ("*", "reset_after", {"n": 0}),
    ("*.whl", "reset_after", {"n": 40_000}),
    ("*.whl", "wrong_bytes", {}),
    ("*.whl", "short", {"n": 10}),
    ("*.whl", "gzip_encoded", {}),
    ("*", "garbage", {}),
    ("*", "hang", {}),
)
EACH = 500


class Traces(NamedTuple):
    """What requests may leave behind, beside what they asked for."""

    tasks: int
    descriptors: int
    spools: int
    reserved_bytes: int


def traces(daemon: Running) -> Traces:
    """Return what is there now."""
    return Traces(
        len(asyncio.all_tasks()),
        len(list(Path("/proc/self/fd").iterdir())),
        len(spools_in(daemon)),
        daemon.parts.blobs.budget.reserved_bytes,
    )


async def rest(daemon: Running, upstream: FakeUpstream) -> int:
    """Let all work end and idle connections close; return how many objects there are."""
    await settled(daemon)
    pages = daemon.parts.catalog.pages["pypi"]
    await until(lambda: not len(pages._flights))
    await upstream.stop()
    await upstream.start()
    upstream.clear()
    gc.collect()
    return len(gc.get_objects())


async def storm(daemon: Running, session: aiohttp.ClientSession, paths: list[str]) -> None:
    """Send many requests of every sort; some of their clients leave in the middle."""
    turn = asyncio.Semaphore(CLIENTS)

    async def one(number: int) -> None:
        path = paths[number % len(paths)]
        method = "HEAD" if number % 7 == 0 else "GET"
        headers = {"Accept": JSON}
        if number % 5 == 0:
            headers["Range"] = "bytes=100-"
        if number % 11 == 0:
            headers["Cache-Control"] = "no-cache"
        async with turn:
            try:
                async with (
                    asyncio.timeout(0.05 if number % 13 == 0 else 10),
                    session.request(method, daemon.url + path, headers=headers) as answer,
                ):
                    await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                return

    await asyncio.gather(*(one(number) for number in range(EACH)))


async def play(daemon: Running, upstream: FakeUpstream, paths: list[str]) -> None:
    """Let every fault strike in turn, and all be well in between."""
    for pattern, kind, arguments in FAULTS:
        upstream.fault(pattern, kind, **arguments)
        async with aiohttp.ClientSession() as session:
            await storm(daemon, session, paths)
        upstream.heal()
        daemon.clock.advance(700)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_leak__ten_thousand_requests_under_every_failure(
    tmp_path: Path, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """No task, descriptor, spool or reservation stays, nor an object more than after one round."""
    caplog.set_level(logging.CRITICAL)  # else each line that is told is kept, by the test
    paths = ["/simple/", "/simple/none/"]
    for number in range(PROJECTS):
        wheel = make_wheel(f"p{number}", size_bytes=100_000 if number % 2 else 3_000)
        upstream.add(f"p{number}", wheel)
        url = upstream.url_of(wheel).removeprefix("http://")
        paths += [f"/simple/p{number}/", f"/files/pypi/{url}", f"/files/pypi/{url}.metadata"]
    table: dict[str, object] = {"name": "pypi", "url": upstream.url, "timeout": "0.3s"}
    config = write_config(tmp_path, table)
    async with running(
        tmp_path, config=config, cache__page_deadline="0.1s", cache__cold_deadline="0.2s",
        cache__max_size="1MB",
    ) as daemon:  # fmt: skip
        await daemon.ask("/simple/none/")
        await rest(daemon, upstream)
        quiet = traces(daemon)
        await play(daemon, upstream, paths)
        before = await rest(daemon, upstream)
        await play(daemon, upstream, paths)
        after = await rest(daemon, upstream)
        await until(lambda: traces(daemon) <= quiet)
        for now, then in zip(traces(daemon), quiet, strict=True):
            assert now <= then
        assert after < before * 1.02
        root = daemon.parts.store.root
        kept = [p for name in ("blobs", "lists") for p in (root / name).rglob("*") if p.is_file()]
        on_disk = sum(path.stat().st_blocks * 512 for path in kept)
        assert daemon.parts.blobs.budget.used_bytes == on_disk
