"""Wrong files: no client ever completes one, and nothing of it is kept (rules 49, 54)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cache.client import assert_in_step, assert_nothing_kept, blobs_in, fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running

SMALL, LARGE = 20_000, 400_000

# Faults after which no part of what upstream sends may pass for the file.
WRONG: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "wrong bytes": [("wrong_bytes", {})],
    "wrong last byte": [("wrong_bytes", {"at": -1})],
    "wrong first byte": [("wrong_bytes", {"at": 0})],
    "short": [("short", {"n": 7})],
    "long": [("long", {"n": 7})],
    "chunked and wrong": [("wrong_bytes", {"at": -1}), ("no_length", {})],
    "chunked and short": [("short", {"n": 7}), ("no_length", {})],
    "chunked and long": [("long", {"n": 7}), ("no_length", {})],
    "chunked and much longer": [("long", {"n": 300_000}), ("no_length", {})],
    "to the end of the connection, short": [("short", {"n": 7}), ("no_length", {"how": "close"})],
    "to the end of the connection, wrong": [("wrong_bytes", {}), ("no_length", {"how": "close"})],
    "reset again and again": [("reset_after", {"n": 10_000}), ("ignore_range", {})],
    "closed early again and again": [("close_after", {"n": 10_000}), ("ignore_range", {})],
    "noise": [("garbage", {"size": 5000})],
    "announced a byte too many": [("header", {"name": "Content-Length", "value": "999999"})],
    "a part for the whole": [("status", {"code": 206, "body": b"x" * 5000})],
}


def publish(upstream: FakeUpstream, size: int) -> DistFile:
    wheel = make_wheel("alpha", "1.0", size_bytes=size)
    upstream.add("alpha", wheel)
    return wheel


async def check_again(daemon: Running, upstream: FakeUpstream, url: str, wheel: DistFile) -> None:
    """Once upstream is well, the next request asks it again, and gets and keeps the file."""
    upstream.heal()
    upstream.clear()
    got = await fetch(daemon, url)
    assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
    assert upstream.count("*.whl", "GET") == 1
    await assert_in_step(daemon)
    assert list(blobs_in(daemon)) == [wheel.sha256]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_file__rule_49_wrong_is_never_completed(
    tmp_path: Path, upstream: FakeUpstream, wrong: str, size: int
) -> None:
    """Wrong bytes or a wrong length: no whole answer, nothing kept, and the next request asks."""
    wheel = publish(upstream, size)
    for kind, args in WRONG[wrong]:
        upstream.fault("*.whl", kind, **args)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        got = await fetch(daemon, url)
        if got.status == 200:
            assert not got.whole
            assert len(got.body) <= len(wheel.body) - 64 * 1024
            assert size == LARGE
        else:
            assert got.status in (502, 503)
            assert got.headers["Cache-Control"] == "no-store"
            assert got.reason.startswith("index ")
            assert got.reason.isascii()
            assert got.body.decode().startswith(got.reason)
            assert got.headers["Retry-After"] == "1"
        await assert_nothing_kept(daemon)
        await check_again(daemon, upstream, url, wheel)


@pytest.mark.parametrize("wrong", ["wrong bytes", "short", "long", "chunked and long"])
async def test_file__rule_49_up_to_64_kib_is_a_502(
    tmp_path: Path, upstream: FakeUpstream, wrong: str
) -> None:
    """A wrong file of up to 64 KiB is a 502 that says what is wrong, and `status` counts it."""
    wheel = publish(upstream, 64 * 1024)
    assert len(wheel.body) <= 64 * 1024
    for kind, args in WRONG[wrong]:
        upstream.fault("*.whl", kind, **args)
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.status, got.whole) == (502, True)
        assert "bytes" in got.reason
        status = await daemon.parts.operations.status()
        assert any("did not match" in problem for problem in status.problems)
        assert status.failures[0].what == wheel.filename


@pytest.mark.parametrize("where", ["first", "last"])
async def test_file__range_of_a_wrong_file(
    tmp_path: Path, upstream: FakeUpstream, where: str
) -> None:
    """A range that reaches into the last 64 KiB is not completed before the file is known right."""
    wheel = publish(upstream, LARGE)
    upstream.fault("*.whl", "wrong_bytes", at=-1)
    reach = "bytes=0-99999" if where == "first" else "bytes=-70000"
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename), Range=reach)
        if where == "first":
            assert (got.whole, got.body) == (True, wheel.body[:100_000])
        else:
            assert not got.whole
        await assert_nothing_kept(daemon)


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "blake2b", "sha512"])
async def test_file__every_hash_counts(
    tmp_path: Path, upstream: FakeUpstream, algorithm: str
) -> None:
    """Each hash that the page gives and hashlib knows is checked, not sha256 alone."""
    wheel = make_wheel("alpha", "1.0", size_bytes=SMALL)
    hashes = {"sha256": wheel.sha256, "unheard-of": "00"} | {algorithm: "ab" * 32}
    upstream.add("alpha", wheel, rows={wheel.filename: {"hashes": hashes}})
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert got.status == 502
        assert algorithm in got.reason
        await assert_nothing_kept(daemon)


async def test_file__hash_that_nobody_knows(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A hash that hashlib does not know is passed over; the file is kept by its sha256."""
    wheel = make_wheel("alpha", "1.0", size_bytes=SMALL)
    upstream.add("alpha", wheel, rows={wheel.filename: {"hashes": {"unheard-of": "00"}}})
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.status, got.body) == (200, wheel.body)
        await assert_in_step(daemon)
        row = next(await daemon.parts.operations.list_files("alpha", "size"))
        assert (row.sha256, row.verified) == (wheel.sha256, False)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("how", ["chunked", "close"])
async def test_file__without_length_and_hash(tmp_path: Path, size: int, how: str) -> None:
    """With neither length nor hash a clean end is all there is: kept, marked unverified."""
    wheel = make_wheel("alpha", "1.0", size_bytes=size)
    async with FakeUpstream(style="html", hashes=False) as upstream:
        upstream.add("alpha", wheel)
        upstream.fault("*.whl", "no_length", how=how)
        async with running(tmp_path, upstream.url) as daemon:
            url = await daemon.file_url("alpha", wheel.filename)
            first = await fetch(daemon, url)
            assert (first.status, first.body, first.whole) == (200, wheel.body, True)
            await assert_in_step(daemon)
            row = next(await daemon.parts.operations.list_files("alpha", "size"))
            assert not row.verified
            again = await fetch(daemon, url)
            assert (again.body, again.headers["Cache-Status"]) == (wheel.body, "pypicached; hit")
            assert upstream.count("*.whl", "GET") == 1


async def test_file__broken_chunks_without_hash(tmp_path: Path) -> None:
    """A chunked body that breaks off is no whole file, even where nothing else could tell."""
    wheel = make_wheel("alpha", "1.0", size_bytes=LARGE)
    async with FakeUpstream(style="html", hashes=False, validators=False) as upstream:
        upstream.add("alpha", wheel)
        upstream.fault("*.whl", "no_length")
        upstream.fault("*.whl", "close_after", n=200_000)
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
            assert not (got.status == 200 and got.whole)
            await assert_nothing_kept(daemon)


async def test_file__no_blob_before_verification(tmp_path: Path, upstream: FakeUpstream) -> None:
    """While the last byte is missing there is a spool, but no blob and no row."""
    wheel = publish(upstream, LARGE)
    gate = upstream.hold("*.whl", after_bytes=len(wheel.body) - 1)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        async with daemon.session.get(url) as answer:
            early = await answer.content.readexactly(len(wheel.body) - 64 * 1024)
            await gate.reached()
            assert blobs_in(daemon) == {}
            assert await daemon.parts.ledger.files.totals() == (0, 0)
            gate.open()
            assert early + await answer.read() == wheel.body
        await settled(daemon)
        assert list(blobs_in(daemon)) == [wheel.sha256]


async def test_file__last_64_kib_wait_for_the_verdict(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Not a byte of the last 64 KiB leaves before the whole file is verified (invariant 1)."""
    wheel = publish(upstream, LARGE)
    upstream.fault("*.whl", "wrong_bytes", at=0)
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert not got.whole
        assert len(got.body) <= len(wheel.body) - 64 * 1024
