"""Core metadata beside the files (PEP 658): passed through, verified, kept.

Sidecars of sdists stand for those that we cannot make ourselves.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from tests.cache.client import assert_in_step, assert_nothing_kept, fetch, settled
from tests.fake import FakeUpstream, make_sdist, make_wheel
from tests.harness import running


async def test_sidecar__kept(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A sidecar is fetched once, without its wheel, and served byte for byte."""
    wheel = make_wheel("alpha", "1.0", requires=["beta"])
    upstream.add("alpha", wheel)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename) + ".metadata"
        assert wheel.metadata is not None
        digest = hashlib.sha256(wheel.metadata).hexdigest()
        for told in ("pypicached; fwd=miss; stored", "pypicached; hit"):
            got = await fetch(daemon, url)
            assert (got.status, got.body) == (200, wheel.metadata)
            assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert got.headers["Cache-Status"] == told
            assert got.headers["ETag"] == f'"{digest}"'
            assert "immutable" not in got.headers["Cache-Control"]
            await settled(daemon)
        assert upstream.count("*.metadata") == 1
        assert upstream.count("*.whl") == 0
        await assert_in_step(daemon)


@pytest.mark.parametrize("stored", [False, True])
async def test_sidecar__head(tmp_path: Path, upstream: FakeUpstream, stored: bool) -> None:
    """HEAD on a sidecar tells its length and validator, and has no body."""
    wheel = make_wheel("alpha", "1.0")
    upstream.add("alpha", wheel)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename) + ".metadata"
        if stored:
            await fetch(daemon, url)
            await settled(daemon)
        head, got = await fetch(daemon, url, "HEAD"), await fetch(daemon, url)
        assert (head.status, head.body) == (200, b"")
        for name in ("Content-Length", "Content-Type", "ETag", "Cache-Control", "Accept-Ranges"):
            assert head.headers[name] == got.headers[name]


async def test_sidecar__without_hash(tmp_path: Path) -> None:
    """A sidecar that is offered without a hash is passed on as it is."""
    wheel = make_wheel("alpha", "1.0")
    async with FakeUpstream(sidecars="plain") as upstream:
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename) + ".metadata")
            assert (got.status, got.body) == (200, wheel.metadata)


async def test_sidecar__wrong(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A sidecar that does not match its hash is a 502, and is not kept."""
    sdist = dataclasses.replace(make_sdist("alpha", "1.0"), metadata=b"Name: alpha\n")
    upstream.add("alpha", sdist)
    upstream.fault("*.metadata", "wrong_bytes")
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", sdist.filename) + ".metadata")
        assert (got.status, "sha256" in got.reason) == (502, True)
        await assert_nothing_kept(daemon)


async def test_sidecar__of_an_sdist(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Where the page offers no sidecar there is none: 404, and upstream is not asked for it."""
    sdist = make_sdist("alpha", "1.0")
    upstream.add("alpha", sdist)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", sdist.filename) + ".metadata"
        for method in ("GET", "HEAD"):
            assert (await fetch(daemon, url, method)).status == 404
        assert upstream.count("*.metadata") == 0


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_sidecar__larger_than_the_limit(
    tmp_path: Path, upstream: FakeUpstream, framing: str
) -> None:
    """Metadata beyond the limit is a 502 that names the setting, and is not kept."""
    sdist = dataclasses.replace(make_sdist("alpha", "1.0"), metadata=b"Name: alpha\n" * 200)
    upstream.add("alpha", sdist)
    if framing == "chunked":
        upstream.fault("*.metadata", "no_length")
    async with running(tmp_path, upstream.url, limits__metadata_size="2KiB") as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", sdist.filename) + ".metadata")
        assert (got.status, "metadata_size" in got.body.decode()) == (502, True)
        await assert_nothing_kept(daemon)
