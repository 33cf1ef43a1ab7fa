"""HTTP/1.1 on bare sockets: read requests, deliver replies, well or as badly as the reply says.

Bare sockets rather than asyncio transports, because here it matters how many bytes have left, and
whether a connection ends by FIN or by RST. Bodies go out from memory without a copy.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import itertools
import socket
import struct
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, Protocol
from urllib.parse import unquote

HEAD_LIMIT_BYTES = 64 * 1024
# A throttled body leaves in steps of this length.
PACE_SECONDS = 0.01
# A reset may overtake bytes that the peer has not taken yet: how long we wait for it to take them.
LINGER_SECONDS = 2.0


@dataclass(slots=True)
class Request:
    """One request as it came in; header names are lower case, moments are `time.monotonic()`.

    `path` is percent-decoded and without query, `raw_path` is what was sent. `origin` is the
    listener that it came to, `nth` counts the requests of its connection from 1 on. The last three
    fields tell how its answer went.
    """

    method: str
    path: str
    raw_path: str
    headers: dict[str, str]
    at: float
    origin: Literal["pages", "files"] = "pages"
    nth: int = 1
    first_byte_at: float | None = None
    sent_bytes: int = 0
    finished_at: float | None = None


class Stop(Protocol):
    """A point of a transfer at which it waits; None is before the status line."""

    after_bytes: int | None

    async def wait(self) -> None:
        """Return when the transfer may go on."""


@dataclass(slots=True)
class Reply:
    """What to answer and how to deliver it.

    `rate` is in bytes per second; the body ends at `cut_at` by `ending`: "fin" and "reset" end the
    connection, "hang" keeps it open until the peer leaves. `silent` comes to that ending without
    a single byte.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | memoryview = b""
    framing: Literal["length", "chunked", "close"] = "length"
    delay_seconds: float = 0.0
    rate: int | None = None
    cut_at: int | None = None
    ending: Literal["fin", "reset", "hang"] = "fin"
    silent: bool = False
    stops: Sequence[Stop] = ()


class Connection:
    """One accepted connection: requests in, replies out, one at a time; owns and closes `sock`."""

    def __init__(
        self,
        sock: socket.socket,
        origin: Literal["pages", "files"],
        answer: Callable[[Request], Reply],
    ) -> None:
        self._sock = sock
        self._origin = origin
        self._answer = answer
        self._buffer = b""
        self._requests = 0
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Serve until either side ends; a peer that breaks off is no error."""
        with self._sock, contextlib.suppress(OSError):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (request := await self._read_request()) is not None:
                if not await self._deliver(request, self._answer(request)):
                    return

    async def _read_request(self) -> Request | None:
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > HEAD_LIMIT_BYTES or not await self._receive():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        request = parse_head(head, self._origin)
        self._requests += 1
        request.nth = self._requests
        length = int(request.headers.get("content-length", "0"))
        while len(self._buffer) < length:
            if not await self._receive():
                return None
        self._buffer = self._buffer[length:]
        return request

    async def _receive(self) -> bool:
        received = await self._loop.sock_recv(self._sock, 64 * 1024)
        self._buffer += received
        return bool(received)

    async def _deliver(self, request: Request, reply: Reply) -> bool:
        """Send the reply; return whether the connection can take another request."""
        if reply.silent:
            await self._end_badly(reply)
            return False
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        await _pass(reply.stops, None)
        bodiless = request.method == "HEAD" or reply.status in {204, 304}
        body = memoryview(b"" if bodiless else reply.body)
        head = _render_head(request, reply)
        complete = await self._send_reply(request, reply, head, body, bodiless=bodiless)
        if not complete:
            await self._end_badly(reply)
            return False
        request.finished_at = time.monotonic()
        return reply.framing != "close" and request.headers.get("connection", "") != "close"

    async def _send_reply(
        self, request: Request, reply: Reply, head: bytes, body: memoryview, *, bodiless: bool
    ) -> bool:
        """Send head and body up to the cut; return whether that was all of it."""
        chunked = reply.framing == "chunked" and not bodiless
        request.first_byte_at = time.monotonic()
        if len(body) <= HEAD_LIMIT_BYTES and not (reply.stops or reply.rate or chunked):
            cut = len(body) if reply.cut_at is None else min(reply.cut_at, len(body))
            await self._loop.sock_sendall(self._sock, head + bytes(body[:cut]))
            request.sent_bytes = cut
            return bodiless or reply.cut_at is None
        await self._loop.sock_sendall(self._sock, head)
        for start, end in _segments(len(body), reply):
            await _pass(reply.stops, start)
            await self._send_part(request, body[start:end], reply.rate, chunked=chunked)
        if reply.cut_at is not None and not bodiless:
            await _pass(reply.stops, reply.cut_at)
            return False
        await _pass(reply.stops, len(body))
        if chunked:
            await self._loop.sock_sendall(self._sock, b"0\r\n\r\n")
        return True

    async def _send_part(
        self, request: Request, part: memoryview, rate: int | None, *, chunked: bool
    ) -> None:
        if chunked:
            await self._loop.sock_sendall(self._sock, b"%x\r\n" % len(part))
        if rate is None:
            await self._loop.sock_sendall(self._sock, part)
            request.sent_bytes += len(part)
        else:
            await self._send_paced(request, part, rate)
        if chunked:
            await self._loop.sock_sendall(self._sock, b"\r\n")

    async def _send_paced(self, request: Request, part: memoryview, rate: int) -> None:
        started_at, sent = self._loop.time(), 0
        step = max(1, int(rate * PACE_SECONDS))
        while sent < len(part):
            piece = part[sent : sent + step]
            await self._loop.sock_sendall(self._sock, piece)
            sent += len(piece)
            request.sent_bytes += len(piece)
            late = self._loop.time() - (started_at + sent / rate)
            # A peer that paused gets no burst afterwards: the schedule moves along with it.
            started_at += late if late > 10 * PACE_SECONDS else 0.0
            await asyncio.sleep(max(0.0, -late))

    async def _end_badly(self, reply: Reply) -> None:
        if reply.ending == "hang":
            await self._wait_for_peer_to_leave()
        elif reply.ending == "reset":
            await self._wait_until_taken()
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def _wait_for_peer_to_leave(self) -> None:
        while await self._receive():
            self._buffer = b""

    async def _wait_until_taken(self) -> None:
        """Wait until the peer's kernel has every byte: a reset throws away what is still ours."""
        give_up_at = self._loop.time() + LINGER_SECONDS
        unsent = array.array("i", [1])
        while unsent[0] and self._loop.time() < give_up_at:
            fcntl.ioctl(self._sock, termios.TIOCOUTQ, unsent)
            await asyncio.sleep(0.001 if unsent[0] else 0)


def parse_head(head: bytes, origin: Literal["pages", "files"] = "pages") -> Request:
    """Parse a request line and its header fields (RFC 9112 §3, §5)."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = request_line.split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(method, unquote(target.split("?")[0]), target, headers, time.monotonic(), origin)


def _render_head(request: Request, reply: Reply) -> bytes:
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    headers = {"Server": "fake-index"} | reply.headers
    if reply.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    elif reply.framing == "close":
        headers["Connection"] = "close"
    elif reply.status not in {204, 304}:
        headers.setdefault("Content-Length", str(len(reply.body)))
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _segments(length: int, reply: Reply) -> list[tuple[int, int]]:
    """Split a body at its stops; nothing lies beyond the cut."""
    end = length if reply.cut_at is None else min(reply.cut_at, length)
    points = {stop.after_bytes for stop in reply.stops if stop.after_bytes is not None}
    edges = sorted({0, end} | {point for point in points if point < end})
    return list(itertools.pairwise(edges))


async def _pass(stops: Sequence[Stop], position: int | None) -> None:
    for stop in stops:
        if stop.after_bytes == position:
            await stop.wait()
