"""The index that targets fetch from: files of a directory, with a settable delay and rate.

It is a process of its own, with a thread per connection and `sendfile`, so that it takes next to
nothing of the two cores that are measured. Pages and files have origins of their own, as on PyPI.
A project page is `simple/PROJECT/index.json` with `index.json.gz` beside it, or `index.html` alone,
as of an index that speaks nothing else. It is told what to do, and tells what it saw, by lines of
JSON on stdin and stdout. Moments are `time.monotonic()`, which all processes of a host share.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

import msgspec

from bench.processes import REPOSITORY, end

# A paced body leaves in steps of this length.
STEP_SECONDS = 0.01
HEAD_LIMIT_BYTES = 64 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")
_TYPES = {
    ".json": "application/vnd.pypi.simple.v1+json",
    ".html": "text/html; charset=utf-8",
    ".metadata": "text/plain; charset=utf-8",
}


class Pace(msgspec.Struct, frozen=True):
    """How an answer comes: after `delay` seconds; files at `rate` bytes a second, 0 for all."""

    delay: float = 0.0
    rate: float = 0.0


class Seen(msgspec.Struct):
    """One request and how its answer went."""

    method: str
    path: str
    at: float
    status: int = 0
    first_byte_at: float = 0.0
    sent_bytes: int = 0
    finished_at: float = 0.0


class Order(msgspec.Struct, frozen=True):
    """What the upstream is told: a new pace, or to tell (and forget) what it saw."""

    pace: Pace | None = None


class Upstream:
    """The handle: `with` runs the process; `pages` and `files` are its two `host:port`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.pages = self.files = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.upstream", str(self._directory)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pages, self.files = msgspec.json.decode(self._answer(), type=tuple[str, str])
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    @property
    def index_url(self) -> str:
        """What a cache is configured with."""
        return f"http://{self.pages}/simple/"

    def pace(self, delay: float = 0.0, rate: float = 0.0) -> None:
        """Let every answer that begins from now on come so."""
        self._tell(Order(Pace(delay, rate)))

    def take_seen(self) -> list[Seen]:
        """Return the requests since the last call."""
        return msgspec.json.decode(self._tell(Order()), type=list[Seen])

    def _tell(self, order: Order) -> bytes:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the upstream has failed")
        return line


class _Site:
    """What is served, how, and what was seen; shared by all threads, which only add to a list."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pace = Pace()
        self.seen: list[Seen] = []

    def find(self, path: str, *, compressed: bool) -> tuple[Path, dict[str, str]] | None:
        """Return the file for a path and the headers that are its own."""
        if ".." in path:
            return None
        place = self.directory / path.lstrip("/")
        if path.endswith("/"):
            place = next(
                (p for n in ("json", "html") if (p := place / f"index.{n}").exists()), place
            )
        if not place.is_file():
            return None
        headers = {"Content-Type": _TYPES.get(place.suffix, "application/octet-stream")}
        if path.startswith("/simple/"):
            headers |= {"Cache-Control": "max-age=600, public", "Vary": "Accept, Accept-Encoding"}
            gz = place.with_name(place.name + ".gz")
            if compressed and gz.exists():
                place, headers["Content-Encoding"] = gz, "gzip"
        else:
            headers["Cache-Control"] = "max-age=365000000, immutable, public"
        known = place.stat()
        headers["ETag"] = f'"{known.st_mtime_ns:x}-{known.st_size:x}"'
        return place, headers


class _Connection:
    """One connection: a request, its answer, the next request."""

    def __init__(self, sock: socket.socket, site: _Site) -> None:
        self._sock = sock
        self._site = site
        self._buffer = b""

    def run(self) -> None:
        """Serve until the peer leaves."""
        with self._sock, contextlib.suppress(OSError):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (head := self._read_head()) and self._answer(head):
                pass

    def _read_head(self) -> str:
        while b"\r\n\r\n" not in self._buffer:
            received = self._sock.recv(HEAD_LIMIT_BYTES)
            if not received or len(self._buffer) > HEAD_LIMIT_BYTES:
                return ""
            self._buffer += received
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def _answer(self, head: str) -> bool:
        """Answer, and tell whether the connection goes on."""
        pace = self._site.pace
        request_line, *lines = head.split("\r\n")
        method, target, _ = request_line.split(" ", 2)
        asked = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        going_on = asked.get("connection", "").lower() != "close"
        seen = Seen(method, unquote(target.partition("?")[0]), time.monotonic())
        self._site.seen.append(seen)
        time.sleep(pace.delay)
        found = self._site.find(seen.path, compressed="gzip" in asked.get("accept-encoding", ""))
        if found is None:
            self._send_head(seen, 404, {"Content-Length": "0"}, more=False)
            return going_on
        place, headers = found
        if asked.get("if-none-match") == headers["ETag"]:
            self._send_head(seen, 304, headers, more=False)
            return going_on
        size = place.stat().st_size
        start, stop = _range_of(asked.get("range", ""), size)
        status = 200 if (start, stop) == (0, size) else 206
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        headers |= {"Content-Length": str(stop - start), "Accept-Ranges": "bytes"}
        self._send_head(seen, status, headers, more=method == "GET")
        if method == "GET":
            rate = 0.0 if seen.path.startswith("/simple/") else pace.rate
            self._send_body(seen, place, start, stop, rate)
        seen.finished_at = time.monotonic()
        return going_on

    def _send_head(self, seen: Seen, status: int, headers: dict[str, str], *, more: bool) -> None:
        seen.status = status
        lines = [f"HTTP/1.1 {status} ok", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
        self._sock.sendall("\r\n".join(lines).encode("latin-1"), socket.MSG_MORE if more else 0)
        seen.finished_at = time.monotonic()

    def _send_body(self, seen: Seen, place: Path, start: int, stop: int, rate: float) -> None:
        step = stop - start if not rate else max(1, int(rate * STEP_SECONDS))
        with place.open("rb") as file:
            began = time.monotonic()
            while start < stop:
                sent = os.sendfile(
                    self._sock.fileno(), file.fileno(), start, min(step, stop - start)
                )
                seen.first_byte_at = seen.first_byte_at or time.monotonic()
                start += sent
                seen.sent_bytes += sent
                if rate:
                    late = time.monotonic() - (began + seen.sent_bytes / rate)
                    # A peer that paused gets no burst afterwards.
                    began += late if late > 10 * STEP_SECONDS else 0.0
                    time.sleep(max(0.0, -late))


def _range_of(text: str, size: int) -> tuple[int, int]:
    """Return the bytes that a Range asks for; all of them for any but the plainest."""
    match = _RANGE.match(text)
    if match is None or match.groups() == ("", ""):
        return 0, size
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def _accept(listener: socket.socket, site: _Site) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_Connection(sock, site).run, daemon=True).start()


def main() -> None:
    """Serve until stdin is closed."""
    site = _Site(Path(sys.argv[1]))
    addresses = []
    for _ in range(2):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        addresses.append(f"127.0.0.1:{listener.getsockname()[1]}")
        threading.Thread(target=_accept, args=(listener, site), daemon=True).start()
    _say(addresses)
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        if order.pace is not None:
            site.pace = order.pace
            _say(None)
        else:
            seen, site.seen = site.seen, []
            _say(seen)


def _say(what: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
