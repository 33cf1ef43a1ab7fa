"""A worker process whose daemon is killed: the next daemon must not find it writing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pypicached.cache.worker import _start

ROOT = Path(__file__).parents[2]
LIST = '{"meta": {"api-version": "1.0"}, "projects": [{"name": "p"}]}'
# A stand-in for a daemon: it starts a job, tells its process id and waits for it.
PARENT = """\
import asyncio, sys
from pypicached.cache.worker import _start

async def run():
    process = await _start(*sys.argv[1:])
    print(process.pid, flush=True)
    await process.wait()

asyncio.run(run())
"""


@contextlib.contextmanager
def parent_of(*job: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a process with a worker of its own, and the worker's descriptor (pidfd_open(2))."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *job], cwd=ROOT, text=True, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        try:
            yield parent, worker
        finally:
            os.close(worker)
            parent.kill()


def test_worker__dies_with_its_daemon(tmp_path: Path) -> None:
    """A worker in the middle of its job is gone as soon as its daemon is, and writes nothing."""
    source, target = tmp_path / "source", tmp_path / "target"
    os.mkfifo(source)
    with parent_of("names", str(source), str(target), "text/html") as (parent, worker):
        with source.open("wb"):  # waits until the job reads
            parent.kill()
            parent.wait()
            readable, _, _ = select.select([worker], [], [], 10.0)
            assert readable
        assert not target.exists()


async def test_worker__daemon_died_before(tmp_path: Path) -> None:
    """A worker that finds another parent than it was given does nothing at all."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text(LIST)
    job = ("names", str(source), str(target), "application/vnd.pypi.simple.v1+json")
    right = await _start(*job)
    assert await right.wait() == 0
    target.unlink()
    code = "from pypicached.cache.jobs import main; main()"
    orphan = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(os.getppid()), *job, cwd=ROOT
    )
    assert await orphan.wait() == 1
    assert not target.exists()
