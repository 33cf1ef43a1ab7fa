"""A client that does not read a large page is let go, and holds no copy of it meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pypicached.web import sending
from tests.cache.client import until
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Running, running

ROWS = "".join(f'<a href="alpha-1.{n}.tar.gz">alpha-1.{n}.tar.gz</a><br/>\n' for n in range(60_000))
PAGE = f"<!DOCTYPE html><html><body>\n{ROWS}</body></html>".encode()


async def connect(daemon: Running) -> socket.socket:
    """Ask for the large page on a socket that takes next to nothing."""
    address = urlsplit(daemon.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (address.hostname, address.port))
    request = f"GET /simple/alpha/ HTTP/1.1\r\nHost: x\r\nAccept: {JSON}\r\n\r\n"
    await loop.sock_sendall(client, request.encode())
    return client


async def taken_by(client: socket.socket) -> int:
    """Return how many bytes are still to be had on a connection that was cut off."""
    loop = asyncio.get_running_loop()
    taken = 0
    with contextlib.suppress(ConnectionResetError):
        while data := await loop.sock_recv(client, 1 << 20):
            taken += len(data)
    return taken


async def test_slow_reader__rule_66_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes nothing for the idle time is cut off; others are served meanwhile."""
    monkeypatch.setattr(sending, "IDLE_SECONDS", 0.3)
    async with FakeUpstream() as upstream:
        upstream.add("beta", make_wheel("beta"))
        upstream.serve("/simple/alpha/", PAGE, "text/html")
        async with running(tmp_path, upstream.url) as daemon:
            whole = len(await (await daemon.get("/simple/alpha/", Accept=JSON)).read())
            client = await connect(daemon)
            try:
                assert (await daemon.page("beta"))["name"] == "beta"
                await until(lambda: not daemon.daemon._app.active)
                assert await taken_by(client) < whole
            finally:
                client.close()


async def test_slow_reader__a_stop_waits_for_it(tmp_path: Path) -> None:
    """A page that is being sent counts as a running answer, so that a stop lets it end."""
    async with FakeUpstream() as upstream:
        upstream.serve("/simple/alpha/", PAGE, "text/html")
        async with running(tmp_path, upstream.url) as daemon:
            await (await daemon.get("/simple/alpha/", Accept=JSON)).read()
            client = await connect(daemon)
            try:
                loop = asyncio.get_running_loop()
                await loop.sock_recv(client, 1000)
                assert daemon.daemon._app.active == 1
            finally:
                client.close()


async def test_slow_reader__holds_little_memory(tmp_path: Path) -> None:
    """Of what the kernel does not take, a client that takes nothing holds a small piece."""
    async with FakeUpstream() as upstream:
        upstream.serve("/simple/alpha/", PAGE, "text/html")
        async with running(tmp_path, upstream.url) as daemon:
            whole = len(await (await daemon.get("/simple/alpha/", Accept=JSON)).read())
            assert whole > 4 * sending.LARGER_PIECE_BYTES
            client = await connect(daemon)
            try:
                server = daemon.daemon._public_runner.server
                assert server is not None
                await until(lambda: daemon.daemon._app.active == 1)
                held: list[int] = []
                for _ in range(50):
                    await asyncio.sleep(0.005)
                    transports = [c.transport for c in server.connections]
                    held += [t.get_write_buffer_size() for t in transports if t is not None]
                assert 0 < max(held) <= sending.LARGER_PIECE_BYTES + sending.PIECE_BYTES
            finally:
                client.close()
