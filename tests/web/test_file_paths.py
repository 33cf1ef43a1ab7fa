"""Which file URLs there are: listed ones, in every spelling, and no other (rules 28, 64, 67)."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from tests.cache.client import blobs_in, fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
async def daemon(tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Running]:
    async with running(tmp_path, upstream.url) as started:
        yield started


def publish(upstream: FakeUpstream) -> DistFile:
    wheel = make_wheel("alpha", "1.0")
    upstream.add("alpha", wheel)
    return wheel


async def status_of(daemon: Running, target: bytes, method: bytes = b"GET") -> int:
    """Send a request target to the byte, and return the status."""
    where = URL(daemon.url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    writer.write(method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ", 2)[1])


async def test_file__not_listed(daemon: Running, upstream: FakeUpstream) -> None:
    """Only what a page lists is fetched: any other URL of the same host is 404, unasked."""
    wheel = publish(upstream)
    upstream.serve("/packages/alpha-9.9-py3-none-any.whl", b"not listed")
    upstream.serve("/secret", b"not listed")
    host = upstream.files_origin.removeprefix("http://")
    good = upstream.url_of(wheel).removeprefix("http://")
    for target in (
        f"/files/pypi/{host}/packages/alpha-9.9-py3-none-any.whl",
        f"/files/pypi/{host}/secret",
        f"/files/pypi/127.0.0.1:1/{good.partition('/')[2]}",
        f"/files/other/{good}",
        f"/files/pypi/{good}.metadata.metadata",
        f"/files/pypi/{good}.asc",
        f"/files/pypi/{good}/",
        f"/files/pypi/{host}",
        "/files/pypi/",
        "/files/",
        "/files",
    ):
        got = await fetch(daemon, daemon.url + target)
        assert (target, got.status) == (target, 404)
        assert got.headers["Cache-Control"] == "no-store"
    assert not [request for request in upstream.requests if request.origin == "files"]


async def test_file__delisted(daemon: Running, upstream: FakeUpstream) -> None:
    """A file that left its page before it was cached is 404; upstream's copy is not fetched."""
    wheel = publish(upstream)
    url = await daemon.file_url("alpha", wheel.filename)
    upstream.remove("alpha", wheel.filename, keep_served=True)
    daemon.clock.advance(3600)
    assert (await fetch(daemon, url)).status == 404
    assert upstream.count("*.whl") == 0


async def test_file__newer_than_our_page(daemon: Running, upstream: FakeUpstream) -> None:
    """A file that appeared after our page was fetched is found by asking for the page once more."""
    publish(upstream)
    await daemon.page("alpha")
    new = make_wheel("alpha", "2.0")
    upstream.add("alpha", new)
    daemon.clock.advance(30)
    url = f"{daemon.url}/files/pypi/{upstream.url_of(new).removeprefix('http://')}"
    got = await fetch(daemon, url)
    assert (got.status, got.body == new.body) == (200, True)


@pytest.mark.parametrize(
    "tail",
    [
        "../secret",
        "a/../alpha-1.0.tar.gz",
        "./alpha-1.0.tar.gz",
        "a//alpha-1.0.tar.gz",
        "%2e%2e/alpha-1.0.tar.gz",
        "a/%2E%2e/alpha-1.0.tar.gz",
        "a/.%2e/alpha-1.0.tar.gz",
        "a%2falpha-1.0.tar.gz",
        "a%2Falpha-1.0.tar.gz",
        "a%5calpha-1.0.tar.gz",
        "a\\alpha-1.0.tar.gz",
        "%00/alpha-1.0.tar.gz",
        "alpha-1.0.tar.gz%00",
        "alpha-1.0.tar.gz%0a",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "",
    ],
)
async def test_path__rule_64_refused(daemon: Running, upstream: FakeUpstream, tail: str) -> None:
    """Paths that climb, hide a slash or hold control characters are 404, and nobody is asked."""
    publish(upstream)
    host = upstream.files_origin.removeprefix("http://")
    target = f"/files/pypi/{host}/{tail}".encode()
    assert await status_of(daemon, target) == 404
    assert upstream.requests == []


@pytest.mark.parametrize("host", ["", "..", "%2e%2e", "user@host", "a%2fb", "[::1", "host:port"])
async def test_path__bad_host(daemon: Running, upstream: FakeUpstream, host: str) -> None:
    """What is no host has no files."""
    assert await status_of(daemon, f"/files/pypi/{host}/x/alpha-1.0.tar.gz".encode()) == 404
    assert upstream.requests == []


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
async def test_file__rule_67_read_only(
    daemon: Running, upstream: FakeUpstream, method: bytes
) -> None:
    """Anything but GET and HEAD is a 405, and changes nothing."""
    wheel = publish(upstream)
    url = await daemon.file_url("alpha", wheel.filename)
    assert await status_of(daemon, url.removeprefix(daemon.url).encode(), method) == 405
    assert blobs_in(daemon) == {}


@pytest.mark.parametrize("style", ["json", "html"])
@pytest.mark.parametrize(
    "filename",
    [
        "alpha-1.0+cu121-py3-none-any.whl",
        "alpha-1!2.0-py3-none-any.whl",
        "alpha-1.0~rc1.tar.gz",
        "alpha-1.0 final.zip",
        "alpha-1.0_é.zip",
    ],
)
async def test_name__rule_28_round_trip(tmp_path: Path, filename: str, style: str) -> None:
    """A name arrives however a client spells it: as linked, as pip and as uv quote it."""
    file = dataclasses.replace(make_wheel("alpha", "1.0"), filename=filename)
    async with FakeUpstream(style=style) as upstream:
        upstream.add("alpha", file)
        async with running(tmp_path, upstream.url) as daemon:
            linked = await daemon.file_url("alpha", filename)
            literal = linked.replace("%2B", "+").replace("%21", "!").replace("%7E", "~")
            spellings = [linked, literal, literal.replace("+", "%2b").replace("!", "%21")]
            for url in spellings:
                got = await fetch(daemon, url)
                assert (url, got.status, got.body) == (url, 200, file.body)
                await settled(daemon)
            assert upstream.count(lambda request: request.path.endswith(filename)) == 1
            assert list(blobs_in(daemon)) == [file.sha256]


async def test_name__old_client(daemon: Running, upstream: FakeUpstream) -> None:
    """HTTP/1.0 gets a file of unknown length to the end of the connection, unframed."""
    wheel = make_wheel("alpha", "1.0", size_bytes=300_000)
    upstream.add("alpha", wheel, rows={wheel.filename: {"size": None}})
    upstream.fault("*.whl", "no_length")
    where = URL(await daemon.file_url("alpha", wheel.filename), encoded=True)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    writer.write(f"GET {where.raw_path} HTTP/1.0\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert b"Transfer-Encoding" not in head
    assert body == wheel.body
