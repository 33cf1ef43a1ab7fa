"""Sending bytes that are on disk, or still on their way there, to one client.

Whole parts go by `sendfile`, without passing through Python. Each part has an idle time-out, so a
client that stops reading is let go; a slow one is not: parts are small until it proves fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from io import FileIO

from aiohttp import web

from pypicached.cache.download import Download
from pypicached.web.exchange import ClientGoneError, Exchange
from pypicached.web.flowing import Flow

IDLE_SECONDS = 60.0
# A first part that takes the whole idle time is a client of 4 KB/s: slower ones are let go.
FIRST_PART_BYTES = 256 * 1024
LARGEST_PART_BYTES = 64 * 1024 * 1024
QUICK_SECONDS = 1.0
# Bodies of unknown length are framed by aiohttp, so these bytes do pass through Python.
CHUNK_BYTES = 256 * 1024
# Ready-made bodies above this are sent by `send_body`, and so much at a time waits for one client.
PIECE_BYTES = 64 * 1024
# For a client that keeps up: each piece costs a system call and a timer.
LARGER_PIECE_BYTES = 512 * 1024


class Sender:
    """Sends parts of one open file to one client. Used by one task, and closed by it."""

    def __init__(self, request: web.BaseRequest, fd: int) -> None:
        self._request = request
        self._fd = fd
        self._flow: Flow | None = None
        self._part_bytes = FIRST_PART_BYTES

    def close(self) -> None:
        """Let go of the connection; the file stays the caller's."""
        if self._flow is not None:
            self._flow.close()

    async def send(self, start: int, stop: int) -> None:
        """Send the bytes from `start` to `stop`; ClientGoneError if they cannot be."""
        while start < stop:
            part = min(self._part_bytes, stop - start)
            began = time.monotonic()
            await self._send_part(start, part)
            if time.monotonic() - began < QUICK_SECONDS:
                self._part_bytes = min(self._part_bytes * 4, LARGEST_PART_BYTES)
            start += part

    async def _send_part(self, start: int, count: int) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ClientGoneError
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                sent = await self._pass(transport, start, count)
        except (ConnectionError, TimeoutError) as error:
            raise ClientGoneError from error
        if sent < count:
            raise OSError(f"the file ended {count - sent} bytes early")

    async def _pass(self, transport: asyncio.Transport, start: int, count: int) -> int:
        if transport.get_write_buffer_size():
            # The head is still on its way: asyncio knows how to wait for that.
            with FileIO(self._fd, "rb", closefd=False) as file:
                loop = asyncio.get_running_loop()
                return await loop.sendfile(transport, file, start, count)
        if self._flow is None:
            self._flow = Flow(transport)
        return await self._flow.send(self._fd, start, count)


async def send_stored(request: web.BaseRequest, fd: int, start: int, stop: int) -> None:
    """Send a part of a stored blob."""
    with contextlib.closing(Sender(request, fd)) as sender:
        await sender.send(start, stop)


async def send_growing(request: web.BaseRequest, download: Download, start: int, stop: int) -> None:
    """Send a part of a running download as its bytes are released.

    Raises what the download fails with, ClientGoneError.
    """
    fd = download.open_reader()
    try:
        with contextlib.closing(Sender(request, fd)) as sender:
            while start < stop:
                reach = min(await download.wait_beyond(start), stop)
                await sender.send(start, reach)
                start = reach
    finally:
        os.close(fd)


async def write_growing(response: web.StreamResponse, download: Download) -> None:
    """Send a whole download of unknown length, framed in chunks."""
    fd = download.open_reader()
    try:
        start = 0
        while (reach := await download.wait_beyond(start)) > start:
            data = os.pread(fd, min(CHUNK_BYTES, reach - start), start)
            await write(response, data)
            start += len(data)
    finally:
        os.close(fd)


async def send_body(exchange: Exchange, whole: web.Response) -> web.StreamResponse:
    """Send a large ready-made body from within the handler, in pieces of a memory all share.

    aiohttp would write it after the handler has returned: without an idle time-out, copied for
    each client, and unseen by a stop that waits for running answers.
    """
    body = whole.body
    assert isinstance(body, bytes)
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    await exchange.prepare(response)
    if not exchange.bodiless:
        view, start, piece = memoryview(body), 0, PIECE_BYTES
        while start < len(view):
            await write(response, view[start : start + piece])
            start += piece
            # What the kernel has taken costs us no memory, however long the client takes.
            piece = LARGER_PIECE_BYTES if _all_taken(exchange.request) else PIECE_BYTES
    return response


def _all_taken(request: web.BaseRequest) -> bool:
    transport = request.transport
    return transport is not None and transport.get_write_buffer_size() == 0


async def write(response: web.StreamResponse, data: bytes | memoryview) -> None:
    """Write to a client that must take it within the idle time."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            await response.write(data)
    except (ConnectionError, TimeoutError) as error:
        raise ClientGoneError from error


def cut_off(request: web.BaseRequest) -> None:
    """Break the connection so that no client takes a part for the whole.

    A handler that merely returns short would leave the client waiting for ever.
    """
    if request.transport is not None:
        request.transport.abort()
