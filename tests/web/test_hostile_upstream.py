"""Upstreams that mean no good: bombs, floods, junk, and what is to run in a browser.

Each is refused within its bound, for one reason of ours, and leaves the daemon as it was. Rules 30,
41, 49, 64 and 66; what merely is no index page is in `test_wrong_answers.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import re
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from pypicached.cache.worker import Worker
from tests.cache.client import assert_in_step, fetch
from tests.fake import FakeUpstream, make_sdist, make_wheel
from tests.fake.raw import RawUpstream, endless
from tests.harness import JSON, Reply, Running, running

PAGE = "/simple/alpha/"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
MB = 1_000_000


# ── heads and framing ────────────────────────────────────────────────────────────────────────


def many(count: int) -> bytes:
    return b"".join(b"X%d: y\r\n" % number for number in range(count))


NO_HTTP: dict[str, Iterable[bytes]] = {
    "headers without end": endless(many(1000), HEAD),
    "10,000 headers": [HEAD + many(10_000) + b"Content-Length: 0\r\n\r\n"],
    "a long header": [HEAD + b"X: " + b"y" * MB + b"\r\nContent-Length: 0\r\n\r\n"],
    "a header without end": endless(b"y" * 100_000, HEAD + b"X: "),
    "a reason without end": endless(b"y" * 100_000, b"HTTP/1.1 200 "),
    "CR in the reason": [b"HTTP/1.1 200 OK\rX-Evil: 1\r\nContent-Length: 0\r\n\r\n"],
    "NUL in a header": [HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"],
    "two lengths": [HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"],
    "100 without end": endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "103 without end": endless(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 1000),
    "101": [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"],
    "trailers without end": endless(b"X: y\r\n" * 1000, HEAD + CHUNKED + b"0\r\n"),
    "size of a chunk": [HEAD + CHUNKED + b"f" * 40 + b"\r\n"],
    "no HTTP at all": [b"SSH-2.0-OpenSSH_9.2\r\n\r\n"],
}  # fmt: skip


@contextlib.asynccontextmanager
async def raw(
    directory: Path, pieces: Iterable[bytes]
) -> AsyncIterator[tuple[Running, RawUpstream]]:
    async with (
        RawUpstream(pieces).running() as upstream,
        running(directory, upstream.url, cache__cold_deadline="20s") as daemon,
    ):
        yield daemon, upstream


@pytest.mark.parametrize("case", NO_HTTP)
async def test_upstream__rule_66_no_http(tmp_path: Path, case: str) -> None:
    """What is no answer is a 502 or 503 as soon as that is known, however long it would go on."""
    async with raw(tmp_path, NO_HTTP[case]) as (daemon, upstream):
        reply = await daemon.ask(PAGE)
        assert reply.status in (502, 503)
        assert reply.reason is not None
        assert re.fullmatch(r"index pypi: [ -~]{5,67}", reply.reason)
        assert "in time" not in reply.reason
        assert "evil" not in repr(reply).lower()
        assert len(upstream.requests) <= 2
        assert (await daemon.ask("/healthz")).status == 200


async def test_upstream__a_few_interim_answers(tmp_path: Path) -> None:
    """An upstream may say `100` or `103` before its answer (RFC 9110 §15.2), each time anew."""
    body = b'<html><body><a href="alpha-1.0.tar.gz">alpha-1.0.tar.gz</a></body></html>'
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with raw(tmp_path, [b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10 + whole]) as (daemon, _):
        for name in ("alpha", "beta", "gamma"):
            assert (await daemon.ask(f"/simple/{name}/")).status == 200


@pytest.mark.parametrize("line", [
    b'ETag: "a\x01\xff"', b"ETag: x\r\n X-Evil: 1", b"Last-Modified: \xff\x07",
    b"ETag: " + b"x" * 5000,
    b"X-PyPI-Last-Serial: 99999999999999999999", b"X-PyPI-Last-Serial: 1\r\n\tX-Evil: 1",
    b"X-PyPI-Last-Serial: \xb2", b"Content-Language: x\r\n evil", b"Date: evil",
])  # fmt: skip
async def test_upstream__its_headers_are_not_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    """Nothing of a header reaches ours, a log line, or the next request, unless it is plain."""
    caplog.set_level(logging.DEBUG)
    body = b"<html><body><a href='alpha-1.0.tar.gz'>alpha-1.0.tar.gz</a></body></html>"
    whole = HEAD + line + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with raw(tmp_path, [whole]) as (daemon, upstream):
        for _ in range(2):
            reply = await daemon.ask(PAGE, Accept=JSON)
            assert reply.status in (200, 503)
            assert "evil" not in repr(reply).lower()
            daemon.clock.advance(700)
        assert not [r for r in upstream.requests if b"\r\nX-Evil" in r or b"\xff" in r]
        assert b"\r\nIf-None-Match: " + b"x" * 100 not in b"".join(upstream.requests)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("pypicached")]
    assert not [text for text in ours if "\n" in text or "evil" in text.lower()]


# ── bombs ────────────────────────────────────────────────────────────────────────────────────


def deflate_bomb(megabytes: int, bits: int) -> list[bytes]:
    """Return a stream of so many MB of spaces, in pieces; a MB is a KB of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    first = packer.compress(b" " * 10 * MB) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(b" " * 10 * MB) + packer.flush(zlib.Z_FULL_FLUSH)
    return [first, *[again] * (megabytes // 10 - 1), packer.flush()]


GIGABYTE = deflate_bomb(1000, 31)


@pytest.mark.parametrize(
    ("path", "limit"), [(PAGE, "page_size"), ("/simple/", "page_size")], ids=["page", "list"]
)
async def test_bomb__rule_66_page_and_list(tmp_path: Path, path: str, limit: str) -> None:
    """Gigabytes in megabytes of gzip, and no end of them, are given up at the bound."""
    head = HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n"
    first, again, *_ = GIGABYTE
    async with (
        RawUpstream(endless(again, head + first)).running() as upstream,
        running(tmp_path, upstream.url, limits__page_size="16MiB") as daemon,
    ):
        reply = await daemon.ask(path)
        assert (reply.status, limit in (reply.reason or "")) == (502, True)
        await assert_in_step(daemon)
        assert list((tmp_path / "cache" / "tmp").iterdir()) == []


async def test_bomb__rule_66_sidecar(tmp_path: Path, upstream: FakeUpstream) -> None:
    """So it is as METADATA: of an sdist a 502, of a wheel it is made from the wheel instead."""
    wheel = make_wheel("alpha")
    sdist = make_sdist("alpha", "2.0")
    row = {"core-metadata": True}
    upstream.add("alpha", wheel, sdist, rows={sdist.filename: row, wheel.filename: row})
    for file in (wheel, sdist):
        path = upstream.url_of(file).removeprefix(upstream.files_origin) + ".metadata"
        upstream.serve(path, b"".join(GIGABYTE), "text/plain", Content_Encoding="gzip")
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename) + ".metadata")
        assert (got.status, got.body) == (200, wheel.metadata)
        got = await fetch(daemon, await daemon.file_url("alpha", sdist.filename) + ".metadata")
        assert got.status == 502
        await assert_in_step(daemon)


@pytest.mark.parametrize(
    ("claim", "why"), [(1000, "its bytes are damaged"), (1000 * MB, "[limits] metadata_size")]
)
async def test_bomb__rule_66_metadata_in_a_wheel(tmp_path: Path, claim: int, why: str) -> None:
    """And as METADATA of a wheel that we make the sidecar from: a 502, whatever size it claims."""
    made = make_wheel("alpha")
    body = wheel_with(b"".join(deflate_bomb(1000, -15)), claim)
    async with FakeUpstream(style="html", hashes=False) as upstream:
        upstream.add("alpha", dataclasses.replace(made, body=body))
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await daemon.file_url("alpha", made.filename) + ".metadata")
            assert (got.status, why in got.body.decode()) == (502, True), got.body
            await assert_in_step(daemon)


def wheel_with(packed: bytes, claim: int) -> bytes:
    """Return a wheel whose METADATA has these deflated bytes and claims to have this size."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("alpha-1.0.dist-info/METADATA", packed)
    wheel = bytearray(buffer.getvalue())
    for mark, method, size in ((b"PK\3\4", 8, 22), (b"PK\1\2", 10, 24)):
        at = wheel.index(mark)
        wheel[at + method : at + method + 2] = (8).to_bytes(2, "little")
        wheel[at + size : at + size + 4] = claim.to_bytes(4, "little")
    return bytes(wheel)


# ── junk ─────────────────────────────────────────────────────────────────────────────────────

ROW = '{"filename":"alpha-1.0.tar.gz","url":"/f/alpha-1.0.tar.gz","hashes":{}%s}'


def page_of(rows: str, more: str = "") -> bytes:
    return b'{"meta":{"api-version":"1.1"},"name":"alpha","versions":["1.0"],"files":[%b]%b}' % (
        rows.encode(), more.encode()
    )  # fmt: skip


JUNK: dict[str, tuple[bytes, int]] = {
    "depth of 100,000": (page_of("", ',"x":' + "[" * 100_000 + "]" * 100_000), 502),
    "files 100,000 deep": (page_of("[" * 100_000 + "]" * 100_000), 502),
    "objects 100,000 deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 502),
    "unclosed": (b"[" * 1_000_000, 502),
    "NaN": (page_of(ROW % ',"size":NaN'), 502),
    "Infinity": (page_of(ROW % ',"size":Infinity'), 502),
    "huge integer": (page_of(ROW % (',"size":' + "9" * 5000)), 200),
    "huger integer": (page_of(ROW % (',"size":' + "9" * 1_000_000)), 200),
    "huge float": (page_of(ROW % ',"size":1e999999999'), 200),
    "negative size": (page_of(ROW % ',"size":-1'), 200),
    "lone surrogate": (page_of(ROW % r',"yanked":"\ud800"'), 200),
    "lone surrogate in the name": (page_of(ROW.replace("-1.0.tar", r"-1.0\udfff.tar") % ""), 200),
    "NUL in the name": (page_of(ROW.replace("-1.0.tar", r"-1.0\u0000.tar") % ""), 200),
    "no UTF-8": (page_of(ROW % ',"yanked":"\u00ff"').replace(b"\xc3\xbf", b"\xff"), 200),
    "same key twice": (page_of(ROW % ',"filename":"../../x"'), 200),
    "null bytes behind": (page_of(ROW % "") + b"\0" * 100, 502),
    "rows of rows": (page_of(",".join([ROW % ""] * 20_000)), 200),
    "500,000 keys": (page_of("", "".join(f',"k{n}":{n}' for n in range(500_000))), 200),
}


@pytest.mark.parametrize("case", JUNK)
async def test_junk__json(
    tmp_path: Path, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """Junk JSON is a 502, or its page is what could be read of it: valid, and never more."""
    body, status = JUNK[case]
    upstream.serve(PAGE, body, JSON)
    async with running(tmp_path, upstream.url) as daemon:
        reply = await daemon.ask(PAGE, Accept=JSON)
        assert reply.status == status, reply.text
        html = await daemon.ask(PAGE, Accept="text/html")
        assert html.status == status
        if status == 200:
            check_page(reply, html)
    assert not [r for r in caplog.records if r.exc_info]


def check_page(reply: Reply, html: Reply) -> None:
    """Both forms are well-formed and name the same files, all of them of the project."""
    page = json.loads(reply.body, parse_constant=pytest.fail)
    names = [file["filename"] for file in page["files"]]
    assert set(names) <= {"alpha-1.0.tar.gz"}
    assert [node.text() for node in LexborHTMLParser(html.text).css("a")] == names
    for file in page["files"]:
        size = file.get("size")
        assert size is None or (isinstance(size, int) and 0 <= size < 1 << 63)
        reply.body.decode("utf-8")


NESTED = {
    "divs": "<div>" * 100_000,
    "balanced divs": "<div></x>" * 50_000,
    "formatting": "<b><i><u>" * 30_000,
    "attributes": "<a " + " ".join(f"a{n}" for n in range(50_000)) + ">",
}


@pytest.mark.parametrize("case", NESTED)
async def test_junk__rule_66_html_that_takes_long(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """HTML that is made to be slow is parsed in the worker process, and says the same there."""
    parsed = []
    parse_page = Worker.parse_page

    async def noted(self: Worker, body: bytes, *others: str) -> Any:
        parsed.append(len(body))
        return await parse_page(self, body, *others)

    monkeypatch.setattr(Worker, "parse_page", noted)
    row = '<a href="alpha-1.0.tar.gz">alpha-1.0.tar.gz</a>'
    body = f"<html><body>{NESTED[case]}{row}</body></html>".encode()
    upstream.serve(PAGE, body, "text/html")
    async with running(tmp_path, upstream.url) as daemon:
        reply = await daemon.ask(PAGE, Accept=JSON)
        assert (reply.status, parsed) == (200, [len(body)])
        assert [file["filename"] for file in json.loads(reply.body)["files"]] == [
            "alpha-1.0.tar.gz"
        ]


# ── what is to run in a browser ──────────────────────────────────────────────────────────────

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
QUOTED = '" onmouseover="alert(1)" x=\''
ACTIVE = "script, img, iframe, object, embed, svg, style, link, form, [onerror], [onmouseover]"


@pytest.mark.parametrize("style", ["json", "html"])
async def test_people__nothing_of_upstream_runs(tmp_path: Path, style: str) -> None:
    """Names, reasons and errors are text on every page, and the page forbids to run any."""
    names = [f"alpha-1.0{EVIL.replace('/', '')}.tar.gz", f"alpha-1.0{QUOTED}.tar.gz"]
    plain = make_wheel("alpha")
    said: dict[str, Any] = {"yanked": EVIL + QUOTED, "requires_python": QUOTED + EVIL}
    files = [dataclasses.replace(plain, filename=name, **said) for name in names]
    async with FakeUpstream(style=style) as upstream:
        upstream.add(
            "alpha", plain, *files, status="archived", status_reason=EVIL + QUOTED,
            rows={plain.filename: {"provenance": f"https://x/{QUOTED}{EVIL}", "gpg-sig": EVIL}},
        )  # fmt: skip
        async with running(tmp_path, upstream.url) as daemon:
            for accept in ("text/html", "application/vnd.pypi.simple.v1+html"):
                reply = await daemon.ask(PAGE, Accept=accept)
                check_harmless(reply)
                listed = [node.text() for node in LexborHTMLParser(reply.text).css("a")]
                assert listed == [plain.filename, *names]
            check_harmless(await daemon.ask("/simple/", Accept="text/html"))
            upstream.fault("*", "status", code=500, body=EVIL.encode())
            failed = await daemon.ask("/simple/beta/", Accept="text/html")
            assert failed.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert "alert" not in failed.text
            check_harmless(await daemon.ask("/", Accept="text/html"))
            for path in (f"/simple/{EVIL}/", f"/{EVIL}", f"/files/pypi/{EVIL}"):
                wrong = await daemon.ask(path.replace(" ", "+"), Accept="text/html")
                assert (wrong.status, "alert" in wrong.text) == (404, False)


def check_harmless(reply: Reply) -> None:
    assert reply.status == 200
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    tree = LexborHTMLParser(reply.text)
    own = {"style"} if "<h2>Indexes</h2>" in reply.text else set()
    assert {node.tag for node in tree.css(ACTIVE)} == own
    for node in tree.css("a"):
        assert set(node.attributes) <= {
            "href", "data-requires-python", "data-yanked", "data-core-metadata",
            "data-dist-info-metadata", "data-provenance",
        }  # fmt: skip
        assert not (node.attributes["href"] or "").lower().startswith(("javascript:", "data:"))
