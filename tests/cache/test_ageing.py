"""`prune_after`: the daemon drops what was not used for so long, and nothing that is held."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from pypicached.cache import ageing, pruning
from pypicached.cache.blobs import Removal
from pypicached.errors import HostError, LedgerError
from pypicached.requirement import parse_requirement
from tests.cache.client import assert_in_step, blobs_in, fetch, settled, until
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running

DAY = 86400.0
NAMES = ("aa", "bb", "cc", "dd", "ee")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ageing, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(pruning, "BATCH", 2)


@pytest.fixture
def wheels(upstream: FakeUpstream) -> dict[str, DistFile]:
    made = {name: make_wheel(name, "1.0", size_bytes=50_000) for name in NAMES}
    for name, wheel in made.items():
        upstream.add(name, wheel)
    return made


async def fill(daemon: Running, wheels: dict[str, DistFile]) -> dict[str, str]:
    """Cache all, and let 31 days pass; return their URLs."""
    urls = {}
    for name, wheel in wheels.items():
        urls[name] = await daemon.file_url(name, wheel.filename)
        await fetch(daemon, urls[name])
    await settled(daemon)
    daemon.clock.advance(31 * DAY)
    return urls


def stored(daemon: Running, wheels: dict[str, DistFile]) -> set[str]:
    """Return the names whose wheels are stored."""
    blobs = blobs_in(daemon)
    return {name for name, wheel in wheels.items() if wheel.sha256 in blobs}


async def test_ageing__spares_what_is_held(
    tmp_path: Path,
    upstream: FakeUpstream,
    wheels: dict[str, DistFile],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is unused goes with its page; what is used, being read or pinned stays: one log line."""
    caplog.set_level(logging.INFO)
    async with running(tmp_path, upstream.url, cache__prune_after="30d") as daemon:
        urls = await fill(daemon, wheels)
        await fetch(daemon, urls["bb"])  # pending: not in the ledger yet
        await daemon.parts.blobs.pins.add([parse_requirement("dd")])
        with daemon.parts.blobs.in_use(wheels["cc"].sha256):
            aged = await daemon.parts.ageing.drop()
        assert stored(daemon, wheels) == {"bb", "cc", "dd"}
        # Pages: a hit on a file asks none, so all but that of the pinned project went.
        assert (aged.blobs, aged.pages, aged.bytes > 100_000) == (2, 4, True)
        await assert_in_step(daemon)
        lines = [r.getMessage() for r in caplog.records if r.name == ageing.__name__]
        assert lines == ["dropped 2 blobs and 4 pages unused for 30 days"]
        assert (await daemon.parts.ageing.drop()).blobs == 1
        caplog.clear()
        assert (await daemon.parts.ageing.drop()) == ageing.Aged()
        assert caplog.records == []
        upstream.clear()
        await daemon.page("aa")
        await daemon.page("dd")
        assert upstream.count("/simple/aa/") == 1


async def test_ageing__used_between_batches(
    tmp_path: Path,
    upstream: FakeUpstream,
    wheels: dict[str, DistFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A use that comes while older files go still counts for the batches to come."""
    async with running(tmp_path, upstream.url, cache__prune_after="30d") as daemon:
        urls = await fill(daemon, wheels)
        remove = daemon.parts.blobs.remove
        first: list[str] = []

        async def use_the_others(wanted: dict[str, int]) -> Removal:
            if not first:
                first.extend(wanted)
                for name, wheel in wheels.items():
                    if wheel.sha256 not in wanted:
                        await fetch(daemon, urls[name])
            return await remove(wanted)

        monkeypatch.setattr(daemon.parts.blobs, "remove", use_the_others)
        assert (await daemon.parts.ageing.drop()).blobs == 2
        assert len(blobs_in(daemon)) == 3


async def test_ageing__disk_that_refuses(
    tmp_path: Path,
    upstream: FakeUpstream,
    wheels: dict[str, DistFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that lets nothing go is asked once, not for every blob."""

    def refuse(_path: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    async with running(tmp_path, upstream.url, cache__prune_after="30d") as daemon:
        await fill(daemon, wheels)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            with pytest.raises(HostError, match="Read-only"):
                await daemon.parts.ageing.drop()
        assert stored(daemon, wheels) == set(NAMES)
        await assert_in_step(daemon)


async def test_ageing__worker(
    tmp_path: Path,
    upstream: FakeUpstream,
    wheels: dict[str, DistFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The daemon looks by itself, and again after a failure; without the setting nothing goes."""
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        daemon.clock.advance(400 * 86400)
        assert await daemon.parts.ageing.drop() == ageing.Aged()
        assert stored(daemon, wheels) == set(NAMES)
    monkeypatch.setattr(ageing, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(ageing, "EVERY_SECONDS", 0.001)
    drop, failures = ageing.Ageing.drop, iter([LedgerError("no"), OSError(5, "bad")])

    async def fail_first(self: ageing.Ageing) -> ageing.Aged:
        for error in failures:
            raise error
        return await drop(self)

    monkeypatch.setattr(ageing.Ageing, "drop", fail_first)
    clock = daemon.clock
    async with running(tmp_path, upstream.url, clock, cache__prune_after="30d") as daemon:
        await asyncio.wait_for(until_empty(daemon), 5)
        await assert_in_step(daemon)


async def until_empty(daemon: Running) -> None:
    budget = daemon.parts.blobs.budget
    await until(lambda: blobs_in(daemon) == {} and budget.used_bytes == 0)


async def test_ageing__another_age_at_once(
    tmp_path: Path,
    upstream: FakeUpstream,
    wheels: dict[str, DistFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A daemon that never dropped anything begins when it is told an age, without a restart."""
    monkeypatch.setattr(ageing, "FIRST_SECONDS", 0.001)
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        daemon.parts.ageing.apply(30 * DAY)
        await asyncio.wait_for(until_empty(daemon), 5)
