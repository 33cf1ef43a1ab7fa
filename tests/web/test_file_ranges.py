"""Ranges and conditions on files (RFC 9110 §13, §14; rules 52 and 53)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cache.client import fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running

# Small files live in memory, large ones go by sendfile.
SIZES = {"small": 20_000, "large": 300_000}


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
async def daemon(tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Running]:
    async with running(tmp_path, upstream.url) as started:
        yield started


def publish(upstream: FakeUpstream, size: str = "small") -> DistFile:
    wheel = make_wheel("alpha", "1.0", size_bytes=SIZES[size])
    upstream.add("alpha", wheel)
    return wheel


async def stored(daemon: Running, wheel: DistFile) -> str:
    """Bring a file into the cache; return its URL."""
    url = await daemon.file_url("alpha", wheel.filename)
    assert (await fetch(daemon, url)).body == wheel.body
    await settled(daemon)
    return url


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=10-", 10, None),
        ("bytes=-10", -10, None),
        ("bytes=-9999999", 0, None),
        ("bytes=100-9999999", 100, None),
        ("Bytes = 1 - 2", 1, 3),
    ],
)
async def test_range__rule_52_of_a_stored_file(
    daemon: Running, upstream: FakeUpstream, size: str, wanted: str, start: int, stop: int | None
) -> None:
    """One satisfiable range of a stored file is a 206 with exactly those bytes."""
    wheel = publish(upstream, size)
    url = await stored(daemon, wheel)
    got = await fetch(daemon, url, Range=wanted)
    part = wheel.body[start:stop]
    first = wheel.body.index(part)
    last = first + len(part) - 1
    assert (got.status, got.body) == (206, part)
    assert got.headers["Content-Length"] == str(len(part))
    if len(part) > 4:
        assert got.headers["Content-Range"] == f"bytes {first}-{last}/{len(wheel.body)}"


@pytest.mark.parametrize("wanted", ["bytes=9999999-", "bytes=9999999-99999999", "bytes=-0"])
@pytest.mark.parametrize("size", SIZES)
async def test_range__unsatisfiable(
    daemon: Running, upstream: FakeUpstream, size: str, wanted: str
) -> None:
    """A range beyond the file is a 416 that tells its length."""
    wheel = publish(upstream, size)
    url = await stored(daemon, wheel)
    got = await fetch(daemon, url, Range=wanted)
    assert (got.status, got.body) == (416, b"")
    assert got.headers["Content-Range"] == f"bytes */{len(wheel.body)}"


@pytest.mark.parametrize(
    "wanted",
    ["", "bytes", "bytes=", "bytes=-", "bytes=5-1", "bytes=a-b", "lines=1-2", "bytes=1-2,4-5"],
)
async def test_range__malformed(daemon: Running, upstream: FakeUpstream, wanted: str) -> None:
    """What is no single byte range is ignored."""
    wheel = publish(upstream)
    url = await stored(daemon, wheel)
    got = await fetch(daemon, url, Range=wanted)
    assert (got.status, got.body == wheel.body) == (200, True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cold", [True, False])
async def test_range__rule_53_if_range(
    daemon: Running, upstream: FakeUpstream, size: str, cold: bool
) -> None:
    """If-Range with our strong ETag keeps the range; anything else gives the whole file."""
    wheel = publish(upstream, size)
    url = await daemon.file_url("alpha", wheel.filename)
    if not cold:
        url = await stored(daemon, wheel)
    tag = f'"{wheel.sha256}"'
    got = await fetch(daemon, url, Range="bytes=5-9", If_Range=tag)
    assert (got.status, got.body) == (206, wheel.body[5:10])
    for other in ('"other"', f"W/{tag}", "Tue, 02 Jan 2024 03:04:05 GMT"):
        got = await fetch(daemon, url, Range="bytes=5-9", If_Range=other)
        assert (got.status, got.body == wheel.body) == (200, True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cold", [True, False])
async def test_condition__if_none_match(
    daemon: Running, upstream: FakeUpstream, size: str, cold: bool
) -> None:
    """If-None-Match with our ETag, in a list or weak, is a 304 without a body."""
    wheel = publish(upstream, size)
    url = await daemon.file_url("alpha", wheel.filename)
    if not cold:
        url = await stored(daemon, wheel)
    tag = f'"{wheel.sha256}"'
    for tags in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        got = await fetch(daemon, url, If_None_Match=tags, Range="bytes=0-1")
        assert (got.status, got.body) == (304, b"")
        assert got.headers["ETag"] == tag
        assert "Cache-Control" in got.headers
        assert "Cache-Status" in got.headers
    got = await fetch(daemon, url, If_None_Match='"other"')
    assert (got.status, got.body == wheel.body) == (200, True)
