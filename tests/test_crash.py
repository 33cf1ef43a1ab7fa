"""Crashes: whatever moment the process dies at, nothing that was kept is lost or wrong."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from pypicached.cache.recovery import count_stored, reconcile
from pypicached.control.client import ControlClient
from tests.cache.building import building, content_of, make_file
from tests.cache.crashing import DIED, KEEP, NAME, REMOVE, SIZE
from tests.fake import DistFile, FakeUpstream, make_wheel

ROOT = Path(__file__).parents[1]
PROJECTS = tuple(f"p{n}" for n in range(12))
ROUNDS = 6
JSON = "application/vnd.pypi.simple.v1+json"

# ── between each two steps ───────────────────────────────────────────────────────────────────


def die_before(root: Path, action: str, step: str) -> None:
    """Let a process die before a step of keeping or removing a blob."""
    command = [sys.executable, "-m", "tests.cache.crashing", str(root), action, step]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, timeout=30)
    assert done.returncode == DIED, done.stderr.decode()


@pytest.mark.parametrize("step", KEEP)
async def test_crash__between_the_steps_of_a_commit(tmp_path: Path, step: str) -> None:
    """A commit that died leaves the whole blob or nothing: orphans are taken back, spools go."""
    die_before(tmp_path, "keep", step)
    file = make_file(NAME, content_of(NAME, SIZE))
    named = KEEP.index(step) > KEEP.index("rename")
    async with building(tmp_path) as cache:
        counted = await count_stored(cache.ledger, cache.blobs)
        adopted = await reconcile(cache.ledger, cache.blobs)
        assert (counted, adopted) == ((1, 0) if step == "end" else (0, 1) if named else (0, 0))
        await cache.check()
        fd = cache.store.open(file.sha256, SIZE)
        assert (fd is not None) == named
        if fd is not None:
            assert os.pread(fd, 2 * SIZE, 0) == content_of(NAME, SIZE)
            os.close(fd)
        entry = await cache.ledger.files.get(file.index, file.path, file.kind)
        assert (entry is not None) == (step == "end")
        # Its page links it again, or it is fetched again.
        assert await cache.blobs.link(file) == named
        if not named:
            await cache.keep(NAME, SIZE)
        await cache.check()


@pytest.mark.parametrize("step", REMOVE)
async def test_crash__between_the_steps_of_a_removal(tmp_path: Path, step: str) -> None:
    """A removal that died leaves a row with its blob, or an orphan; never a row without one."""
    die_before(tmp_path, "remove", step)
    file = make_file(NAME, content_of(NAME, SIZE))
    async with building(tmp_path) as cache:
        await count_stored(cache.ledger, cache.blobs)
        entry = await cache.ledger.files.get(file.index, file.path, file.kind)
        there = cache.store.stat(file.sha256) is not None
        expected = {"forget row": (True, True), "delete blob": (False, True), "end": (False, False)}
        assert (entry is not None, there) == expected[step]
        await reconcile(cache.ledger, cache.blobs)
        await cache.check()
        # The next prune gets it.
        await cache.blobs.remove([file.sha256])
        assert cache.stored() == set()
        await cache.check()


# ── at any moment ────────────────────────────────────────────────────────────────────────────


class Server:
    """A daemon in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, control: ControlClient):
        self.process = process
        self.url = url
        self.control = control

    def listed(self) -> dict[str, str]:
        """Return what `pypicached list` shows, filename → sha256."""
        found = {}
        for project in self.control.list_projects("size"):
            for file in self.control.list_files(project.project, "size"):
                found[file.filename] = file.sha256
        return found


@contextlib.asynccontextmanager
async def serving(root: Path, index_url: str) -> AsyncIterator[Server]:
    """Run `pypicached serve` until it is ready; kill it at the end, wherever it is."""
    socket = root / "control.sock"
    environment = os.environ | {
        "HOME": str(root),
        "PYPICACHED_SOCKET": str(socket),
        "PYPICACHED_CACHE__MIN_FREE": "1MB",
    }
    arguments = ["--listen", "127.0.0.1:0", "--index-url", index_url]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pypicached", "serve", "--cache-dir", str(root / "cache")),
        *arguments,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        ready = None
        while ready is None:
            line = (await process.stdout.readline()).decode()
            assert line, "the daemon ended"
            ready = re.search(r"http://127\.0\.0\.1:\d+", line)
        yield Server(process, ready[0], ControlClient([socket]))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def links_of(session: aiohttp.ClientSession, url: str) -> dict[str, str]:
    """Return the files' URLs by name."""
    links = {}
    for project in PROJECTS:
        page = f"{url}/simple/{project}/"
        async with session.get(page, headers={"Accept": JSON}) as answer:
            for file in (await answer.json(content_type=None))["files"]:
                links[file["filename"]] = str(URL(page).join(URL(file["url"], encoded=True)))
    return links


async def traffic(
    session: aiohttp.ClientSession, links: dict[str, str], right: dict[str, str]
) -> None:
    """Ask for files at random until the daemon dies; whatever is whole must be right."""
    with contextlib.suppress(aiohttp.ClientError):
        while True:
            name = random.choice(list(links))
            async with session.get(URL(links[name], encoded=True)) as answer:
                body = await answer.read()
                assert answer.status == 200
                assert hashlib.sha256(body).hexdigest() == right[name]


def assert_blobs_right(root: Path) -> None:
    """Each blob holds the bytes that its name says."""
    for path in (root / "cache" / "blobs").rglob("*"):
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


@pytest.mark.slow
async def test_crash__killed_at_any_moment(tmp_path: Path) -> None:
    """After SIGKILL in the middle of traffic all that was listed is served from disk, right."""
    wheels = [
        make_wheel(project, version, size_bytes=random.randrange(10_000, 1_500_000))
        for project in PROJECTS
        for version in ("1.0", "2.0", "3.0")
    ]
    right = {wheel.filename: wheel.sha256 for wheel in wheels}
    listed: dict[str, str] = {}
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as session:
        publish(upstream, wheels)
        upstream.fault("*.whl", "throttle", rate=10_000_000)
        for _ in range(ROUNDS):
            async with serving(tmp_path, upstream.url) as server:
                assert list((tmp_path / "cache" / "tmp").iterdir()) == []
                assert_blobs_right(tmp_path)
                links = await links_of(session, server.url)
                clients = [asyncio.create_task(traffic(session, links, right)) for _ in range(4)]
                # No synchronisation: the moment is meant to be any.
                await asyncio.sleep(random.uniform(0.05, 0.6))
                listed |= await asyncio.to_thread(server.listed)
                await asyncio.sleep(random.uniform(0.0, 0.1))
                server.process.kill()
                await asyncio.gather(*clients)
        assert listed
        links = {name: link.removeprefix(server.url) for name, link in links.items()}
        url = upstream.url
        await upstream.stop()
        async with serving(tmp_path, url) as server:
            for name, sha256 in listed.items():
                async with session.get(URL(server.url + links[name], encoded=True)) as answer:
                    assert (answer.status, answer.headers["Cache-Status"]) == (
                        200,
                        "pypicached; hit",
                    )
                    assert hashlib.sha256(await answer.read()).hexdigest() == sha256 == right[name]
        await upstream.start()


def publish(upstream: FakeUpstream, wheels: list[DistFile]) -> None:
    """Put each wheel on its project's page."""
    for wheel in wheels:
        upstream.add(wheel.filename.partition("-")[0], wheel)
