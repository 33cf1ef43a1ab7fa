"""Huge bodies, parsed in a process of their own that ends when it is done.

A call of msgspec or lexbor holds the GIL until it returns, so no thread could keep the event loop
free of it. The parent passes files, never pickles: a body, and a place for the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pypicached.child import command
from pypicached.errors import HostError
from pypicached.simple.model import ProjectPage
from pypicached.simple.rows import ParseError
from pypicached.store import LocalStore

# A project list of 40 MB takes 2 s here; a worker that needs this long is stuck.
TIME_LIMIT_SECONDS = 300.0


class WorkerError(HostError):
    """The worker process ended without a result."""


@contextlib.contextmanager
def on_disk() -> Iterator[None]:
    """Raise HostError where the cache disk, or the making of a process, fails what is inside."""
    try:
        yield
    except OSError as error:
        raise HostError(f"the cache disk or this host failed: {error.strerror}") from error


class Worker:
    """Runs one job at a time in a short-lived process."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._turn = asyncio.Lock()

    async def parse_page(
        self, body: bytes, content_type: str, url: str, project: str
    ) -> ProjectPage:
        """Do what `simple.parse.parse_page` does. Raises ParseError, HostError (WorkerError)."""
        with on_disk(), self.temporary() as source, self.temporary() as target:
            await self._store.disk.run(source.write_bytes, body)
            await self.run("page", str(source), str(target), content_type, url, project)
            packed = await self._store.disk.run(target.read_bytes)
        return msgspec.msgpack.decode(packed, type=ProjectPage)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """Yield a name in `tmp/` whose file is removed at the end."""
        path = self._store.temporary_path()
        try:
            yield path
        finally:
            # What stays of it on a disk that fails, the next start removes.
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    async def run(self, *arguments: str) -> None:
        """Run one job; ParseError with its reason, or HostError, if it does not succeed."""
        async with self._turn:
            with on_disk():
                process = await _start(*arguments)
            try:
                async with asyncio.timeout(TIME_LIMIT_SECONDS):
                    said, _ = await process.communicate()
            except TimeoutError as error:
                raise WorkerError("a huge page took too long to parse") from error
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode == 3:
            raise ParseError(said.decode("ascii", "replace")[:80])
        if process.returncode != 0:
            raise WorkerError(f"a worker process ended with {process.returncode}")


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command("pypicached.cache.jobs"),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", "")},
    )
