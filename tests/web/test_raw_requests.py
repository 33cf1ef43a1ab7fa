"""Bytes that are no proper request: a defined answer for each, and a sound connection after it.

A request that cannot be told apart from what follows it is refused with its connection: whatever
comes behind must not be read as a request (request smuggling, RFC 9112 §11.2). Behind a proper one,
whatever its body holds, the next request is the next request. Rules 64, 66 and 67.
"""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
from aiohttp import web
from yarl import URL

from tests.cache.client import Slow, until
from tests.fake import FakeUpstream, make_wheel
from tests.harness import Running

HOST = b"Host: x\r\n"
WHEEL = make_wheel("alpha", size_bytes=100_000)
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
# Each case is followed by this; its answer, a 406, shows that the connection is in step.
LAST = b"GET /simple/alpha/ HTTP/1.1\r\nHost: x\r\nAccept: image/png\r\nConnection: close\r\n\r\n"

CHUNKED = b"Transfer-Encoding: chunked\r\n"
NO_CHUNKS = b"0\r\n\r\n"


def get(
    target: bytes = b"/healthz",
    headers: bytes = b"",
    body: bytes = b"",
    *,
    method: bytes = b"GET",
    version: bytes = b"HTTP/1.1",
    host: bytes = HOST,
) -> bytes:
    """Return a request, right but for what is said."""
    return method + b" " + target + b" " + version + b"\r\n" + host + headers + b"\r\n" + body


def numbered(count: int) -> bytes:
    return b"".join(b"X%d: y\r\n" % number for number in range(count))


# Refused with 400, and the connection ends.
REFUSED = {
    # Two lengths, or none that is one (RFC 9112 §6.3).
    "length twice": get(headers=b"Content-Length: 0\r\nContent-Length: 0\r\n"),
    "two lengths": get(headers=b"Content-Length: 0\r\nContent-Length: 5\r\n", body=b"abcde"),
    "list of lengths": get(headers=b"Content-Length: 5, 5\r\n", body=b"abcde"),
    "signed length": get(headers=b"Content-Length: +5\r\n", body=b"abcde"),
    "negative length": get(headers=b"Content-Length: -5\r\n"),
    "hexadecimal length": get(headers=b"Content-Length: 0x5\r\n", body=b"abcde"),
    "endless length": get(headers=b"Content-Length: " + b"9" * 30 + b"\r\n"),
    "length and chunks": get(headers=b"Content-Length: 4\r\n" + CHUNKED, body=NO_CHUNKS + HIDDEN),
    "chunks and length": get(headers=CHUNKED + b"Content-Length: 4\r\n", body=NO_CHUNKS + HIDDEN),
    # Codings that others may not see, or see otherwise (RFC 9112 §6.1).
    "space before the colon": get(headers=b"Transfer-Encoding : chunked\r\n", body=NO_CHUNKS),
    "vertical tab": get(headers=b"Transfer-Encoding: \x0bchunked\r\n", body=NO_CHUNKS + HIDDEN),
    "xchunked": get(headers=b"Transfer-Encoding: xchunked\r\n", body=NO_CHUNKS + HIDDEN),
    "identity": get(headers=b"Transfer-Encoding: identity\r\n", body=HIDDEN),
    "chunked, identity": get(headers=b"Transfer-Encoding: chunked, identity\r\n", body=NO_CHUNKS),
    "chunked twice": get(headers=CHUNKED + b"Transfer-Encoding: identity\r\n", body=NO_CHUNKS),
    "more after HTTP/1.0": get(version=b"HTTP/1.0"),
    "more after the last one": get(headers=b"Connection: close\r\n"),
    "chunks in HTTP/1.0": get(version=b"HTTP/1.0", headers=CHUNKED, body=NO_CHUNKS + HIDDEN),
    "size of a chunk": get(headers=CHUNKED, body=b"zz\r\nabc\r\n" + NO_CHUNKS + HIDDEN),
    "chunk ends in LF": get(headers=CHUNKED, body=b"0\n\n" + HIDDEN),
    "LF in an extension": get(headers=CHUNKED, body=b"5;x=\ny\r\nabcde\r\n" + NO_CHUNKS),
    "length as a trailer": get(headers=CHUNKED, body=b"0\r\nContent-Length: 5\r\n\r\n" + HIDDEN),
    # Lines that others may cut elsewhere (RFC 9112 §2.2, §5.2).
    "obs-fold": get(headers=b"X: a\r\n b\r\n"),
    "obs-fold of a coding": get(headers=b"X: a\r\n Transfer-Encoding: chunked\r\n"),
    "bare LF": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "bare CR": b"GET /healthz HTTP/1.1\rHost: x\r\r\r\n\r\n",
    "LF in a value": get(headers=b"X: a\nTransfer-Encoding: chunked\r\n", body=HIDDEN),
    "CR in a value": get(headers=b"X: a\rTransfer-Encoding: chunked\r\n", body=HIDDEN),
    "NUL in a value": get(headers=b"X: a\0b\r\n"),
    "NUL in a name": get(headers=b"X\0: a\r\n"),
    "no colon": get(headers=b"nocolon\r\n"),
    "space in a name": get(headers=b"na me: x\r\n"),
    "no name": get(headers=b": x\r\n"),
    "bytes in a name": get(headers=b"\xff\xfe: x\r\n"),
    "no host": get(host=b""),
    "two hosts": get(headers=HOST),
    # Targets (RFC 9112 §3.2).
    "NUL in the target": get(b"/health\0z"),
    "space in the target": get(b"/health z"),
    "tabs": b"GET\t/healthz\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "authority form": get(b"other:443"),
    "asterisk form": get(b"*"),
    "no slash": get(b"healthz"),
    # Other protocols.
    "more after HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/1.2": get(version=b"HTTP/1.2"),
    "HTTP/2.0": get(version=b"HTTP/2.0"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\1" * 190,
    "every byte": bytes(range(256)),
    "small letters": get(method=b"get"),
    "no method": get(method=b"G(T"),
    "long method": get(method=b"G" * 5000),
    # Bounds (rule 66).
    "long target": get(b"/" + b"a" * 9000),
    "longer target": get(b"/" + b"a" * 20_000),
    "long value": get(headers=b"X: " + b"a" * 17_000 + b"\r\n"),
    "long name": get(headers=b"a" * 17_000 + b": x\r\n"),
    "129 headers": get(headers=numbered(129)),
    "5,000 headers": get(headers=numbered(5000)),
}
# Answered with this status; then the next request on the connection is answered, too.
ANSWERED = {
    "plain": (get(), 200),
    "blank lines first": (b"\r\n\r\n" + get(), 200),
    "10,000 blank lines": (b"\r\n" * 10_000 + get(), 200),
    "body": (get(headers=b"Content-Length: %d\r\n" % len(HIDDEN), body=HIDDEN), 200),
    "chunks": (get(headers=CHUNKED, body=b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + NO_CHUNKS), 200),
    "trailer": (get(headers=CHUNKED, body=b"0\r\nX: y\r\n\r\n"), 200),
    "no gzip": (
        get(headers=b"Content-Encoding: gzip\r\nContent-Length: 5\r\n", body=b"abcde"),
        200,
    ),
    "no zstd": (
        get(headers=b"Content-Encoding: zstd\r\n" + CHUNKED, body=b"5\r\nabcde\r\n" + NO_CHUNKS),
        200,
    ),
    "POST with a body": (
        get(method=b"POST", headers=b"Content-Length: %d\r\n" % len(HIDDEN), body=HIDDEN),
        405,
    ),
    "Expect": (get(headers=b"Expect: 100-continue\r\nContent-Length: 5\r\n", body=b"abcde"), 200),
    "Expect without a body": (get(headers=b"Expect: 100-continue\r\n"), 200),
    "other expectation": (get(headers=b"Expect: the-worst\r\n"), 200),
    "CONNECT": (get(b"other:443", method=b"CONNECT"), 405),
    "OPTIONS *": (get(b"*", method=b"OPTIONS"), 405),
    "absolute form": (get(b"http://other/healthz"), 200),
    "absolute form, no path": (get(b"http://other"), 200),
    "absolute form, other scheme": (get(b"ftp://other/healthz"), 200),
    "path with a host": (get(b"//other/healthz"), 404),
    "fragment": (get(b"/healthz#x"), 404),
    "bytes in a value": (get(headers=b"X-Odd: \xff\xfe\r\n"), 200),
    "no authority in Host": (get(host=b"Host: a b/c@d\r\n"), 200),
    "7,000 bytes of a target": (get(b"/" + b"a" * 7000), 404),
    "15,000 bytes of a value": (get(headers=b"X: " + b"a" * 15_000 + b"\r\n"), 200),
    "126 headers": (get(headers=numbered(126)), 200),
}
# Answered, and then the connection ends, as the answer says: what follows may have been lost.
ENDED = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "other": b"Connection: Upgrade\r\nUpgrade: TLS/1.0, quic\r\n",
}


@pytest.fixture(autouse=True)
def _quiet(upstream: FakeUpstream, caplog: pytest.LogCaptureFixture) -> None:
    """Junk leaves no line above debug level (rule 66), and so no traceback."""
    upstream.add("alpha", WHEEL)
    caplog.set_level(logging.INFO)


async def talk(daemon: Running, *parts: bytes) -> bytes:
    """Send bytes, part by part once something came back, and return all that comes to its end."""
    where = URL(daemon.url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    answer = b""
    try:
        async with asyncio.timeout(20):
            for part in parts[:-1]:
                writer.write(part)
                answer += await reader.read(65536)
            writer.write(parts[-1])
            while data := await reader.read(65536):
                answer += data
    except ConnectionError:
        pass  # what we sent behind a refused request was never read
    finally:
        writer.transport.abort()
    return answer


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of all answers on a connection, which must parse to the byte."""
    found = []
    while answer:
        head, _, rest = answer.partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.[01] (\d{3}) [ -~]+\r\n", head)
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        assert line is not None
        assert length is not None
        found.append(int(line[1]))
        answer = rest[int(length[1]) :]
    return found


def server_of(daemon: Running) -> web.Server:
    server = daemon.daemon._public_runner.server
    assert server is not None
    return server


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing was said of it but what `status` and the start say anyway."""
    loggers = ("pypicached.http", "pypicached.web.app", "asyncio")
    assert [r.getMessage() for r in caplog.records if r.name in loggers] == []


@pytest.mark.parametrize("case", REFUSED)
async def test_raw__rule_66_refused(
    daemon: Running, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """What is no request is one 400 and the end of its connection; nothing behind it is read."""
    answer = await talk(daemon, REFUSED[case] + LAST)
    assert statuses(answer) == [400]
    assert b"hidden" not in answer
    assert upstream.requests == []
    check_log(caplog)
    assert (await daemon.ask("/healthz")).status == 200


@pytest.mark.parametrize("case", ANSWERED)
@pytest.mark.parametrize("together", [True, False])
async def test_raw__rule_66_answered(
    daemon: Running, caplog: pytest.LogCaptureFixture, case: str, together: bool
) -> None:
    """A request is answered, and then the one behind it, never one that its body holds."""
    request, status = ANSWERED[case]
    answer = await (talk(daemon, request + LAST) if together else talk(daemon, request, LAST))
    assert statuses(answer) == [status, 406]
    check_log(caplog)


@pytest.mark.parametrize("line", [b"GET /simple/alpha/", b"GET http://x/aTP/1.1", b"POST /legacy/"])
async def test_raw__http_0_9(daemon: Running, line: bytes) -> None:
    """HTTP/0.9 is not spoken: there is no answer in it that could be told from a page."""
    assert await talk(daemon, line + b"\r\nHost: x\r\n\r\n") == b""


@pytest.mark.parametrize("case", ENDED)
async def test_raw__ended(daemon: Running, case: str) -> None:
    """Another protocol is not spoken; its asker is told to come back, and not left waiting."""
    answer = await talk(daemon, get(headers=ENDED[case]) + LAST)
    assert statuses(answer) == [200]
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    "broken", [b"zz\r\n", b"5\r\nabcdefgh", b"0\r\nContent-Length: 5\r\n\r\n", b"0\n\n"]
)
async def test_raw__rule_66_body_that_breaks_later(
    daemon: Running, caplog: pytest.LogCaptureFixture, broken: bytes
) -> None:
    """A body that goes wrong behind its answer ends the connection, without a traceback."""
    server_of(daemon)._kwargs["lingering_time"] = 0.3
    answer = await talk(daemon, get(headers=CHUNKED), broken + HIDDEN + LAST)
    assert statuses(answer)[0] == 200
    assert not {404, 406} & {*statuses(answer)}
    check_log(caplog)


@pytest.mark.parametrize("framing", [CHUNKED, b"Content-Length: 1000\r\n"])
async def test_raw__rule_66_leaves_within_its_body(
    daemon: Running, caplog: pytest.LogCaptureFixture, framing: bytes
) -> None:
    """Who leaves before the end of a body leaves nothing behind, and no line in the log."""
    where = URL(daemon.url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    writer.write(get(headers=framing, body=b"5\r\nab"))
    assert (await reader.read(65536)).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()
    await until(lambda: not server_of(daemon).connections)
    check_log(caplog)


async def test_raw__a_thousand_at_once(daemon: Running) -> None:
    """A thousand requests in one go are a thousand answers, in their order."""
    answer = await talk(daemon, get() * 500 + get(b"/hidden") + get() * 499 + LAST)
    assert statuses(answer) == [200] * 500 + [404] + [200] * 499 + [406]


async def test_raw__requests_without_end(daemon: Running) -> None:
    """Who sends requests and takes no answer is not read any further: few are held at a time."""
    async with Slow.asking(f"{daemon.url}/metrics") as client:

        async def send() -> None:
            for _ in range(2000):  # 70 MB
                client.writer.write(get(b"/metrics") * 1000)
                await asyncio.wait_for(client.writer.drain(), 0.5)

        with pytest.raises(TimeoutError):
            await send()
        assert max(len(one._messages) for one in server_of(daemon).connections) < 100
        assert (await daemon.ask("/healthz")).status == 200


@pytest.mark.parametrize("count", [2, 100, 1800])
async def test_raw__ranges_without_end(daemon: Running, count: int) -> None:
    """Many ranges are the whole file, once (RFC 9110 §14.2), and cost no more than one."""
    url = await daemon.file_url("alpha", WHEEL.filename)
    ranges = ",".join(f"{n}-{n}" for n in range(count))
    for unit in ("bytes", "lines"):
        reply = await daemon.ask(url.removeprefix(daemon.url), Range=f"{unit}={ranges}")
        assert (reply.status, reply.body) == (200, WHEEL.body)


async def test_raw__ranges_beyond_the_bound(daemon: Running) -> None:
    """A list of 10,000 ranges is longer than any header may be."""
    ranges = b",".join(b"%d-%d" % (n, n) for n in range(10_000))
    answer = await talk(daemon, get(headers=b"Range: bytes=" + ranges + b"\r\n"))
    assert statuses(answer) == [400]
