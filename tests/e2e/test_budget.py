"""A budget, and a disk, that are smaller than what is asked for: it holds, and nobody notices."""

from __future__ import annotations

import hashlib
import itertools
import random
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.traffic import watching
from tests.e2e.conftest import MakeDaemon
from tests.e2e.disks import small_disk
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

MB = 1_000_000
LIMIT, ASKED, CLIENTS = 50 * MB, 200 * MB, 20


def publish(upstream: ThreadedFakeUpstream, total: int, largest: int) -> dict[str, str]:
    """Publish one wheel each of projects p0, p1, …; return project → sha256, `total` bytes."""
    published: dict[str, str] = {}
    dice, size = random.Random(8), 0
    for number in itertools.count():
        if size >= total:
            return published
        size_bytes = int(10 ** dice.uniform(4, 6.9) % largest) + 4000
        wheel = make_wheel(f"p{number}", size_bytes=size_bytes)
        upstream.add(f"p{number}", wheel)
        published[f"p{number}"] = wheel.sha256
        size += len(wheel.body)
    raise AssertionError("endless")


def fetch(daemon: DaemonProcess, project: str) -> str:
    """Return the sha256 of what a client gets of a project's one file."""
    ((_, body),) = daemon.fetch(project).items()
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def memory_directory() -> Iterator[Path]:
    """Return a directory on which no `fsync` waits for what other tests write.

    A file counts as used from its commit on, which follows behind the answer that its client had.
    """
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.mark.slow
def test_budget__holds_under_twenty_clients(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon, memory_directory: Path
) -> None:
    """200 MB asked of 50 MB of cache: never more on the disk, the oldest went, all bytes right."""
    published = publish(upstream, ASKED, 8 * MB)
    daemon = make_daemon(
        upstream.url,
        PYPICACHED_CACHE__MAX_SIZE="50MB",
        PYPICACHED_CACHE__DIRECTORY=str(memory_directory),
    ).start()
    turn, order, through = threading.Lock(), [], set()

    def one(project: str) -> bool:
        (path,) = daemon.file_paths(project).values()
        with daemon.asking(path) as answer:
            body = answer.read()
        with turn:
            order.append(project)
            # Where the others' downloads took all the room, it was never kept.
            if "no room to store" in answer.headers["Cache-Status"]:
                through.add(project)
        return hashlib.sha256(body).hexdigest() == published[project]

    with (
        watching(memory_directory / "blobs", memory_directory / "tmp") as watched,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        assert all(pool.map(one, published))
    assert watched.looks > 20
    assert watched.most_bytes <= LIMIT
    daemon.settle()
    kept = {row["project"] for row in daemon.ask("list")}
    places = {project: place for place, project in enumerate(order)}
    # What was asked for at the same time may go in any order.
    oldest_kept = min(places[project] for project in kept)
    youngest_gone = max(places[project] for project in published.keys() - kept - through)
    assert youngest_gone - oldest_kept < CLIENTS
    assert len(kept) > 5
    assert daemon.ask("status")["disk"]["used_bytes"] <= LIMIT


@pytest.mark.slow
def test_budget__disk_of_64_mb_that_fills_up(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """100 downloads through a disk that others fill: all right, said, and kept again afterwards."""
    published = publish(upstream, 100 * MB, 3 * MB)
    projects = list(published)[:100]
    daemon = make_daemon(upstream.url, PYPICACHED_CACHE__MAX_SIZE="unlimited")
    place = daemon.directory / "disk"
    with small_disk(place, "64m") as disk:
        daemon.environment["PYPICACHED_CACHE__DIRECTORY"] = str(place)
        daemon.environment["PYPICACHED_CACHE__MIN_FREE"] = "0"
        daemon.start(within=disk.within)

        def right(project: str) -> bool:
            return fetch(daemon, project) == published[project]

        with ThreadPoolExecutor(8) as pool:
            half = len(projects) // 2
            assert all(pool.map(right, projects[:half]))
            daemon.settle()
            disk.fill(leave_bytes=16 * 1024)
            assert all(pool.map(right, projects[half:]))
        problems = "\n".join(daemon.ask("status")["problems"])
        assert "not everything can be kept" in problems or "disk is full" in problems
        assert daemon.get("/readyz")[0] == 200
        disk.empty()
        last = projects[-1]
        assert right(last)
        daemon.settle()
        requests = len(upstream.requests)
        assert right(last)
        assert len(upstream.requests) == requests
        daemon.close()


def test_budget__the_watcher_sees(tmp_path: Path) -> None:
    """The watcher sees what lies in a directory: it can tell that a limit does not hold."""
    (tmp_path / "file").write_bytes(bytes(100_000))
    with watching(tmp_path) as watched:
        while not watched.looks:
            pass
    assert watched.most_bytes >= 100_000
