"""What a daemon has cached outlives it: another host, a backup, an older program."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from pypicached.control.client import ControlClient
from pypicached.ledger.schema import VERSION
from pypicached.requirement import parse_requirement
from tests.cache.client import assert_in_step, blobs_in, fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running


@pytest.fixture
def wheels(upstream: FakeUpstream) -> dict[str, DistFile]:
    made = {name: make_wheel(name, "1.0", size_bytes=90_000) for name in ("aa", "bb", "cc")}
    for name, wheel in made.items():
        upstream.add(name, wheel)
    return made


async def cache(daemon: Running, wheel: DistFile, project: str) -> None:
    """Have a project's page and file cached."""
    assert (await fetch(daemon, await daemon.file_url(project, wheel.filename))).status == 200
    await settled(daemon)


async def serves(daemon: Running, wheel: DistFile, project: str) -> None:
    """Its page and its file are there, byte by byte."""
    got = await fetch(daemon, await daemon.file_url(project, wheel.filename))
    assert (got.status, got.body == wheel.body) == (200, True)


async def back_up(daemon: Running, directory: Path, target: Path) -> None:
    """Take a copy of the ledger as `pypicached backup` does."""
    client = ControlClient([directory / "control.sock"])
    with target.open("wb") as file:
        await asyncio.to_thread(client.backup, file.write, lambda _: None)


async def problems_of(daemon: Running) -> list[str]:
    """Return what `status` has to say."""
    return (await daemon.parts.operations.status()).problems


async def test_moving__the_directory(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """Stopped, moved, started elsewhere: pages, files, pins and history are there."""
    old, new = tmp_path / "old", tmp_path / "new"
    new.mkdir()
    async with running(old, upstream.url) as daemon:
        await cache(daemon, wheels["aa"], "aa")
        await daemon.parts.blobs.pins.add([parse_requirement("aa")])
        used = daemon.parts.blobs.budget.used_bytes
    shutil.move(old / "cache", new / "cache")
    upstream.clear()
    async with running(new, upstream.url, cache__offline=True) as daemon:
        await serves(daemon, wheels["aa"], "aa")
        (row,) = await daemon.parts.operations.list_files("aa", "size")
        assert (row.pinned, row.hits) == (True, 1)
        assert daemon.parts.blobs.budget.used_bytes == used
        assert await problems_of(daemon) == []
        await assert_in_step(daemon)
    assert upstream.requests == []


async def test_moving__while_it_runs(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """A backup of the ledger and a copy of blobs/, taken one after the other, are a cache."""
    old, new = tmp_path / "old", tmp_path / "new"
    (new / "cache").mkdir(parents=True)
    async with running(old, upstream.url) as daemon:
        await cache(daemon, wheels["aa"], "aa")
        await back_up(daemon, old, new / "cache" / "ledger.sqlite")
        # It comes after the backup: a blob that the copied ledger does not know.
        await cache(daemon, wheels["bb"], "bb")
        shutil.copytree(old / "cache" / "blobs", new / "cache" / "blobs")
    upstream.clear()
    async with running(new, upstream.url) as daemon:
        await serves(daemon, wheels["aa"], "aa")
        await serves(daemon, wheels["bb"], "bb")
        await settled(daemon)
        await assert_in_step(daemon)
    assert upstream.count("*.whl") == 0


async def test_restoring__an_older_backup(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """What went since is fetched again and not counted; what came since is taken back."""
    saved = tmp_path / "saved.sqlite"
    ledger = tmp_path / "cache" / "ledger.sqlite"
    async with running(tmp_path, upstream.url) as daemon:
        for name in ("aa", "cc"):
            await cache(daemon, wheels[name], name)
        await back_up(daemon, tmp_path, saved)
        await daemon.parts.blobs.remove([wheels["aa"].sha256])
        await cache(daemon, wheels["bb"], "bb")
    shutil.copy(saved, ledger)
    upstream.clear()
    async with running(tmp_path, upstream.url) as daemon:
        await compared(daemon)
        await serves(daemon, wheels["bb"], "bb")
        assert upstream.count("*.whl") == 0
        await serves(daemon, wheels["aa"], "aa")
        assert upstream.count("*.whl") == 1
        await settled(daemon)
        await assert_in_step(daemon)


async def test_going_back__with_the_daemon(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """An older program goes on with its copy, and with the files that the newer one cached."""
    ledger = tmp_path / "cache" / "ledger.sqlite"
    async with running(tmp_path, upstream.url) as daemon:
        await cache(daemon, wheels["aa"], "aa")
    shutil.copy(ledger, f"{ledger}.version-{VERSION}")
    async with running(tmp_path, upstream.url) as daemon:
        await cache(daemon, wheels["bb"], "bb")
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    upstream.clear()
    async with running(tmp_path, upstream.url) as daemon:
        (problem,) = await problems_of(daemon)
        assert "is in use again" in problem
        for name in ("aa", "bb"):
            await serves(daemon, wheels[name], name)
        await settled(daemon)
        assert len(blobs_in(daemon)) == 2
    assert upstream.count("*.whl") == 0


async def compared(daemon: Running) -> None:
    """Return once ledger and disk have been compared."""
    (task,) = [t for t in asyncio.all_tasks() if t.get_name() == "comparison of ledger and disk"]
    await task
    await assert_in_step(daemon)
