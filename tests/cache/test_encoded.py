"""Rule 51: files that come with a Content-Encoding although none was asked for."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from tests.cache.client import (
    Got,
    assert_in_step,
    assert_nothing_kept,
    blobs_in,
    fetch,
    settled,
    until,
)
from tests.fake import DistFile, FakeUpstream, make_sdist, make_wheel
from tests.harness import Running, running

SMALL, LARGE = 20_000, 400_000
# What the page says: all, a digest alone, a size alone.
PAGES: dict[str, dict[str, Any]] = {
    "digest and size": {},
    "digest": {"style": "html"},
    "size": {"hashes": False},
}


def a_wheel(size: int) -> DistFile:
    return make_wheel("alpha", "1.0", size_bytes=size)


def an_sdist(size: int) -> DistFile:
    """Make an sdist that does not shrink; its content is of no interest here."""
    body = gzip.compress(random.Random(size).randbytes(size), mtime=0)
    digest = hashlib.sha256(body).hexdigest()
    return dataclasses.replace(make_sdist("alpha", "1.0"), body=body, sha256=digest)


def with_body(file: DistFile, body: bytes) -> DistFile:
    return dataclasses.replace(file, body=body, sha256=hashlib.sha256(body).hexdigest())


async def assert_served(daemon: Running, upstream: FakeUpstream, file: DistFile) -> None:
    """The file comes whole, plain and with its length; it is kept as it is, from one request."""
    url = await daemon.file_url("alpha", file.filename)
    for told in ("pypicached; fwd=miss; stored", "pypicached; hit"):
        got = await fetch(daemon, url)
        assert (got.status, got.whole, got.body == file.body) == (200, True, True)
        assert "Content-Encoding" not in got.headers
        assert got.headers["Content-Length"] == str(len(file.body))
        assert got.headers["Cache-Status"] == told
        await settled(daemon)
    assert list(blobs_in(daemon)) == [file.sha256]
    assert upstream.count(f"*{file.filename}", "GET") == 1
    await assert_in_step(daemon)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("make", [a_wheel, an_sdist])
@pytest.mark.parametrize("label_only", [True, False])
@pytest.mark.parametrize("page", PAGES)
async def test_encoded__rule_51_what_the_page_says_decides(
    tmp_path: Path, page: str, label_only: bool, make: Any, size: int
) -> None:
    """Encoded or only called so: what matches the page is served and kept, whatever its suffix."""
    async with FakeUpstream(**PAGES[page]) as upstream:
        file = make(size)
        upstream.add("alpha", file)
        upstream.fault("*alpha-1.0*", "gzip_encoded", label_only=label_only)
        async with running(tmp_path, upstream.url) as daemon:
            await assert_served(daemon, upstream, file)
        assert upstream.requests[-1].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("framing", ["chunked", "close"])
@pytest.mark.parametrize("label_only", [True, False])
async def test_encoded__rule_51_without_a_length(
    tmp_path: Path, upstream: FakeUpstream, label_only: bool, framing: str
) -> None:
    """The same without a Content-Length, as an encoding server answers."""
    file = a_wheel(LARGE)
    upstream.add("alpha", file)
    upstream.fault("*.whl", "gzip_encoded", label_only=label_only)
    upstream.fault("*.whl", "no_length", how=framing)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon, upstream, file)


@pytest.mark.parametrize("coding", ["x-gzip", "GZIP"])
async def test_encoded__rule_51_other_names_of_gzip(
    tmp_path: Path, upstream: FakeUpstream, coding: str
) -> None:
    """RFC 9110 §8.4.1: codings are case-insensitive, and x-gzip is gzip."""
    file = a_wheel(SMALL)
    upstream.add("alpha", file)
    upstream.fault("*.whl", "gzip_encoded")
    upstream.fault("*.whl", "header", name="Content-Encoding", value=coding)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon, upstream, file)


async def test_encoded__rule_51_identity_is_no_coding(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """`Content-Encoding: identity` is no reason to hold a file back."""
    file = a_wheel(LARGE)
    upstream.add("alpha", file)
    upstream.fault("*.whl", "header", name="Content-Encoding", value="identity")
    gate = upstream.hold("*.whl", after_bytes=len(file.body) - 1)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", file.filename)
        async with daemon.session.get(url) as answer:
            early = await answer.content.readexactly(len(file.body) - 64 * 1024)
            gate.open()
            assert early + await answer.read() == file.body


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd", "deflate"])
@pytest.mark.parametrize("right", [True, False])
async def test_encoded__rule_51_codings_that_nobody_asked_for(
    tmp_path: Path, upstream: FakeUpstream, coding: str, right: bool
) -> None:
    """A coding that we do not undo is a label at most: the digest says whether it is only that."""
    file = a_wheel(LARGE)
    upstream.add("alpha", file)
    upstream.fault("*.whl", "header", name="Content-Encoding", value=coding)
    if not right:
        upstream.fault("*.whl", "wrong_bytes")
    async with running(tmp_path, upstream.url) as daemon:
        if right:
            await assert_served(daemon, upstream, file)
            return
        got = await fetch(daemon, await daemon.file_url("alpha", file.filename))
        assert (got.status, "encoded" in got.reason) == (502, True)
        await assert_nothing_kept(daemon)


async def test_encoded__several_gzip_members(tmp_path: Path, upstream: FakeUpstream) -> None:
    """RFC 1952 §2.2: gzip may be a series of members."""
    file = a_wheel(LARGE)
    pieces = [file.body[start : start + 70_000] for start in range(0, LARGE, 70_000)]
    series = b"".join(gzip.compress(piece, mtime=0) for piece in pieces)
    upstream.add("alpha", file)
    path = upstream.url_of(file).removeprefix(upstream.files_origin)
    upstream.serve(path, series, "application/octet-stream", Content_Encoding="gzip")
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon, upstream, file)


# ── nothing known but the name ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("make", "label_only"), [(a_wheel, False), (an_sdist, True)], ids=["wheel", "sdist"]
)
@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_encoded__rule_51_neither_digest_nor_size(
    tmp_path: Path, make: Any, label_only: bool, size: int
) -> None:
    """Ours: with nothing to go by, a `.tar.gz` is called gzip, and anything else is encoded."""
    async with FakeUpstream(style="html", hashes=False) as upstream:
        file = make(size)
        upstream.add("alpha", file)
        upstream.fault("*alpha-1.0*", "gzip_encoded", label_only=label_only)
        async with running(tmp_path, upstream.url) as daemon:
            await assert_served(daemon, upstream, file)
            row = next(await daemon.parts.operations.list_files("alpha", "size"))
            assert not row.verified


async def test_encoded__rule_51_neither_and_no_gzip(tmp_path: Path) -> None:
    """With nothing to go by, a wheel that is called gzip and is not is nothing to keep."""
    async with FakeUpstream(style="html", hashes=False) as upstream:
        file = a_wheel(SMALL)
        upstream.add("alpha", file)
        upstream.fault("*.whl", "gzip_encoded", label_only=True)
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await daemon.file_url("alpha", file.filename))
            assert (got.status, "gzip" in got.reason) == (502, True)
            await assert_nothing_kept(daemon)


# ── never a wrong file ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("label_only", [True, False])
@pytest.mark.parametrize(
    ("fault", "args"),
    [
        ("wrong_bytes", {}),
        ("wrong_bytes", {"at": -1}),
        ("short", {"n": 7}),
        ("long", {"n": 7}),
        ("garbage", {}),
        ("close_after", {"n": 9000}),
        ("reset_after", {"n": 9000}),
    ],
)
@pytest.mark.parametrize("order", ["before", "after"])
async def test_encoded__rule_49_51_never_a_wrong_file(
    tmp_path: Path,
    upstream: FakeUpstream,
    fault: str,
    args: dict[str, Any],
    label_only: bool,
    size: int,
    order: str,
) -> None:
    """What is wrong inside its coding or outside: not a byte leaves, nothing stays anywhere."""
    file = a_wheel(size)
    upstream.add("alpha", file)
    rules = [(fault, args), ("gzip_encoded", {"label_only": label_only})]
    for kind, options in rules if order == "before" else reversed(rules):
        upstream.fault("*.whl", kind, **options)
    upstream.fault("*.whl", "ignore_range")
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", file.filename)
        got = await fetch(daemon, url)
        assert got.status in (502, 503)
        assert got.body.decode().startswith("index ")
        await assert_nothing_kept(daemon)
        upstream.heal()
        upstream.clear()
        await assert_served(daemon, upstream, file)


async def test_encoded__rule_51_nothing_leaves_before_the_end(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """While the last byte is missing there is no answer at all, however large the file is."""
    file = a_wheel(LARGE)
    upstream.add("alpha", file)
    upstream.fault("*.whl", "gzip_encoded")
    # Encoded it is a little shorter: this is near its end.
    gate = upstream.hold("*.whl", after_bytes=LARGE - 5000)
    async with running(tmp_path, upstream.url, cache__cold_deadline="1s") as daemon:
        url = await daemon.file_url("alpha", file.filename)
        got = await fetch(daemon, url)
        assert (got.status, gate.waiting) == (503, 1)
        gate.open()
        assert (await fetch(daemon, url)).body == file.body
        assert upstream.count("*.whl") == 1


@pytest.mark.parametrize("page", ["digest and size", "digest"])
async def test_encoded__rule_51_66_gzip_bomb(tmp_path: Path, page: str) -> None:
    """What unpacks to far more than the file is given up long before it is unpacked."""
    async with FakeUpstream(**PAGES[page]) as upstream:
        file = a_wheel(SMALL)
        upstream.add("alpha", file)
        path = upstream.url_of(file).removeprefix(upstream.files_origin)
        bomb = gzip.compress(bytes(60_000_000), mtime=0)
        upstream.serve(path, bomb, "application/octet-stream", Content_Encoding="gzip")
        async with running(tmp_path, upstream.url) as daemon:
            room = daemon.parts.blobs.budget
            most = 0
            reserve = room.reserve

            def watch(wanted: int) -> None:
                nonlocal most
                reserve(wanted)
                most = max(most, room.reserved_bytes)

            room.reserve = watch  # type: ignore[method-assign]
            got = await fetch(daemon, await daemon.file_url("alpha", file.filename))
            assert (got.status, "bytes" in got.reason or "gzip" in got.reason) == (502, True)
            assert 0 < most < 20_000_000
            await assert_nothing_kept(daemon)


async def test_encoded__rule_51_no_end(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A body of a known file that goes on and on is given up soon after the file's size."""
    file = a_wheel(SMALL)
    upstream.add("alpha", file)
    upstream.fault("*.whl", "long", n=50_000_000)
    upstream.fault("*.whl", "gzip_encoded", label_only=True)
    upstream.fault("*.whl", "no_length")
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", file.filename))
        assert (got.status, "sent more than" in got.reason) == (502, True)
        assert upstream.requests[-1].sent_bytes < 20_000_000
        await assert_nothing_kept(daemon)


# ── resumed, without room, HEAD, sidecars ────────────────────────────────────────────────────


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("label_only", [True, False])
async def test_encoded__broken_off_and_resumed(
    tmp_path: Path, upstream: FakeUpstream, ranges: bool, label_only: bool
) -> None:
    """An encoded body that breaks off is resumed as any other."""
    file = a_wheel(LARGE)
    upstream.add("alpha", file)
    upstream.fault("*.whl", "gzip_encoded", label_only=label_only)
    upstream.fault("*.whl", "close_after", times=2, n=100_000)
    if not ranges:
        upstream.fault("*.whl", "ignore_range")
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", file.filename))
        assert (got.status, got.whole, got.body == file.body) == (200, True, True)
        await assert_in_step(daemon)


async def broken_off(daemon: Running, upstream: FakeUpstream, url: str, after: int) -> Got:
    """Fetch a file whose first answer breaks off when just so many bytes of it are here."""
    upstream.fault("*.whl", "close_after", times=1, n=after)
    gate = upstream.hold("*.whl", after_bytes=after)
    asking = asyncio.create_task(fetch(daemon, url))
    await gate.reached()
    await until(lambda: daemon.parts.files.downloads[0].progress.written == after)
    gate.open()
    return await asking


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("digest", [True, False])
async def test_encoded__resumed_in_another_coding(
    tmp_path: Path, first: bool, digest: bool
) -> None:
    """Encoded and plain parts are never put together, even where nothing else could tell."""
    async with FakeUpstream(style="html", hashes=digest) as upstream:
        file = a_wheel(LARGE)
        upstream.add("alpha", file)
        upstream.fault(
            lambda r: r.path.endswith(".whl") and ("range" not in r.headers) == first,
            "gzip_encoded",
        )
        upstream.fault("*.whl", "no_length")
        async with running(tmp_path, upstream.url) as daemon:
            url = await daemon.file_url("alpha", file.filename)
            got = await broken_off(daemon, upstream, url, 100_000)
            assert not (got.status == 200 and got.whole)
            assert upstream.count("*.whl") == 2
            assert daemon.parts.observations.verification_failures == 1
            await assert_nothing_kept(daemon)


@pytest.mark.parametrize("first", [True, False])
async def test_encoded__broken_off_before_its_first_byte(
    tmp_path: Path, upstream: FakeUpstream, first: bool
) -> None:
    """Without a byte so far, the next answer may come in another coding."""
    file = a_wheel(LARGE)
    upstream.add("alpha", file)
    upstream.fault(
        lambda r: r.path.endswith(".whl") and (upstream.count("*.whl") == 1) == first,
        "gzip_encoded",
    )
    upstream.fault("*.whl", "close_after", times=1, n=0)
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", file.filename))
        assert (got.status, got.body == file.body) == (200, True)
        assert upstream.count("*.whl") == 2
        await assert_in_step(daemon)


async def test_encoded__without_room(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Where there is no room to find out, it is a 502 that says so, never a guess."""
    file = a_wheel(LARGE)
    upstream.add("alpha", file)
    upstream.fault("*.whl", "gzip_encoded")
    async with running(tmp_path, upstream.url, cache__max_size="100KiB") as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", file.filename))
        assert (got.status, "no room to decode" in got.reason) == (502, True)
        await assert_nothing_kept(daemon)


async def test_encoded__room_for_one_of_two(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Room for what came and not for what it unpacks to: nothing stays of either."""
    file = a_wheel(LARGE)
    upstream.add("alpha", file)
    upstream.fault("*.whl", "gzip_encoded")
    async with running(tmp_path, upstream.url, cache__max_size="700KB") as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", file.filename))
        assert (got.status, "no room to decode" in got.reason) == (502, True)
        await assert_nothing_kept(daemon)


async def test_encoded__rule_55_head_does_not_tell_the_encoded_length(tmp_path: Path) -> None:
    """The length of an encoded body is not the file's: HEAD says none rather than that."""
    async with FakeUpstream(style="html") as upstream:
        file = with_body(a_wheel(SMALL), bytes(50_000))
        upstream.add("alpha", file)
        upstream.fault("*.whl", "gzip_encoded")
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await daemon.file_url("alpha", file.filename), "HEAD")
            assert got.status == 200
            assert got.headers.get("Content-Length") in (None, str(len(file.body)))


@pytest.mark.parametrize("sidecars", ["hash", "plain"])
async def test_encoded__rule_51_sidecar(tmp_path: Path, sidecars: str) -> None:
    """Sidecars are text, which servers like to encode: they are served plain."""
    async with FakeUpstream(sidecars=sidecars) as upstream:
        wheel = make_wheel("alpha", "1.0", requires=["beta"] * 50)
        upstream.add("alpha", wheel)
        upstream.fault("*.metadata", "gzip_encoded")
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename) + ".metadata")
            assert (got.status, got.body) == (200, wheel.metadata)
            assert "Content-Encoding" not in got.headers
            assert upstream.count("*.whl") == 0
            await assert_in_step(daemon)
