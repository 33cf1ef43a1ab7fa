"""Upstreams that fail again and again, but not always: no client may notice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.cache.client import Got, assert_in_step, fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running

PROJECTS, FILES_EACH = 40, 5
CLIENTS = 16


def publish(upstream: FakeUpstream) -> list[tuple[str, DistFile]]:
    """Publish 200 files of 70 to 300 KB: larger than what is held back of each."""
    dice = random.Random(4)
    published = []
    for number in range(PROJECTS):
        project = f"project{number}"
        for version in range(FILES_EACH):
            size_bytes = dice.randrange(70_000, 300_000)
            wheel = make_wheel(project, f"{version}.0", size_bytes=size_bytes)
            upstream.add(project, wheel)
            published.append((project, wheel))
    return published


async def fetch_all(daemon: Running, published: list[tuple[str, DistFile]]) -> list[Got]:
    """Fetch every file, some clients at a time, each file's page before it as installers do."""
    turn = asyncio.Semaphore(CLIENTS)

    async def one(project: str, wheel: DistFile) -> Got:
        async with turn:
            return await fetch(daemon, await daemon.file_url(project, wheel.filename))

    return await asyncio.gather(*(one(*row) for row in published))


@pytest.mark.slow
async def test_bad_day__every_third_request_and_every_transfer(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """502 for each third request of a connection, each transfer broken off: all arrive, right."""
    published = publish(upstream)
    dice = random.Random(6)
    upstream.fault(lambda request: request.nth % 3 == 0, "status", code=502)
    for _, wheel in published:
        n = dice.randrange(20_000, len(wheel.body))
        upstream.fault(f"*/{wheel.filename}", "reset_after", n=n)
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch_all(daemon, published)
        assert [one.status for one in got] == [200] * len(published)
        for (_, wheel), one in zip(published, got, strict=True):
            assert (one.whole, one.body == wheel.body) == (True, True), wheel.filename
        await settled(daemon)
        await assert_in_step(daemon)
        status = await daemon.parts.operations.status()
        assert (status.failures, status.problems) == ([], [])
    # It was a bad day: most files took more than one request.
    assert upstream.count("*.whl") > 1.5 * len(published)
