"""What is answered before aiohttp hears of it is answered as aiohttp would have it answered.

Each request is sent twice: alone, so that it is answered at once, and with another one in the same
packet, so that it goes the long way. Status, headers and body are the same, and so is what is
counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import pytest
from aiohttp.web_protocol import RequestHandler

from pypicached.policy import Rules
from pypicached.requirement import parse_requirement
from pypicached.web.app import PublicApp
from pypicached.web.at_once import Parser
from pypicached.web.sending import PIECE_BYTES
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Clock, Running, running

WHEEL = make_wheel("alpha", size_bytes=20_000)
LARGE = make_wheel("large", size_bytes=2 * PIECE_BYTES)
PIP = (
    "User-Agent: pip/26.0 {}\r\nAccept-Encoding: gzip, deflate\r\n"
    f"Accept: {JSON}, text/html; q=0.01\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n"
)


# What asyncio has a connection buffer before it asks to wait.
HIGH_WATER_BYTES = 64 * 1024
# Python 3.13 has the newer name.
UNSATISFIABLE = HTTPStatus(416).phrase


class Wire:
    """One connection, and which requests on it were answered at once."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, taken: list[bool]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.taken = taken

    async def send(self, data: bytes) -> None:
        """Send bytes in one packet."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, *, bodiless: bool = False) -> tuple[str, dict[str, str], bytes]:
        """Return status line, headers and body of an answer, without what differs each time."""
        async with asyncio.timeout(10):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.rstrip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            assert len(headers) == len(lines)
            length = 0 if bodiless else int(headers.get("Content-Length", "0"))
            body = await self._reader.readexactly(length)
        assert re.fullmatch(r"[0-9a-f]{6}-[0-9a-f]+", headers.pop("X-Request-Id"))
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers.pop("Date"))
        return status, headers, body

    async def settle(self) -> None:
        """Have aiohttp at the connection's next request: it goes the first one's way itself."""
        await self.send(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await self.answer(bodiless=True)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request that was offered was answered at once."""
    seen: list[bool] = []
    at_once = PublicApp.at_once

    def watched(*arguments: object) -> bytes | None:
        answer = at_once(*arguments)  # type: ignore[arg-type]
        seen.append(answer is not None)
        return answer

    monkeypatch.setattr(PublicApp, "at_once", watched)
    return seen


@contextlib.asynccontextmanager
async def wire(daemon: Running, taken: list[bool], *, settled: bool = True) -> AsyncIterator[Wire]:
    """Connect to the public listener."""
    port = int(daemon.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        one = Wire(reader, writer, taken)
        if settled:
            await one.settle()
        taken.clear()
        yield one
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def fill(daemon: Running, upstream: FakeUpstream) -> tuple[str, str]:
    """Publish, fetch everything into memory, and return the paths of both wheels."""
    upstream.add("alpha", WHEEL)
    upstream.add("large", LARGE)
    paths = []
    for project, wheel in (("alpha", WHEEL), ("large", LARGE)):
        url = await daemon.file_url(project, wheel.filename)
        paths.append(url.removeprefix(daemon.url))
        for path in (paths[-1], paths[-1] + ".metadata", f"/simple/{project}/"):
            while (await daemon.ask(path)).headers["Cache-Status"] != "pypicached; hit":
                pass
    return paths[0], paths[1]


def taken_by(daemon: Running) -> list[RequestHandler]:
    """Return the public listener's connections but for the harness's own, which is the oldest."""
    server = daemon.daemon._public_runner.server
    assert server is not None
    return server.connections[1:]


def request(path: str, headers: str = "", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()


SECOND = request("/healthz")

# Path (`FILE` for the wheel's), headers, status line.
AT_ONCE = {
    "page": ("/simple/alpha/", "", "HTTP/1.1 200 OK"),
    "page as pip asks": ("/simple/alpha/", PIP, "HTTP/1.1 200 OK"),
    "page of its index": ("/pypi/simple/alpha/", "", "HTTP/1.1 200 OK"),
    "page by query": ("/simple/alpha/?format=text/html", "", "HTTP/1.1 200 OK"),
    "page in absolute form": ("http://x/simple/alpha/", "", "HTTP/1.1 200 OK"),
    "unchanged page": ("/simple/alpha/", "If-None-Match: *\r\n", "HTTP/1.1 304 Not Modified"),
    "file": ("FILE", "", "HTTP/1.1 200 OK"),
    "sidecar": ("FILE.metadata", "", "HTTP/1.1 200 OK"),
    "unchanged file": ("FILE", "If-None-Match: *\r\n", "HTTP/1.1 304 Not Modified"),
    "range": ("FILE", "Range: bytes=5-9\r\n", "HTTP/1.1 206 Partial Content"),
    "range beyond": ("FILE", "Range: bytes=99999-\r\n", f"HTTP/1.1 416 {UNSATISFIABLE}"),
}


@pytest.mark.parametrize("case", AT_ONCE)
async def test_at_once__says_and_counts_what_the_long_way_does(
    case: str, daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """The same status line, headers and body, and the same counters."""
    file, _ = await fill(daemon, upstream)
    path, headers, status = AT_ONCE[case]
    asked = request(path.replace("FILE", file), headers)
    usage = daemon.parts.ledger.usage
    async with wire(daemon, taken) as one:
        await one.send(asked)  # what is rendered for the first time is not at hand
        await one.answer()
        await one.settle()
        taken.clear()
        before = usage.requests.copy(), usage.octets.copy()
        await one.send(asked)
        short = await one.answer()
        assert taken == [True]
        between = usage.requests.copy(), usage.octets.copy()
        await one.send(asked + SECOND)
        long = await one.answer()
        await one.answer()
        assert taken == [True]
    assert short == long
    assert short[0] == status
    assert between[0] - before[0] == usage.requests - between[0]
    assert between[1] - before[1] == usage.octets - between[1]
    assert (between[0] - before[0]).total() == 1


NOT_AT_ONCE = {
    "HEAD": request("/simple/alpha/", method="HEAD"),
    "no-cache": request("/simple/alpha/", "Cache-Control: no-cache\r\n"),
    "name to be normalized": request("/simple/Alpha/"),
    "no name": request("/simple/-/"),
    "project list": request("/simple/"),
    "unknown project": request("/simple/unknown/"),
    "no format": request("/simple/alpha/", "Accept: image/png\r\n"),
    "large file": request("LARGE"),
    "unknown file": request("/files/pypi/files.example/none-1.0-py3-none-any.whl"),
    "unknown index": request("/files/other/files.example/none-1.0-py3-none-any.whl"),
    "climbing": request("/files/pypi/files.example/../none-1.0-py3-none-any.whl"),
    "health": request("/healthz"),
    "another method": request("/simple/alpha/", method="DELETE"),
    "another protocol": request("/simple/alpha/", "Connection: upgrade\r\nUpgrade: h2c\r\n"),
    "last request": request("/simple/alpha/", "Connection: close\r\n"),
    "HTTP/1.0": b"GET /simple/alpha/ HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    "a body": request("/simple/alpha/", "Content-Length: 2\r\n") + b"{}",
}


@pytest.mark.parametrize("case", NOT_AT_ONCE)
async def test_at_once__leaves_what_is_not_plain_or_not_at_hand(
    case: str, daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """Whatever needs more than a look into memory is answered by the handlers alone."""
    _, large = await fill(daemon, upstream)
    async with wire(daemon, taken) as one:
        await one.send(NOT_AT_ONCE[case].replace(b"LARGE", large.encode()))
        await one.answer(bodiless=case == "HEAD")
        assert not any(taken)


async def test_at_once__one_after_the_other(
    daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """Requests that come one by one are all answered at once, and in their order."""
    file, _ = await fill(daemon, upstream)
    async with wire(daemon, taken) as one:
        for path in ("/simple/alpha/", file, file + ".metadata") * 5:
            await one.send(request(path))
            status, _, body = await one.answer()
            assert status == "HTTP/1.1 200 OK"
            assert (body == WHEEL.body) == (path == file)
        assert taken == [True] * 15


async def test_at_once__a_request_in_pieces(
    daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """What has not come whole is not answered yet; what begins behind it is not lost."""
    file, _ = await fill(daemon, upstream)
    whole = request(file)
    async with wire(daemon, taken) as one:
        for cut in (1, 20, len(whole) - 1):
            await one.send(whole[:cut])
            await asyncio.sleep(0.02)
            await one.send(whole[cut:] + whole[:5])
            assert (await one.answer())[2] == WHEEL.body
            await one.send(whole[5:])
            assert (await one.answer())[2] == WHEEL.body
        assert taken == [True] * 6


async def test_at_once__answers_keep_the_order_of_requests(
    daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """A ready answer waits for one before it that takes longer."""
    file, _ = await fill(daemon, upstream)
    upstream.add("slow", make_wheel("slow"))
    gate = upstream.hold("/simple/slow/*")
    async with wire(daemon, taken) as one:
        await one.send(request("/simple/slow/", f"Accept: {JSON}\r\n"))
        await upstream.arrived("/simple/slow/*")
        await one.send(request(file))
        await asyncio.sleep(0.05)
        gate.open()
        assert b'"slow"' in (await one.answer())[2]
        assert (await one.answer())[2] == WHEEL.body
        assert taken == [False]


async def test_at_once__nothing_more_for_who_does_not_read(
    daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """What is not read piles up no further than with aiohttp: to its bound, and one."""
    file, _ = await fill(daemon, upstream)
    held = []
    async with wire(daemon, taken) as one:
        (connection,) = taken_by(daemon)
        for number in range(1, 1001):
            await one.send(request(file))
            await asyncio.sleep(0.001)
            assert connection.transport is not None
            held.append(connection.transport.get_write_buffer_size())
            if len(taken) < number:
                break
        else:
            pytest.fail("everything was answered at once")
        assert 0 < max(held) <= HIGH_WATER_BYTES + 2 * len(WHEEL.body)
        for _ in range(number):
            assert (await one.answer())[2] == WHEEL.body


async def test_at_once__stops_with_the_daemon(
    daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """While the daemon stops, each answer asks its client to come back on a new connection."""
    await fill(daemon, upstream)
    async with wire(daemon, taken) as one:
        daemon.daemon._app.draining = True
        await one.send(request("/simple/alpha/"))
        _, headers, _ = await one.answer()
        assert headers["Connection"] == "close"
        assert taken == [False]


async def test_at_once__an_idle_connection_is_kept_from_its_last_answer_on(
    daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """The time of an idle connection begins anew with each answer."""
    await fill(daemon, upstream)
    async with wire(daemon, taken) as one:
        (connection,) = taken_by(daemon)
        before = connection._next_keepalive_close_time
        await asyncio.sleep(0.02)
        await one.send(request("/simple/alpha/"))
        await one.answer()
        assert taken == [True]
        assert connection._next_keepalive_close_time >= before + 0.02


async def test_at_once__who_may_not_connect_gets_nothing(
    tmp_path: Path, upstream: FakeUpstream, clock: Clock, taken: list[bool]
) -> None:
    """`allow_from` holds for ready answers too, and is said by the handlers."""
    allowed = ["10.0.0.0/8"]
    async with running(tmp_path, upstream.url, clock, server__allow_from=allowed) as daemon:
        upstream.add("alpha", WHEEL)
        async with wire(daemon, taken, settled=False) as one:
            # Until aiohttp awaits a connection's first request nothing is offered.
            await asyncio.sleep(0.05)
            await one.send(request("/simple/alpha/"))
            status, _, body = await one.answer()
        assert status.startswith("HTTP/1.1 403 ")
        assert b"allow_from" in body
        assert taken == [False]


async def test_at_once__other_rules_hold_at_once(
    daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """What a reload refuses is refused on a connection that was served until then."""
    file, _ = await fill(daemon, upstream)
    async with wire(daemon, taken) as one:
        for path in (file, file + ".metadata", "/simple/alpha/"):
            daemon.parts.gate.apply(Rules())
            await one.send(request(path))
            assert (await one.answer())[0] == "HTTP/1.1 200 OK"
            daemon.parts.gate.apply(Rules(deny=(parse_requirement("alpha"),)))
            await one.send(request(path))
            assert (await one.answer())[0].startswith("HTTP/1.1 403 ")
            assert taken[-1] is False


async def test_at_once__no_index_no_file(
    daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """Files of an index that a reload has taken away are not served from memory."""
    file, _ = await fill(daemon, upstream)
    async with wire(daemon, taken) as one:
        await one.send(request(file))
        await one.answer()
        assert taken == [True]
        daemon.daemon._app._files.terms = {}
        await one.send(request(file))
        assert (await one.answer())[0].startswith("HTTP/1.1 404 ")
        assert taken == [True, False]


async def test_at_once__is_logged(
    tmp_path: Path,
    upstream: FakeUpstream,
    clock: Clock,
    taken: list[bool],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The access log has a line for each, like any other."""
    async with running(tmp_path, upstream.url, clock, server__access_log=True) as daemon:
        await fill(daemon, upstream)
        async with wire(daemon, taken) as one:
            caplog.clear()
            with caplog.at_level("INFO", logger="pypicached.access"):
                await one.send(request("/simple/alpha/"))
                await one.answer()
            assert taken == [True]
    (record,) = [r for r in caplog.records if r.name == "pypicached.access"]
    assert record.getMessage().startswith("GET /simple/alpha/")


async def test_at_once__fetches_are_noted(
    daemon: Running, upstream: FakeUpstream, taken: list[bool]
) -> None:
    """`who` tells of files that were answered at once, with client and tool."""
    file, _ = await fill(daemon, upstream)
    async with wire(daemon, taken) as one:
        await one.send(request(file, PIP))
        await one.answer()
        assert taken == [True]
    await daemon.parts.ledger.usage.flush()
    everybody = (b"", b"\xff" * 16)
    audit = daemon.parts.ledger.audit
    rows = [
        (row.client, row.agent, row.filename, row.count)
        async for some in audit.of_project("alpha", everybody, 0.0, refused=False)
        for row in some
    ]
    assert ("127.0.0.1", "pip/26.0", WHEEL.filename, 1) in rows


def test_parser__gives_on_what_aiohttp_asks_of_it() -> None:
    """Whatever else aiohttp does with its parser, it does with the real one."""

    class Real:
        messages = 3

        def set_upgraded(self, value: bool) -> bool:
            return value

    parser = Parser(Real(), lambda *_: False)  # type: ignore[arg-type]
    assert parser.set_upgraded(True) is True
    assert parser.messages == 3
