"""An upstream that fails for a file that its page lists: a reason, never absence."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from tests.cache.client import assert_nothing_kept, fetch, settled, until
from tests.fake import DistFile, FakeUpstream, make_sdist, make_wheel
from tests.harness import running


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=300_000)
    upstream.add("alpha", made)
    return made


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *[(code, 502) for code in (204, 304, 400, 401, 403, 404, 410)],
        *[(code, 503) for code in (429, 500, 502, 503, 504)],
    ],
)
@pytest.mark.parametrize("kind", ["", ".metadata"])
async def test_file_failure__status_of_upstream(
    tmp_path: Path, upstream: FakeUpstream, code: int, status: int, kind: str
) -> None:
    """Whatever upstream answers for a listed file is a 502 or 503 with a reason, never a 404."""
    # An sdist: a wheel's sidecar can be made without upstream's.
    sdist = dataclasses.replace(make_sdist("beta", "1.0"), metadata=b"Name: beta\n")
    upstream.add("beta", sdist)
    upstream.fault(f"*.tar.gz{kind}", "status", code=code, body=b"<b>upstream's own words</b>")
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("beta", sdist.filename) + kind
        got = await fetch(daemon, url)
        assert got.status == status
        assert str(code) in got.reason
        assert "upstream's own words" not in got.reason + got.body.decode()
        assert (got.headers["Retry-After"], got.headers["Cache-Control"]) == ("1", "no-store")
        assert got.headers["X-Request-Id"] in got.body.decode()
        await assert_nothing_kept(daemon)
        failures = (await daemon.parts.operations.status()).failures
        assert failures[0].what == sdist.filename + kind
        upstream.heal()
        daemon.clock.advance(30)  # the longest pause in which a failing host is not asked
        assert (await fetch(daemon, url)).status == 200


async def test_file_failure__refused(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A file host that does not listen is a 503."""
    wheel = make_wheel("alpha", "1.0")
    nobody = "http://127.0.0.1:1/alpha-1.0-py3-none-any.whl"
    upstream.add("alpha", wheel, urls={wheel.filename: nobody})
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.status, "refused" in got.reason) == (503, True)


async def test_file_failure__page_down(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A file whose page cannot be had is not absent (invariant 6)."""
    upstream.fault("/simple/*", "status", code=500)
    async with running(tmp_path, upstream.url) as daemon:
        where = upstream.url_of(wheel).removeprefix("http://")
        got = await fetch(daemon, f"{daemon.url}/files/pypi/{where}")
        assert got.status == 503
        assert upstream.count("*.whl") == 0


async def test_file_failure__cold_deadline(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """No first byte in time is a 503; the download goes on behind, and the retry joins it."""
    gate = upstream.hold("*.whl")
    async with running(tmp_path, upstream.url, cache__cold_deadline="200ms") as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        got = await fetch(daemon, url)
        assert (got.status, got.headers["Retry-After"]) == (503, "1")
        assert "time" in got.reason
        assert gate.waiting == 1
        again = asyncio.create_task(fetch(daemon, url))
        await until(lambda: daemon.parts.files.downloads[0].readers == 1)
        gate.open()
        assert (await again).body == wheel.body
        await settled(daemon)
        assert (await fetch(daemon, url)).headers["Cache-Status"] == "pypicached; hit"
        assert upstream.count("*.whl") == 1


async def test_file_failure__silent_in_the_middle(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """An upstream that falls silent in the middle is let go, and the rest is asked for anew."""
    upstream.fault("*.whl", "hang_body_after", times=1, n=200_000)
    config = tmp_path / "pypicached.toml"
    config.write_text(f'[[index]]\nname = "pypi"\nurl = "{upstream.url}"\ntimeout = "200ms"\n')
    async with running(tmp_path, config=config) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.whole, got.body == wheel.body) == (True, True)
        assert upstream.requests[-1].headers["range"] == "bytes=200000-"


async def test_file_failure__stop_in_the_middle(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A daemon that stops in the middle of a download completes no file and leaves no spool."""
    upstream.hold("*.whl", after_bytes=200_000)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        answer = await daemon.session.get(url)
        await answer.content.readexactly(100_000)
        store = daemon.parts.store.root
    answer.close()
    assert list((store / "tmp").iterdir()) == []
    assert [path for path in (store / "blobs").rglob("*") if path.is_file()] == []
