"""`sendfile` that lets other clients have their turn, and sends full segments only.

`loop.sendfile` returns when the kernel takes no more: to a client on a fast link that is the whole
file, in one call that holds up the event loop. And each of its pieces leaves at once, as aiohttp
sets TCP_NODELAY; corked (tcp(7)), a third of the processor time per byte is spared. The socket is
watched by a descriptor of its own: one that a transport uses may not be watched by others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

# What one call passes on at most: a client that takes it as fast as we give it would hold up all
# the others until the whole file is through.
PIECE_BYTES = 2 * 1024 * 1024


class Flow:
    """The way of files into one connection. Used by one task at a time, and closed by it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._fd = os.dup(self._socket.fileno())
        self._file = -1
        self._at = self._stop = 0
        self._done: asyncio.Future[None] | None = None

    def close(self) -> None:
        """Let go of the connection, which stays as it is."""
        os.close(self._fd)

    async def send(self, fd: int, start: int, count: int) -> int:
        """Send so many bytes of a file; return how many there were of them.

        What the transport was given before has left it. That our side has closed is noticed when
        the client takes something. Raises ConnectionError, and
        OSError if the file cannot be read.
        """
        self._file, self._at, self._stop = fd, start, start + count
        self._done = self._loop.create_future()
        self._cork(on=True)
        self._loop.add_writer(self._fd, self._on_writable)
        try:
            self._on_writable()
            await self._done
        finally:
            self._loop.remove_writer(self._fd)
            self._cork(on=False)
        return self._at - start

    def _cork(self, *, on: bool) -> None:
        # A connection that has broken says so when it is written to.
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, int(on))

    def _on_writable(self) -> None:
        done = self._done
        if done is None or done.done():
            return
        if self._transport.is_closing():
            done.set_exception(ConnectionResetError("the connection was closed"))
            return
        try:
            count = min(PIECE_BYTES, self._stop - self._at)
            sent = os.sendfile(self._fd, self._file, self._at, count)
        except BlockingIOError:
            return
        except OSError as error:
            done.set_exception(error)
            return
        self._at += sent
        if sent == 0 or self._at == self._stop:
            done.set_result(None)
