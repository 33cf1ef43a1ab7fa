"""An upstream that answers with bytes of a test's choice, for what no HTTP server would send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator


class RawUpstream:
    """One listener on 127.0.0.1; whatever is asked, `pieces` are sent until the peer leaves.

    `requests` are the heads that came in.
    """

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        self.pieces = pieces
        self.requests: list[bytes] = []
        self.port = 0

    @property
    def url(self) -> str:
        """The index URL."""
        return f"http://127.0.0.1:{self.port}/simple/"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[RawUpstream]:
        """Listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
        writer.close()


def endless(piece: bytes, head: bytes = b"") -> Iterator[bytes]:
    """Yield a head, and then the same piece for ever; once."""
    yield head
    while True:
        yield piece
