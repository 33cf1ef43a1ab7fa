"""TLS in front of the fake index: a forwarder whose certificate can be changed while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bench.rehearsal.stage import NotPossibleError, Stage, publish, running
from tests.fake.threaded import ThreadedFakeUpstream

_CONFIGURATION = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = pypicached rehearsal
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
subjectAltName = IP:127.0.0.1, DNS:index.vendor.net
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_PIECE_BYTES = 64 * 1024


class Certificates:
    """An authority, and two certificates of one server key: a valid one, and one that was."""

    def __init__(self, directory: Path) -> None:
        if not shutil.which("openssl"):
            raise NotPossibleError("needs openssl")
        directory.mkdir()
        self._directory = directory
        self.authority, self.key = directory / "ca.pem", directory / "server.key"
        (directory / "openssl.cnf").write_text(_CONFIGURATION)
        self._run(
            *("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"),
            *("-config", "openssl.cnf", "-extensions", "authority"),
        )
        self._run(
            *("req", *_KEY, "-keyout", "server.key", "-out", "server.csr"),
            *("-config", "openssl.cnf"),
        )
        self.valid = self._signed("valid.pem", days=2)
        # It ends with the second in which it is made; what follows takes longer.
        self.expired = self._signed("expired.pem", days=0)

    def _signed(self, name: str, *, days: int) -> Path:
        self._run(
            *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-set_serial", str(days + 1), "-days", str(days), "-out", name),
            *("-extfile", "openssl.cnf", "-extensions", "server"),
        )
        return self._directory / name

    def _run(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=self._directory, check=True, capture_output=True
        )


class Front:
    """Speaks TLS on a port of its own and passes everything on; lives on the fake's loop."""

    def __init__(self, upstream: ThreadedFakeUpstream, key: Path, certificate: Path) -> None:
        self._upstream = upstream
        self._key = key
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The index URL, by https."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"https://127.0.0.1:{port}{self._upstream.dialect.root}"

    def present(self, certificate: Path) -> None:
        """Show this certificate from now on; connections that are open are ended."""
        self._context.load_cert_chain(certificate, self._key)
        self._upstream.down()
        self._upstream.up()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)

    async def stop(self) -> None:
        """Close every connection."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        behind = urlsplit(self._upstream.pages_origin)
        assert behind.hostname is not None
        # Either side may leave at any moment, and the index may be down.
        with contextlib.closing(writer), contextlib.suppress(OSError):
            theirs, ours = await asyncio.open_connection(behind.hostname, behind.port)
            with contextlib.closing(ours):
                ways = {
                    asyncio.create_task(_pass_on(source, sink))
                    for source, sink in ((reader, ours), (theirs, writer))
                }
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        writer.write(piece)
        await writer.drain()


@contextlib.contextmanager
def expiring(directory: Path) -> Iterator[Stage]:
    """Make a stage whose index presents a certificate that has expired."""
    certificates = Certificates(directory / "certificates")
    with ThreadedFakeUpstream(separate_files=False, links="relative") as upstream:
        publish(upstream)
        front = Front(upstream, certificates.key, certificates.valid)
        upstream.run(front.start())
        try:
            authority = {"ca_file": str(certificates.authority)}
            with running(directory, front.url, index=authority) as daemon:
                yield Stage(
                    upstream,
                    daemon,
                    lambda: front.present(certificates.expired),
                    lambda: front.present(certificates.valid),
                )
        finally:
            upstream.run(front.stop())
