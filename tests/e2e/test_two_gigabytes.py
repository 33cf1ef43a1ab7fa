"""A file of 2 GiB: upstream, one host, the bucket, another host, over lines that break."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.process import DaemonProcess
from tests.s3.servers import Endpoint, new_bucket

pytestmark = [pytest.mark.ceph, pytest.mark.timeout(600)]

GIB = 1024**3
MIB = 1024**2
MOST_BYTES = 150_000_000
FILENAME = "huge-1.0-py3-none-any.whl"


@pytest.fixture
def huge(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Return a file of 2 GiB and its sha256; no two parts are alike, the rest of each is a hole."""
    path = tmp_path / "huge"
    with path.open("wb") as file:
        for start in range(0, 2 * GIB, 4 * MIB):
            file.seek(start)
            file.write(os.urandom(4096))
        file.truncate(2 * GIB)
    with path.open("rb") as file:
        yield path, hashlib.file_digest(file, "sha256").hexdigest()
    path.unlink()


@contextlib.contextmanager
def index(path: Path, sha256: str, breaks_after: int) -> Iterator[tuple[str, list[str]]]:
    """Serve a page with that file, and break off once within it; yield the URL and the ranges."""
    ranges: list[str] = []
    page = {
        "meta": {"api-version": "1.0"},
        "name": "huge",
        "files": [{"filename": FILENAME, "url": f"/{FILENAME}", "hashes": {"sha256": sha256}}],
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if not self.path.endswith(".whl"):
                body = json.dumps(page).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            asked = self.headers.get("Range", "")
            ranges.append(asked)
            start = int(match[1]) if (match := re.fullmatch(r"bytes=(\d+)-", asked)) else 0
            stop = 2 * GIB if start else breaks_after
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(2 * GIB - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{2 * GIB - 1}/{2 * GIB}")
            self.end_headers()
            self.close_connection = True
            with path.open("rb") as file:
                self.connection.sendfile(file, start, stop - start)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple/", ranges
        finally:
            server.shutdown()


class Line:
    """A line to a server that is cut once, after so many bytes in one direction."""

    def __init__(self, target: str) -> None:
        split = urlsplit(target)
        self._target = (split.hostname, split.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        # What may still pass: to the server, and from it.
        self.sent_bytes_left = self.received_bytes_left = 1 << 60
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for way in ((client, server, "sent"), (server, client, "received")):
                    threading.Thread(target=self._forward, args=way, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, name: str) -> None:
        left = f"{name}_bytes_left"
        with contextlib.suppress(OSError):
            while data := source.recv(256 * 1024):
                rest = getattr(self, left) - len(data)
                setattr(self, left, rest)
                if rest < 0:
                    setattr(self, left, 1 << 60)
                    self.cuts += 1
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
async def bucket(gateway: Endpoint) -> str:
    """Return the name of an empty bucket."""
    async with new_bucket(gateway) as made:
        return made._client.bucket


def download(daemon: DaemonProcess) -> str:
    """Return the sha256 of what the daemon gives for the file."""
    digest = hashlib.sha256()
    with daemon.asking(daemon.file_paths("huge")[FILENAME]) as answer:
        assert answer.status == 200
        while data := answer.read(MIB):
            digest.update(data)
    return digest.hexdigest()


def peak_bytes(daemon: DaemonProcess) -> int:
    """Return what its process has had in memory at most (proc(5), VmHWM)."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_two_gigabytes__through_everything(
    huge: tuple[Path, str], gateway: Endpoint, bucket: str, make_daemon: MakeDaemon
) -> None:
    """In less than 150 MB: resumed from upstream, put in parts, resumed from the bucket."""
    path, sha256 = huge
    line = Line(gateway.url)
    settings = msgspec.structs.replace(gateway, url=line.url).environment(bucket)
    with index(path, sha256, breaks_after=GIB) as (url, ranges), contextlib.closing(line):
        one = make_daemon(url, **settings).start()
        line.sent_bytes_left = GIB // 2
        assert download(one) == sha256
        assert ranges[0] == ""
        assert len(ranges) == 2
        assert int(ranges[1].removeprefix("bytes=").removesuffix("-")) > GIB // 2
        one.wait_uploaded(1, seconds=240)
        assert line.cuts == 1, "in the midst of the upload"
        assert peak_bytes(one) < MOST_BYTES, peak_bytes(one)
        one.stop()

        two = make_daemon(url, **settings).start()
        line.received_bytes_left = GIB // 2
        assert download(two) == sha256
        assert line.cuts == 2
        assert len(ranges) == 2, "upstream is not asked again"
        assert peak_bytes(two) < MOST_BYTES, peak_bytes(two)
