"""Files into connections: whole, in turns, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pypicached.web import flowing
from pypicached.web.flowing import Flow

LENGTH = 8 * 1024 * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(random.Random(1).randbytes(LENGTH))
    return path


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[
    tuple[asyncio.Transport, asyncio.StreamReader, asyncio.StreamWriter]
]:
    """Yield our transport, and both sides of who is connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    try:
        yield transport, reader, writer
    finally:
        transport.abort()
        writer.close()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_send__whole_file_and_part(file: Path) -> None:
    """What arrives is the part of the file asked for; a slow reader changes nothing."""
    fd = os.open(file, os.O_RDONLY)
    async with connected() as (transport, reader, _):
        with contextlib.closing(Flow(transport)) as flow:
            for start, count in ((0, LENGTH), (12345, 3_000_000)):
                sending = asyncio.create_task(flow.send(fd, start, count))
                received = await reader.readexactly(count)
                assert await sending == count
                assert received == file.read_bytes()[start : start + count]
    os.close(fd)


async def test_send__file_ends_early(file: Path) -> None:
    """The number of bytes that there were is returned, and no error is made of it."""
    fd = os.open(file, os.O_RDONLY)
    async with connected() as (transport, reader, _):
        with contextlib.closing(Flow(transport)) as flow:
            assert await flow.send(fd, LENGTH - 1000, 5000) == 1000
            assert len(await reader.readexactly(1000)) == 1000
    os.close(fd)


async def test_send__holds_back_nothing(file: Path) -> None:
    """A part that fills no segment arrives at once: the cork is off when `send` returns."""
    fd = os.open(file, os.O_RDONLY)
    async with connected() as (transport, reader, _):
        with contextlib.closing(Flow(transport)) as flow:
            assert await flow.send(fd, 0, 100) == 100
            ours = transport.get_extra_info("socket")
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 0
            assert await reader.readexactly(100) == file.read_bytes()[:100]
    os.close(fd)


async def test_send__client_leaves(file: Path) -> None:
    """A client that is gone is a ConnectionError, and nothing of its connection stays open."""
    fd = os.open(file, os.O_RDONLY)
    async with connected() as (transport, reader, writer):
        before = open_descriptors()
        with contextlib.closing(Flow(transport)) as flow:
            sending = asyncio.create_task(flow.send(fd, 0, LENGTH))
            await reader.readexactly(1000)
            writer.transport.abort()
            with pytest.raises(ConnectionError):
                await sending
        assert open_descriptors() <= before
    os.close(fd)


async def test_send__we_close(file: Path) -> None:
    """A connection that our side has given up gets no more than was on its way."""
    fd = os.open(file, os.O_RDONLY)
    async with connected() as (transport, reader, _):
        with contextlib.closing(Flow(transport)) as flow:
            sending = asyncio.create_task(flow.send(fd, 0, LENGTH))
            received = len(await reader.readexactly(1000))
            transport.abort()
            while not sending.done():
                received += len(await reader.read(100_000))
            with pytest.raises(ConnectionError):
                await sending
        received += len(await reader.read())
        assert received < LENGTH
    os.close(fd)


async def test_send__one_fast_client_leaves_turns(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast a client takes it, one call passes on no more than a piece."""
    fd = os.open(file, os.O_RDONLY)
    monkeypatch.setattr(flowing, "PIECE_BYTES", 1000)
    async with connected() as (transport, reader, _):
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        with contextlib.closing(Flow(transport)) as flow:
            assert await flow.send(fd, 0, 50_000) == 50_000
        beside.cancel()
        await reader.readexactly(50_000)
        assert turns >= 49
    os.close(fd)
