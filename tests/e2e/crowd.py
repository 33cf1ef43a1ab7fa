"""Clients that mean no good, by the hundred, in one thread: bare sockets without a protocol.

They are non-blocking, and `stir` gives each the little attention that it needs.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

SMALL_BUFFER_BYTES = 4096


class Crowd:
    """A number of connections to one daemon; `with` closes them all."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._address = (where.hostname or "", where.port or 0)
        self._all: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._all:
            one.close()

    def join(self, count: int, first: bytes = b"", *, deaf: bool = False) -> list[socket.socket]:
        """Connect, and send the first bytes. A deaf one has room for next to no answer."""
        return [self._connect(first, deaf=deaf) for _ in range(count)]

    def _connect(self, first: bytes, *, deaf: bool) -> socket.socket:
        one = socket.socket()
        self._all.append(one)
        if deaf:
            # Must stand before the connection: the window is announced with it.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        one.settimeout(20)
        one.connect(self._address)
        one.sendall(first)
        one.setblocking(False)
        return one


def drip(senders: list[socket.socket], byte: bytes = b"a") -> None:
    """Send a byte each; some connections may be closed by now."""
    for sender in senders:
        with contextlib.suppress(OSError):
            sender.send(byte)


def closed(clients: list[socket.socket]) -> Iterator[socket.socket]:
    """Yield those whose connection the daemon has ended; what it sent is read and dropped."""
    for client in clients:
        try:
            while client.recv(65536):
                pass
        except BlockingIOError:
            continue
        except OSError:
            pass
        yield client
