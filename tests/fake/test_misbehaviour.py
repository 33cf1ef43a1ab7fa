"""The fake index goes wrong exactly as it says, and ends cleanly whatever was going on."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import time

import aiohttp
import pytest

from tests.fake import (
    DistFile,
    FakeUpstream,
    make_wheel,
)


async def _read_raw(url: str, *headers: str) -> tuple[bytes, bytes, BaseException | None]:
    """Return head, body and how the connection ended, of one GET on a bare socket."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    lines = [f"GET /{path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    received, error = b"", None
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        while piece := await reader.read(65536):
            received += piece
    except ConnectionError as broken:
        error = broken
    finally:
        writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body, error


async def test_fault__queue(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """Counted rules strike one request each, oldest first, and only their method."""
    upstream.fault("*.whl", "status", times=1, method="GET", code=503, headers={"Retry-After": "1"})
    upstream.fault("*.whl", "status", times=1, method="GET", code=404)
    upstream.fault("*.whl", "header", name="X-Always", value="yes")
    seen = []
    for method in ("HEAD", "GET", "GET", "GET"):
        async with client.request(method, upstream.url_of(wheel)) as response:
            seen.append((response.status, response.headers["X-Always"]))
    assert seen == [(200, "yes"), (503, "yes"), (404, "yes"), (200, "yes")]
    with pytest.raises(ValueError, match="no such fault"):
        upstream.fault("*", "nonsense")


@pytest.mark.parametrize("size_bytes", [30_000, 300_000])
@pytest.mark.parametrize(
    ("kind", "error"), [("reset_after", ConnectionResetError), ("close_after", type(None))]
)
async def test_fault__cut(
    upstream: FakeUpstream, kind: str, error: type[BaseException], size_bytes: int
) -> None:
    """A cut lets exactly n bytes arrive under the full length, then comes RST or FIN."""
    wheel = make_wheel("beta", size_bytes=size_bytes)
    upstream.add("beta", wheel)
    upstream.fault("*.whl", kind, n=12_345)
    head, body, ending = await _read_raw(upstream.url_of(wheel))
    assert f"Content-Length: {len(wheel.body)}".encode() in head
    assert body == wheel.body[:12_345]
    assert isinstance(ending, error)


async def test_fault__reset_of_a_slow_reader(upstream: FakeUpstream, wheel: DistFile) -> None:
    """A reset waits for bytes still queued in our kernel, so that n of them arrive even slowly."""
    upstream.fault("*.whl", "reset_after", n=200_000)
    sock = socket.socket()
    # The smallest receive buffer that Linux gives: most of the body has to queue at the sender.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
    sock.setblocking(False)
    with sock:
        loop = asyncio.get_running_loop()
        address = upstream.files_origin.removeprefix("http://").split(":")
        await loop.sock_connect(sock, (address[0], int(address[1])))
        path = upstream.url_of(wheel).removeprefix(upstream.files_origin)
        await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\n\r\n".encode())
        received, piece = b"", b" "
        with contextlib.suppress(ConnectionResetError):
            while piece:
                piece = await loop.sock_recv(sock, 65536)
                received += piece
    assert piece, "it ended by FIN"
    assert received.partition(b"\r\n\r\n")[2] == wheel.body[:200_000]


async def test_fault__hang(upstream: FakeUpstream, wheel: DistFile) -> None:
    """A hanging index has taken the request, or sent n bytes, and then says nothing at all."""
    upstream.fault("*.whl", "hang", times=1)
    upstream.fault("*.whl", "hang_body_after", times=1, n=1000)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_read_raw(upstream.url_of(wheel)), 0.1)
    assert upstream.requests[0].first_byte_at is None
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_read_raw(upstream.url_of(wheel)), 0.1)
    assert upstream.requests[1].sent_bytes == 1000


async def test_fault__reset(upstream: FakeUpstream, wheel: DistFile) -> None:
    """A resetting index takes the request and answers with RST alone, a conditional one too."""
    upstream.fault("*.whl", "reset")
    for condition in ("X-None: 1", "If-None-Match: *"):
        head, body, error = await _read_raw(upstream.url_of(wheel), condition)
        assert (head, body, type(error)) == (b"", b"", ConnectionResetError)


async def test_fault__content(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """Wrong, short, long, garbled and encoded bodies each differ as they say, length matching."""
    for kind in ("wrong_bytes", "short", "long", "garbage", "gzip_encoded"):
        upstream.fault("*.whl", kind, times=1)
    bodies = []
    for _ in range(5):
        async with client.get(upstream.url_of(wheel)) as response:
            bodies.append(await response.read())
    wrong, short, long, garbage, encoded = bodies
    assert len(wrong) == len(wheel.body)
    assert sum(a != b for a, b in zip(wrong, wheel.body, strict=True)) == 1
    assert short == wheel.body[:-1]
    assert long == wheel.body + b"\0"
    assert len(garbage) == 1000
    assert gzip.decompress(encoded) == wheel.body


@pytest.mark.parametrize("how", ["chunked", "close"])
async def test_fault__no_length(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile, how: str
) -> None:
    """Without a length the body still comes whole, chunked or up to the end of the connection."""
    upstream.fault("*.whl", "no_length", how=how)
    for _ in range(2):
        async with client.get(upstream.url_of(wheel)) as response:
            assert "Content-Length" not in response.headers
            assert await response.read() == wheel.body


async def test_fault__ignore_range_and_type(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """A range can be answered whole, and the type can be a lie."""
    upstream.fault("*.whl", "ignore_range")
    upstream.fault("*.whl", "wrong_type", content_type="text/html")
    async with client.get(upstream.url_of(wheel), headers={"Range": "bytes=5-9"}) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert await response.read() == wheel.body


async def test_fault__throttle(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """A throttled body arrives whole and takes at least its length by its rate."""
    upstream.fault("*.whl", "throttle", rate=1_000_000)
    started_at = time.monotonic()
    async with client.get(upstream.url_of(wheel)) as response:
        assert await response.read() == wheel.body
    assert time.monotonic() - started_at >= 0.28


async def test_fault__delay(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """A delayed answer sends nothing before its time."""
    upstream.fault("*.whl", "delay", seconds=0.05)
    async with client.get(upstream.url_of(wheel)) as response:
        await response.read()
    [request] = upstream.requests
    assert (request.first_byte_at or 0) - request.at >= 0.05


async def test_hold__after_bytes(upstream: FakeUpstream, wheel: DistFile) -> None:
    """A gate stops each transfer at its byte until it is opened, and then holds nobody."""
    gate = upstream.hold("*.whl", after_bytes=70_000)
    transfers = [asyncio.create_task(_read_raw(upstream.url_of(wheel))) for _ in range(2)]
    await upstream.arrived("*.whl", count=2)
    await gate.reached()
    assert upstream.requests[0].sent_bytes == 70_000
    assert not transfers[0].done()
    gate.open()
    for _, body, _ in await asyncio.gather(*transfers):
        assert body == wheel.body
    assert gate.waiting == 0


async def test_hold__before_status_line(upstream: FakeUpstream, wheel: DistFile) -> None:
    """A gate without a position holds the whole answer, and `heal` opens it."""
    gate = upstream.hold("/simple/alpha/")
    answer = asyncio.create_task(_read_raw(upstream.url + "alpha/"))
    await gate.reached()
    assert upstream.requests[0].first_byte_at is None
    upstream.heal()
    head, _, _ = await answer
    assert head.startswith(b"HTTP/1.1 200 ")


async def test_stop__during_transfers(upstream: FakeUpstream, wheel: DistFile) -> None:
    """Stopping breaks open transfers, refuses new ones, and starting again has the same address."""
    gate = upstream.hold("*.whl", after_bytes=10)
    transfer = asyncio.create_task(_read_raw(upstream.url_of(wheel)))
    await gate.reached()
    await upstream.stop()
    _, body, _ = await transfer
    assert len(body) == 10
    with pytest.raises(ConnectionRefusedError):
        await _read_raw(upstream.url_of(wheel))
    upstream.heal()
    await upstream.start()
    _, body, _ = await _read_raw(upstream.url_of(wheel))
    assert body == wheel.body


async def test_stop__own_mistake() -> None:
    """A mistake inside the index fails the test that hit it instead of looking like an outage."""

    async def ask_wrongly() -> None:
        async with FakeUpstream() as upstream:
            upstream.fault("*", "status", nonsense=1)
            await _read_raw(upstream.url)

    with pytest.raises(TypeError, match="nonsense"):
        await ask_wrongly()
