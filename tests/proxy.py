"""An HTTP proxy on loopback: it forwards, tunnels, and records what it was asked.

Names are not looked up: whatever the host, the port on loopback is connected to.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit


class Asked(NamedTuple):
    """A request as it came in: its first line's parts, and its headers by lower-case name."""

    method: str
    target: str
    headers: dict[str, str]


class FakeProxy:
    """`async with` runs it."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").rstrip().split("\r\n")
            method, target, _ = first.split()
            pairs = (line.partition(": ") for line in lines)
            self.requests.append(Asked(method, target, {n.lower(): v for n, _, v in pairs}))
            url = urlsplit(f"//{target}" if method == "CONNECT" else target)
            onwards, upstream = await asyncio.open_connection("127.0.0.1", url.port)
            with contextlib.closing(upstream):
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    # One request per connection is enough here.
                    kept = [x for x in lines if not x.lower().startswith("proxy-")]
                    start = f"{method} {url.path} HTTP/1.1"
                    text = "\r\n".join([start, *kept, "Connection: close", "", ""])
                    upstream.write(text.encode("latin-1"))
                await asyncio.gather(_copy(reader, upstream), _copy(onwards, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
