"""A body that breaks off is resumed, and only ever by more of the same file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cache.client import Got, assert_in_step, assert_nothing_kept, fetch, until
from tests.fake import DistFile, FakeUpstream, Request, make_wheel
from tests.harness import Running, running

SIZE, CUT = 400_000, 150_000


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=SIZE)
    upstream.add("alpha", made)
    return made


def resumed(request: Request) -> bool:
    """Whether this asks for the rest of the file."""
    return request.path.endswith(".whl") and "range" in request.headers


def asked(upstream: FakeUpstream) -> list[Request]:
    """Return the requests for the file's body."""
    return [request for request in upstream.requests if request.path.endswith(".whl")]


async def broken_off(daemon: Running, upstream: FakeUpstream, wheel: DistFile) -> Got:
    """Ask for the file; the first answer breaks off when all of its bytes up to CUT are here."""
    gate = upstream.hold("*.whl", after_bytes=CUT)
    url = await daemon.file_url("alpha", wheel.filename)
    client = asyncio.create_task(fetch(daemon, url))
    await gate.reached()
    await until(lambda: daemon.parts.files.downloads[0].progress.written == CUT)
    gate.open()
    return await client


@pytest.mark.parametrize("ending", ["reset_after", "close_after"])
async def test_resume__asks_for_the_rest(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, ending: str
) -> None:
    """After a break the rest is asked for by Range and If-Range, and the client sees no seam."""
    upstream.fault("*.whl", ending, times=1, n=CUT)
    async with running(tmp_path, upstream.url) as daemon:
        got = await broken_off(daemon, upstream, wheel)
        assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
        first, second = asked(upstream)
        assert "range" not in first.headers
        assert second.headers["range"] == f"bytes={CUT}-"
        assert second.headers["if-range"] == f'"{wheel.sha256[:32]}"'
        assert second.headers["accept-encoding"] == "identity"
        await assert_in_step(daemon)


async def test_resume__as_long_as_bytes_come(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """An upstream that breaks off every time is followed while each answer brings bytes."""
    upstream.fault("*.whl", "reset_after", n=50_000)
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.whole, got.body == wheel.body) == (True, True)
        # What the client library still held of a broken answer is asked for again.
        assert len(asked(upstream)) >= len(wheel.body) // 50_000


async def test_resume__gives_up_without_progress(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """After three resumes in a row without a new byte the download fails."""
    upstream.fault("*.whl", "reset_after", times=1, n=CUT)
    upstream.fault(resumed, "reset_after", n=0)
    async with running(tmp_path, upstream.url) as daemon:
        got = await broken_off(daemon, upstream, wheel)
        assert not got.whole
        assert len(asked(upstream)) == 1 + 3
        await assert_nothing_kept(daemon)


async def test_resume__drip(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that drips is left, and the rest asked for on another connection; not for ever."""
    monkeypatch.setattr("pypicached.upstream.pace.WINDOW_SECONDS", 0.1)
    upstream.fault("*.whl", "throttle", times=1, rate=1000)
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.status, got.body == wheel.body) == (200, True)
        assert len(asked(upstream)) == 2
    upstream.clear()
    upstream.fault("*.whl", "throttle", rate=1000)
    async with running(tmp_path / "another", upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert not got.whole
        assert len(asked(upstream)) == 1 + 3


async def test_resume__before_the_first_byte(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """An upstream that resets before its first byte is asked again, from the start."""
    upstream.fault("*.whl", "reset_after", times=2, n=0)
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.status, got.body == wheel.body) == (200, True)
        assert [r.headers.get("range") for r in asked(upstream)] == [None, None, None]


async def test_resume__range_ignored(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A 200 instead of a 206 is compared with what is here, and carries on behind it."""
    upstream.fault("*.whl", "reset_after", times=1, n=CUT)
    upstream.fault("*.whl", "ignore_range")
    async with running(tmp_path, upstream.url) as daemon:
        got = await broken_off(daemon, upstream, wheel)
        assert (got.whole, got.body == wheel.body) == (True, True)
        await assert_in_step(daemon)


async def test_resume__without_validator_by_digest(tmp_path: Path) -> None:
    """Without a validator a plain Range will do, because the page's digest has the last word."""
    wheel = make_wheel("alpha", "1.0", size_bytes=SIZE)
    async with FakeUpstream(validators=False) as upstream:
        upstream.add("alpha", wheel)
        upstream.fault("*.whl", "reset_after", times=1, n=CUT)
        async with running(tmp_path, upstream.url) as daemon:
            got = await broken_off(daemon, upstream, wheel)
            assert (got.whole, got.body == wheel.body) == (True, True)
            second = asked(upstream)[1]
            assert second.headers["range"] == f"bytes={CUT}-"
            assert "if-range" not in second.headers


async def test_resume__without_validator_and_digest(tmp_path: Path) -> None:
    """With neither validator nor digest a part of another answer cannot be trusted: it fails."""
    wheel = make_wheel("alpha", "1.0", size_bytes=SIZE)
    async with FakeUpstream(style="html", hashes=False, validators=False) as upstream:
        upstream.add("alpha", wheel)
        upstream.fault("*.whl", "reset_after", times=1, n=CUT)
        async with running(tmp_path, upstream.url) as daemon:
            got = await broken_off(daemon, upstream, wheel)
            assert not got.whole
            assert len(asked(upstream)) == 1
            await assert_nothing_kept(daemon)


@pytest.mark.parametrize("at", [0, CUT - 1, CUT, SIZE - 1000])
async def test_resume__file_changed(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, at: int
) -> None:
    """A file that is another one when resumed fails, wherever it differs; nothing is kept."""
    upstream.fault("*.whl", "reset_after", times=1, n=CUT)
    upstream.fault(resumed, "change_etag")
    upstream.fault(resumed, "wrong_bytes", at=at)
    async with running(tmp_path, upstream.url) as daemon:
        got = await broken_off(daemon, upstream, wheel)
        assert not got.whole
        await assert_nothing_kept(daemon)


async def test_resume__part_of_another_file(tmp_path: Path) -> None:
    """A 206 under another strong validator belongs to another file (RFC 9110 §15.3.7.3)."""
    wheel = make_wheel("alpha", "1.0", size_bytes=SIZE)
    async with FakeUpstream(style="html", hashes=False) as upstream:
        upstream.add("alpha", wheel)
        upstream.fault("*.whl", "reset_after", times=1, n=CUT)
        whole = len(wheel.body)
        other = {"Content-Range": f"bytes {CUT}-{whole - 1}/{whole}", "ETag": '"another"'}
        rest = bytes(whole - CUT)
        upstream.fault(resumed, "status", code=206, body=rest, headers=other)
        async with running(tmp_path, upstream.url) as daemon:
            got = await broken_off(daemon, upstream, wheel)
            assert not got.whole
            await assert_nothing_kept(daemon)


async def test_resume__part_of_the_rest(tmp_path: Path) -> None:
    """A 206 that holds less than was asked for is not the end of the file (rule 54)."""
    wheel = make_wheel("alpha", "1.0", size_bytes=SIZE)
    whole = len(wheel.body)
    async with FakeUpstream(style="html", hashes=False) as upstream:
        upstream.add("alpha", wheel)
        tag = f'"{wheel.sha256[:32]}"'

        def first(request: Request) -> bool:
            return request.path.endswith(".whl") and "range" not in request.headers

        upstream.fault(first, "no_length")
        upstream.fault(first, "reset_after", n=CUT)
        part = {"Content-Range": f"bytes {CUT}-{CUT + 999}/{whole}", "ETag": tag}
        body = wheel.body[CUT : CUT + 1000]
        upstream.fault(
            lambda r: r.headers.get("range") == f"bytes={CUT}-",
            "status",
            times=1,
            code=206,
            body=body,
            headers=part,
        )
        async with running(tmp_path, upstream.url) as daemon:
            got = await broken_off(daemon, upstream, wheel)
            assert (got.whole, got.body == wheel.body) == (True, True)
            assert [r.headers.get("range") for r in asked(upstream)] == [
                None,
                f"bytes={CUT}-",
                f"bytes={CUT + 1000}-",
            ]


@pytest.mark.parametrize("content_range", ["bytes 1-399999/400000", "bytes 0-9/10", "items 5-6/7"])
async def test_resume__another_range_than_asked(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, content_range: str
) -> None:
    """A 206 for another range than the one asked for is an error, never pasted in."""
    upstream.fault("*.whl", "reset_after", times=1, n=CUT)
    other = {"Content-Range": content_range}
    upstream.fault(resumed, "status", code=206, body=b"x" * 10, headers=other)
    async with running(tmp_path, upstream.url) as daemon:
        got = await broken_off(daemon, upstream, wheel)
        assert (got.status, got.whole) == (200, False)
        await assert_nothing_kept(daemon)
