"""Small hits all the time, in a process of its own: how many, and how long the longest took.

`python -m bench.scaling.hits` takes a `Load` as a line of JSON on stdin and asks, one request after
the other on each connection, until stdin is closed; then it gives its `Slot`s on stdout. Moments
are `time.monotonic()`, which all processes of a host share.
"""

from __future__ import annotations

import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import BinaryIO, Self

import msgspec

from bench.processes import REPOSITORY

SLOT_SECONDS = 0.05
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Load(msgspec.Struct, frozen=True):
    """Whom to ask for what; `pause_seconds` lie between an answer and the next request."""

    port: int
    paths: list[str]
    connections: int = 1
    pause_seconds: float = 0.0


class Slot(msgspec.Struct):
    """The answers that came in one slot of time, and the longest that one of them took."""

    began_at: float
    answers: int = 0
    worst_seconds: float = 0.0


class Hits:
    """The process, from its start until `end`."""

    def __init__(self, load: Load) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.scaling.hits"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(load) + b"\n")
        self._process.stdin.flush()

    def end(self) -> list[Slot]:
        """Stop asking; return what was seen."""
        out, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("the client of small hits has failed")
        return msgspec.json.decode(out, type=list[Slot])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def between(slots: Sequence[Slot], began_at: float, ended_at: float) -> list[Slot]:
    """Return the slots that lie in a time, whole."""
    return [s for s in slots if began_at <= s.began_at <= ended_at - SLOT_SECONDS]


def rate_of(slots: Sequence[Slot]) -> float:
    """Return answers a second."""
    return sum(slot.answers for slot in slots) / (len(slots) * SLOT_SECONDS) if slots else 0.0


def worst_of(slots: Sequence[Slot]) -> float:
    """Return the longest answer, in seconds."""
    return max((slot.worst_seconds for slot in slots), default=0.0)


class _Asking:
    """One connection: a request, its answer, the next request."""

    def __init__(self, load: Load, number: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", load.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = [
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in load.paths
        ]
        self._next = number
        self._asked_at = 0.0
        self._received = b""

    def ask(self) -> None:
        self._next += 1
        self._received = b""
        self._asked_at = time.monotonic()
        self.sock.sendall(self._requests[self._next % len(self._requests)])

    def receive(self) -> float | None:
        """Take what is there; return how long the answer took once it is whole."""
        received = self.sock.recv(256 * 1024)
        if not received:
            raise ConnectionError("the daemon closed the connection")
        self._received += received
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return None
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(head.decode("latin-1"))
        length = LENGTH.search(head + b"\r\n")
        assert length is not None
        if len(body) < int(length[1]):
            return None
        return time.monotonic() - self._asked_at


def run(load: Load, stop: BinaryIO) -> list[Slot]:
    """Ask until `stop` is closed at its other end."""
    slots = [Slot(time.monotonic())]
    with selectors.EpollSelector() as selector:
        for number in range(load.connections):
            asking = _Asking(load, number)
            selector.register(asking.sock, selectors.EVENT_READ, asking)
            asking.ask()
        selector.register(stop, selectors.EVENT_READ, None)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    return slots[1:]
                seconds = key.data.receive()
                if seconds is None:
                    continue
                now = time.monotonic()
                if now - slots[-1].began_at >= SLOT_SECONDS:
                    passed = int((now - slots[-1].began_at) / SLOT_SECONDS)
                    for _ in range(passed):
                        slots.append(Slot(slots[-1].began_at + SLOT_SECONDS))
                slots[-1].answers += 1
                slots[-1].worst_seconds = max(slots[-1].worst_seconds, seconds)
                if load.pause_seconds:
                    time.sleep(load.pause_seconds)
                key.data.ask()


if __name__ == "__main__":
    with open(0, "rb", buffering=0) as stdin:
        seen = run(msgspec.json.decode(stdin.readline(), type=Load), stdin)
    sys.stdout.buffer.write(msgspec.json.encode(seen))
