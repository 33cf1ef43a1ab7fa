"""An origin on loopback that speaks TLS, for what depends on certificates, also a client's."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator

import pytest

from bench.rehearsal.tls import Certificates

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")


class TlsSite:
    """An origin that speaks TLS, asks for a client certificate, and gives one answer to all."""

    def __init__(self, certificates: Certificates) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.valid, certificates.key)
        context.load_verify_locations(certificates.authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._context = context
        # A line each: what was shown, and the head of the request.
        self.certified: list[bool] = []
        self.heads: list[str] = []
        self.answers: dict[str, bytes] = {}
        self.origin = ""

    def say(self, path: str, *lines: str, body: bytes = b"") -> None:
        """Answer a path with these header lines and this body."""
        head = [*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]
        self.answers[path] = "\r\n".join(head).encode() + body

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.certified.append(bool(writer.get_extra_info("peercert")))
            self.heads.append(head)
            writer.write(self.answers[head.split()[1]])
            await writer.drain()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[TlsSite]:
        """Listen on loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.origin = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
