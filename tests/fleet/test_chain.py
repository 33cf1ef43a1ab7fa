"""A daemon whose index is another daemon."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cache.client import fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=300_000)
    upstream.add("alpha", made)
    return made


@contextlib.asynccontextmanager
async def chain(
    directory: Path, upstream: FakeUpstream, **of_parent: object
) -> AsyncIterator[tuple[Running, Running]]:
    """Run a parent in front of the upstream, and a child in front of the parent."""
    places = [directory / "parent", directory / "child"]
    for place in places:
        place.mkdir(exist_ok=True)
    async with (
        running(places[0], upstream.url, None, None, None, **of_parent) as parent,
        running(places[1], f"{parent.url}/simple/") as child,
    ):
        yield parent, child


async def test_chain__files_and_sidecars(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """Pages, files and sidecars come through both, right to the byte, each asked for once."""
    async with chain(tmp_path, upstream) as (parent, child):
        ours = (await parent.page("alpha"))["files"]
        theirs = (await child.page("alpha"))["files"]
        assert isinstance(ours, list)
        assert isinstance(theirs, list)
        for told in ("hashes", "size", "upload-time", "core-metadata", "requires-python"):
            assert ours[0].get(told) == theirs[0].get(told)
        url = await child.file_url("alpha", wheel.filename)
        assert url.startswith(child.url)
        for _ in range(2):
            got = await fetch(child, url)
            assert (got.status, got.body) == (200, wheel.body)
            sidecar = await fetch(child, url + ".metadata")
            assert (sidecar.status, sidecar.body) == (200, wheel.metadata)
            await settled(child)
            await settled(parent)
    assert upstream.count("*.whl") == 1
    assert upstream.count("/simple/alpha/") == 1


async def test_chain__serial_and_revalidation(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """The serial is passed on; an expired page is a 304 from the parent, a new one is seen."""
    async with chain(tmp_path, upstream) as (parent, child):
        async with child.get("/simple/alpha/") as answer:
            serial = answer.headers["X-PyPI-Last-Serial"]
        async with parent.get("/simple/alpha/") as answer:
            assert answer.headers["X-PyPI-Last-Serial"] == serial
        child.clock.advance(700)
        async with child.get("/simple/alpha/") as answer:
            assert "fwd-status=304" in answer.headers["Cache-Status"]
        upstream.add("alpha", make_wheel("alpha", "2.0"))
        parent.clock.advance(700)
        child.clock.advance(700)
        assert len((await child.page("alpha"))["files"]) == 2  # type: ignore[arg-type]


async def test_chain__parent_away(tmp_path: Path, upstream: FakeUpstream, wheel: DistFile) -> None:
    """What the child has goes on without the parent; what it lacks is an honest 503."""
    (tmp_path / "parent").mkdir()
    (tmp_path / "child").mkdir()
    async with running(tmp_path / "parent", upstream.url) as parent:
        address = f"{parent.url}/simple/"
        async with running(tmp_path / "child", address) as child:
            path = (await child.file_url("alpha", wheel.filename)).removeprefix(child.url)
            assert (await fetch(child, child.url + path)).body == wheel.body
            await settled(child)
            await child.written()
    async with running(tmp_path / "child", address) as child:
        child.clock.advance(86400)
        async with child.get("/simple/alpha/") as answer:
            assert answer.status == 200
            assert "fwd=stale" in answer.headers["Cache-Status"]
        assert (await fetch(child, child.url + path)).body == wheel.body
        async with child.get("/simple/beta/") as answer:
            assert answer.status in (502, 503)


async def test_chain__upstream_of_the_parent_down(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """The parent's 503 is no absence at the child, and the child says 503 itself."""
    async with chain(tmp_path, upstream) as (_, child):
        upstream.fault("/simple/*", "status", code=503)
        async with child.get("/simple/gamma/") as answer:
            assert answer.status in (502, 503)
            assert answer.headers["Retry-After"] == "1"
        upstream.heal()
        async with child.get("/simple/none-such/") as answer:
            assert answer.status == 404


async def test_chain__refused_by_the_parent(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """What the parent's rules refuse nobody gets; the child does not call it absent."""
    async with (
        chain(tmp_path, upstream, policy__deny=["alpha"]) as (_, child),
        child.get("/simple/alpha/") as answer,
    ):
        assert answer.status == 502
        assert answer.reason is not None
        assert "refused by a rule of its own" in answer.reason
        status = await child.parts.operations.status()
        assert not [p for p in status.problems if "credentials" in p]


async def test_chain__range(tmp_path: Path, upstream: FakeUpstream, wheel: DistFile) -> None:
    """A range goes through both."""
    async with chain(tmp_path, upstream) as (_, child):
        url = await child.file_url("alpha", wheel.filename)
        got = await fetch(child, url, Range="bytes=100-199")
        assert (got.status, got.body) == (206, wheel.body[100:200])
        await settled(child)
        got = await fetch(child, url)
        assert hashlib.sha256(got.body).hexdigest() == wheel.sha256
