"""What tests of files look with: a client that keeps what it got, and the traces on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp
from yarl import URL

from tests.harness import Running


class Got(NamedTuple):
    """An answer as far as it came; `whole` tells whether the client takes it for complete."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    whole: bool


async def fetch(daemon: Running, url: str, method: str = "GET", **headers: str) -> Got:
    """Ask for an absolute URL, taken literally; header names with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = bytearray()
    async with daemon.session.request(
        method, URL(url, encoded=True), headers=named, allow_redirects=False
    ) as answer:
        whole = True
        try:
            async for chunk in answer.content.iter_any():
                body += chunk
        except aiohttp.ClientError:
            whole = False
        return Got(answer.status, answer.reason or "", answer.headers, bytes(body), whole)


def blobs_in(daemon: Running) -> dict[str, Path]:
    """Return the blob files by digest."""
    # Unlike rglob, walk goes on where a directory is removed under its feet.
    found = [
        Path(parent, name)
        for parent, directories, files in os.walk(daemon.parts.store.root / "blobs")
        for name in (*directories, *files)
    ]
    return {path.name: path for path in found if not path.is_dir() or len(path.name) == 64}


def spools_in(daemon: Running) -> list[str]:
    """Return what lies in `tmp/`."""
    return [path.name for path in (daemon.parts.store.root / "tmp").iterdir()]


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for a state of the daemon that nothing announces."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)


async def settled(daemon: Running) -> None:
    """Wait until every download has been committed or given up."""
    while tasks := list(daemon.parts.files._flights._tasks.values()):
        await asyncio.wait(tasks)


async def assert_nothing_kept(daemon: Running) -> None:
    """No blob, no spool, no row, and no room held."""
    await settled(daemon)
    assert blobs_in(daemon) == {}
    assert spools_in(daemon) == []
    assert await daemon.parts.ledger.files.totals() == (0, 0)
    assert await daemon.parts.ledger.files.projects() == []
    budget = daemon.parts.blobs.budget
    assert (budget.used_bytes, budget.reserved_bytes) == (0, 0)


async def assert_in_step(daemon: Running) -> None:
    """Budget, ledger and disk tell the same, and no room is held."""
    await settled(daemon)
    count, used = await daemon.parts.ledger.files.totals()
    blobs = blobs_in(daemon)
    on_disk = sum(path.stat().st_blocks * 512 for path in blobs.values())
    assert (count, used) == (len(blobs), on_disk)
    assert daemon.parts.blobs.budget.used_bytes == used
    assert daemon.parts.blobs.budget.reserved_bytes == 0
    assert spools_in(daemon) == []


class Slow:
    """A client on a bare socket with small buffers, that reads only when told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def asking(cls, url: str) -> AsyncIterator[Slow]:
        """Send a GET for `url`; nothing of the answer is read. Leaves with a reset at the end."""
        where = URL(url, encoded=True)
        bare = socket.socket()
        # Must stand before the connection: the window is announced with it.
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        bare.setblocking(False)
        await asyncio.get_running_loop().sock_connect(bare, (where.host, where.port))
        reader, writer = await asyncio.open_connection(sock=bare, limit=4096)
        try:
            writer.write(f"GET {where.raw_path} HTTP/1.1\r\nHost: {where.host}\r\n\r\n".encode())
            await writer.drain()
            yield cls(reader, writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def read_head(self) -> str:
        """Read the status line and the headers."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()
