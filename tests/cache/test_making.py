"""Core metadata for wheels whose index offers none, or a wrong one: made from the wheel."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import random
import zipfile
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.cache.client import assert_in_step, assert_nothing_kept, blobs_in, fetch, settled
from tests.fake import DistFile, FakeUpstream, make_sdist, make_wheel
from tests.harness import JSON, Running, running

LARGE = 5_000_000
# An HTML mirror says no sizes and no sidecars; the other gives sizes.
DIALECTS: list[dict[str, Any]] = [{"style": "html"}, {"sidecars": "off"}]


def publish(upstream: FakeUpstream, size: int = LARGE, *, metadata_first: bool = False) -> DistFile:
    wheel = make_wheel(
        "alpha", "1.0", requires=["beta>=2"], size_bytes=size, metadata_first=metadata_first
    )
    upstream.add("alpha", dataclasses.replace(wheel, metadata=None))
    return wheel


def repacked(wheel: DistFile, body: bytes) -> DistFile:
    """Return a wheel of the same name with another body, and no sidecar."""
    digest = hashlib.sha256(body).hexdigest()
    return dataclasses.replace(wheel, body=body, sha256=digest, metadata=None)


async def sidecar_url(daemon: Running, wheel: DistFile) -> str:
    return await daemon.file_url("alpha", wheel.filename) + ".metadata"


def sent_of_wheels(upstream: FakeUpstream) -> int:
    """Return how many bytes of wheels have left the upstream."""
    return sum(r.sent_bytes for r in upstream.requests if r.path.endswith(".whl"))


# ── where it comes from ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_sidecar__rule_18_19_from_a_few_ranges(
    tmp_path: Path, dialect: dict[str, Any]
) -> None:
    """METADATA byte for byte, from a small part of the wheel, kept and counted like any sidecar."""
    async with FakeUpstream(**dialect) as upstream:
        wheel = publish(upstream)
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            for told in ("pypicached; fwd=miss; stored", "pypicached; hit"):
                got = await fetch(daemon, url)
                assert (got.status, got.body) == (200, wheel.metadata)
                assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
                assert got.headers["Content-Length"] == str(len(got.body))
                assert got.headers["Cache-Status"] == told
                assert got.headers["ETag"] == f'"{hashlib.sha256(got.body).hexdigest()}"'
                await settled(daemon)
            assert sent_of_wheels(upstream) < 50_000
            assert upstream.count("*.metadata") == 0
            assert upstream.count("*.whl") <= 3
            await assert_in_step(daemon)
            kinds = (await daemon.parts.operations.stats(3600, 5)).kinds
            assert (kinds["metadata"].hits, kinds["metadata"].misses) == (1, 1)
            assert kinds["metadata"].bytes_from_upstream == sent_of_wheels(upstream)
            assert kinds["file"].requests == 0


@pytest.mark.parametrize("size", [20_000, LARGE])
async def test_sidecar__rule_19_from_the_stored_wheel(tmp_path: Path, size: int) -> None:
    """A wheel that is here gives its metadata without a question to anybody."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream, size)
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            assert (await fetch(daemon, url.removesuffix(".metadata"))).body == wheel.body
            await settled(daemon)
            upstream.clear()
            got = await fetch(daemon, url)
            assert (got.status, got.body) == (200, wheel.metadata)
            assert upstream.requests == []
            await assert_in_step(daemon)


async def test_sidecar__rule_33_survives_a_restart(tmp_path: Path) -> None:
    """What was made is kept: after a restart nobody is asked, and it may even be down."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream)
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            path = url.removeprefix(daemon.url)
            assert (await fetch(daemon, url)).status == 200
        await upstream.stop()
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, daemon.url + path)
            assert (got.status, got.body) == (200, wheel.metadata)
            assert got.headers["Cache-Status"] == "pypicached; hit"
        await upstream.start()


@pytest.mark.parametrize("size", [20_000, 400_000])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_sidecar__rule_18_upstream_without_ranges(
    tmp_path: Path, dialect: dict[str, Any], size: int
) -> None:
    """Where there are no ranges the wheel is downloaded, once, and is cached thereby."""
    async with FakeUpstream(**dialect) as upstream:
        wheel = publish(upstream, size)
        upstream.fault("*.whl", "ignore_range")
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            got = await fetch(daemon, url)
            assert (got.status, got.body) == (200, wheel.metadata)
            await settled(daemon)
            upstream.clear()
            whole = await fetch(daemon, url.removesuffix(".metadata"))
            assert whole.body == wheel.body
            assert whole.headers["Cache-Status"] == "pypicached; hit"
            assert upstream.requests == []
            await assert_in_step(daemon)


@pytest.mark.parametrize(
    ("fault", "args"),
    [
        ("status", {"code": 416}),
        ("status", {"code": 501}),
        ("status", {"code": 206, "body": b"x" * 99}),
        (
            "status",
            {"code": 206, "body": b"x" * 9, "headers": {"Content-Range": "bytes 5-13/5000000"}},
        ),
        ("status", {"code": 206, "body": b"x", "headers": {"Content-Range": "bytes 9-2/400000"}}),
        ("gzip_encoded", {}),
        ("gzip_encoded", {"label_only": True}),
        ("long", {"n": 50}),
        ("short", {"n": 50}),
    ],
)
async def test_sidecar__odd_answer_to_a_range(
    tmp_path: Path, fault: str, args: dict[str, Any]
) -> None:
    """A range that is not exactly that of the file is no part of it: then the whole is taken."""
    async with FakeUpstream(sidecars="off") as upstream:
        wheel = publish(upstream, 400_000)
        upstream.fault("*.whl", fault, times=1, **args)
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await sidecar_url(daemon, wheel))
            assert (got.status, got.body) == (200, wheel.metadata)
            await settled(daemon)
            assert wheel.sha256 in blobs_in(daemon)
            await assert_in_step(daemon)


@pytest.mark.parametrize("validators", [True, False])
async def test_sidecar__file_changed_between_ranges(tmp_path: Path, validators: bool) -> None:
    """Parts of two files are never put together."""
    async with FakeUpstream(style="html", hashes=False, validators=validators) as upstream:
        # The METADATA stands in front, so that it takes a second range; only its text differs.
        old = publish(upstream, 400_000, metadata_first=True)
        new = make_wheel(
            "alpha", "1.0", requires=["gamma>=3"], size_bytes=400_000, metadata_first=True
        )
        assert len(old.body) == len(new.body)
        path = upstream.url_of(old).removeprefix(upstream.files_origin)
        gate = upstream.hold("*.whl")
        async with running(tmp_path, upstream.url) as daemon:
            asking = asyncio.create_task(fetch(daemon, await sidecar_url(daemon, old)))
            await upstream.arrived("*.whl")
            upstream._site._files[path] = new
            gate.open()
            got = await asking
            if validators:
                assert (got.status, got.body) == (200, new.metadata)
            else:
                # Without validators only the checksum tells; nobody gets a mixture.
                assert got.status == 502 or got.body in (old.metadata, new.metadata)


@pytest.mark.parametrize("changed", ["validator", "length"])
async def test_sidecar__upstream_that_ignores_if_range(tmp_path: Path, changed: str) -> None:
    """A part under another validator or of another length is not taken: then the whole is."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream, 400_000, metadata_first=True)
        async with running(tmp_path / "one", upstream.url) as daemon:
            assert (await fetch(daemon, await sidecar_url(daemon, wheel))).status == 200
        second = [r.headers["range"] for r in upstream.requests if "range" in r.headers][1]
        first, last = (int(number) for number in second.removeprefix("bytes=").split("-"))
        etag = '"other"' if changed == "validator" else f'"{wheel.sha256[:32]}"'
        length = len(wheel.body) + (changed == "length")
        headers = {"ETag": etag, "Content-Range": f"bytes {first}-{last}/{length}"}
        upstream.fault(
            lambda r: r.headers.get("range") == second,
            "status",
            code=206,
            body=wheel.body[first : last + 1],
            headers=headers,
        )
        async with running(tmp_path / "two", upstream.url) as daemon:
            got = await fetch(daemon, await sidecar_url(daemon, wheel))
            assert (got.status, got.body) == (200, wheel.metadata)
            await settled(daemon)
            assert wheel.sha256 in blobs_in(daemon)


@pytest.mark.parametrize("advertised", ["hash", "plain", "off"])
async def test_sidecar__stored_wheel_needs_no_upstream(
    tmp_path: Path, advertised: Literal["hash", "plain", "off"]
) -> None:
    """Of a wheel that is here the sidecar is made of it, also where upstream has one and hangs."""
    async with FakeUpstream(sidecars=advertised) as upstream:
        wheel = make_wheel("alpha", "1.0", size_bytes=200_000)
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url) as daemon:
            await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
            await settled(daemon)
            upstream.fault("*", "hang")
            upstream.clear()
            got = await fetch(daemon, await sidecar_url(daemon, wheel))
            assert (got.status, got.body, upstream.requests) == (200, wheel.metadata, [])


async def test_sidecar__stored_wheel_says_another_thing(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Where upstream's hash is not that of the stored wheel's METADATA, upstream's is taken."""
    wheel = make_wheel("alpha", "1.0", size_bytes=200_000)
    assert wheel.metadata is not None
    other = dataclasses.replace(wheel, metadata=wheel.metadata + b"\nUpstream knows better.\n")
    upstream.add("alpha", other)
    async with running(tmp_path, upstream.url) as daemon:
        await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        await settled(daemon)
        got = await fetch(daemon, await sidecar_url(daemon, wheel))
        assert (got.status, got.body) == (200, other.metadata)


# ── an advertised sidecar that is not right ──────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["404", "403", "wrong", "noise", "too large"])
@pytest.mark.parametrize("many", [0, 4000])
async def test_sidecar__rule_18_advertised_but_missing_or_wrong(
    tmp_path: Path, upstream: FakeUpstream, fault: str, many: int
) -> None:
    """A sidecar that is missing or wrong is made from the wheel, and matches its hash."""
    requires = [f"dependency-{n}>={n}" for n in range(many)]
    wheel = make_wheel("alpha", "1.0", requires=requires, size_bytes=300_000)
    assert wheel.metadata is not None
    upstream.add("alpha", wheel)
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "404": ("status", {"code": 404}),
        "403": ("status", {"code": 403}),
        "wrong": ("wrong_bytes", {"at": -1}),
        "noise": ("garbage", {}),
        "too large": ("long", {"n": 9_000_000}),
    }
    kind, args = kinds[fault]
    upstream.fault("*.metadata", kind, **args)
    async with running(tmp_path, upstream.url) as daemon:
        url = await sidecar_url(daemon, wheel)
        got = await fetch(daemon, url)
        assert (got.status, got.whole, got.body == wheel.metadata) == (200, True, True)
        await settled(daemon)
        assert list(blobs_in(daemon)) == [hashlib.sha256(wheel.metadata).hexdigest()]
        await assert_in_step(daemon)
        assert (await fetch(daemon, url)).headers["Cache-Status"] == "pypicached; hit"
        assert upstream.count("*.metadata") == 1


async def test_sidecar__rule_18_hash_of_another(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Where the advertised hash is not that of the wheel's METADATA either, it is a 502."""
    wheel = make_wheel("alpha", "1.0")
    rows = {wheel.filename: {"core-metadata": {"sha256": "ab" * 32}}}
    upstream.add("alpha", wheel, rows=rows)
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await sidecar_url(daemon, wheel))
        assert (got.status, "do not match their sha256" in got.reason) == (502, True)
        await assert_nothing_kept(daemon)


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_sidecar__upstream_is_ill(tmp_path: Path, upstream: FakeUpstream, code: int) -> None:
    """An upstream that fails to answer has not said that there is no sidecar: 503, try again."""
    wheel = make_wheel("alpha", "1.0")
    upstream.add("alpha", wheel)
    upstream.fault("*.metadata", "status", code=code)
    async with running(tmp_path, upstream.url) as daemon:
        got = await fetch(daemon, await sidecar_url(daemon, wheel))
        assert (got.status, upstream.count("*.whl")) == (503, 0)
        await assert_nothing_kept(daemon)


# ── failures ─────────────────────────────────────────────────────────────────────────────────


def no_wheel(wheel: DistFile) -> bytes:
    return b"<html>not found</html>" * 1000


def of_another(wheel: DistFile) -> bytes:
    return make_wheel("gamma", "1.0", size_bytes=50_000).body


def damaged(wheel: DistFile) -> bytes:
    return wheel.body.replace(b"Metadata-Version: 2.1", b"Metadata-Version: 2.2")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(no_wheel, "zip directory"), (of_another, "no METADATA"), (damaged, "bytes are damaged")],
)
async def test_sidecar__damaged_wheel(
    tmp_path: Path, ranges: bool, spoil: Any, reason: str
) -> None:
    """A wheel that cannot be read is a 502 that says why; the sidecar is not kept."""
    async with FakeUpstream(style="html") as upstream:
        whole = make_wheel("alpha", "1.0", size_bytes=50_000)
        wheel = repacked(whole, spoil(whole))
        upstream.add("alpha", wheel)
        if not ranges:
            upstream.fault("*.whl", "ignore_range")
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await sidecar_url(daemon, wheel))
            assert got.status == 502
            assert "cannot read a wheel" in got.reason
            assert reason in got.body.decode()
            await assert_in_step(daemon)
            assert len(blobs_in(daemon)) == (0 if ranges else 1)
            status = await daemon.parts.operations.status()
            assert status.failures[0].what == f"{wheel.filename}.metadata"


@pytest.mark.parametrize("stored", [True, False])
async def test_sidecar__rule_66_too_large(tmp_path: Path, stored: bool) -> None:
    """METADATA beyond the limit is a 502 that names the setting, a zip bomb among them."""
    async with FakeUpstream(style="html") as upstream:
        wheel = make_wheel("alpha", "1.0")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("alpha-1.0.dist-info/METADATA", bytes(20_000_000))
        wheel = repacked(wheel, buffer.getvalue())
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            if stored:
                await fetch(daemon, url.removesuffix(".metadata"))
            got = await fetch(daemon, url)
            assert (got.status, "metadata_size" in got.body.decode()) == (502, True)
            await assert_in_step(daemon)


async def test_sidecar__rule_41_upstream_down(tmp_path: Path) -> None:
    """With the page stored and the upstream down it is a 503, and made once it is back."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream)
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            await upstream.stop()
            got = await fetch(daemon, url)
            assert (got.status, got.headers["Retry-After"]) == (503, "1")
            await upstream.start()
            assert (await fetch(daemon, url)).body == wheel.metadata
            await assert_in_step(daemon)


@pytest.mark.parametrize("code", [404, 410, 403])
async def test_sidecar__wheel_is_gone(tmp_path: Path, code: int) -> None:
    """A wheel that its index lists and does not serve: 502, never a 404."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream)
        upstream.fault("*.whl", "status", code=code)
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await sidecar_url(daemon, wheel))
            assert (got.status, str(code) in got.reason) == (502, True)
            await assert_nothing_kept(daemon)


@pytest.mark.parametrize("fault", ["close_after", "reset_after"])
async def test_sidecar__range_breaks_off(tmp_path: Path, fault: str) -> None:
    """A range that breaks off is an upstream that failed: 503, nothing kept, then well."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream)
        upstream.fault("*.whl", fault, n=100)
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            assert (await fetch(daemon, url)).status == 503
            await assert_nothing_kept(daemon)
            upstream.heal()
            assert (await fetch(daemon, url)).body == wheel.metadata


async def test_sidecar__no_room_for_it(tmp_path: Path) -> None:
    """Without room for anything, a sidecar is made all the same, and served."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream)
        async with running(tmp_path, upstream.url, cache__max_size="1KiB") as daemon:
            url = await sidecar_url(daemon, wheel)
            for _ in range(2):
                got = await fetch(daemon, url)
                assert (got.status, got.body) == (200, wheel.metadata)
            await assert_nothing_kept(daemon)


async def test_sidecar__no_room_for_its_wheel(tmp_path: Path) -> None:
    """Without ranges and without room for the wheel there is no way: 502 that says so."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream, 400_000)
        upstream.fault("*.whl", "ignore_range")
        async with running(tmp_path, upstream.url, cache__max_size="100KiB") as daemon:
            got = await fetch(daemon, await sidecar_url(daemon, wheel))
            assert (got.status, "no room for its wheel" in got.reason) == (502, True)
            await assert_nothing_kept(daemon)


# ── many at once ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ranges", [True, False])
async def test_sidecar__rule_48_made_once_for_all(tmp_path: Path, ranges: bool) -> None:
    """Fifty clients at once: one making, and all of them are served."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream, 400_000)
        if not ranges:
            upstream.fault("*.whl", "ignore_range")
        gate = upstream.hold("*.whl")
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            asking = [asyncio.create_task(fetch(daemon, url)) for _ in range(50)]
            await gate.reached()
            gate.open()
            for got in await asyncio.gather(*asking):
                assert (got.status, got.body) == (200, wheel.metadata)
            assert upstream.count("*.whl") <= 3
            await assert_in_step(daemon)


async def test_sidecar__while_its_wheel_is_downloaded(tmp_path: Path) -> None:
    """A sidecar does not wait for its wheel's running download where ranges do."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream)
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            gate = upstream.hold(lambda r: "range" not in r.headers and r.path.endswith(".whl"))
            whole = asyncio.create_task(fetch(daemon, url.removesuffix(".metadata")))
            await gate.reached()
            assert (await fetch(daemon, url)).body == wheel.metadata
            gate.open()
            assert (await whole).body == wheel.body
            await assert_in_step(daemon)


async def test_sidecar__rule_58_its_client_leaves(tmp_path: Path) -> None:
    """The making goes on when the client that asked has left."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream)
        gate = upstream.hold("*.whl")
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            asking = asyncio.create_task(fetch(daemon, url))
            await gate.reached()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            gate.open()
            await settled(daemon)
            assert (await fetch(daemon, url)).headers["Cache-Status"] == "pypicached; hit"


# ── what pages say, and HEAD ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_page__rule_17_advertises_what_is_made(
    tmp_path: Path, dialect: dict[str, Any]
) -> None:
    """Every wheel has core metadata without a hash, in JSON and HTML; an sdist has none."""
    async with FakeUpstream(**dialect) as upstream:
        wheel, sdist = publish(upstream, 20_000), make_sdist("alpha", "1.0")
        upstream.add("alpha", sdist)
        async with running(tmp_path, upstream.url) as daemon:
            before = await daemon.ask("/simple/alpha/", Accept=JSON)
            files = (await daemon.page("alpha"))["files"]
            assert isinstance(files, list)
            rows = {file["filename"]: file for file in files}
            assert rows[wheel.filename]["core-metadata"] is True
            assert "core-metadata" not in rows[sdist.filename]
            html = (await daemon.ask("/simple/alpha/", Accept="text/html")).text
            assert html.count('data-core-metadata="true"') == 1
            assert html.count('data-dist-info-metadata="true"') == 1
            # Making one changes no page.
            assert (await fetch(daemon, await sidecar_url(daemon, wheel))).status == 200
            after = await daemon.ask("/simple/alpha/", Accept=JSON)
            assert (before.body, before.headers["ETag"]) == (after.body, after.headers["ETag"])
            for method in ("GET", "HEAD"):
                got = await fetch(daemon, await sidecar_url(daemon, sdist), method)
                assert got.status == 404
            assert upstream.count("*.tar.gz*") == 0


async def test_page__rule_17_hash_of_upstream_is_kept(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Where upstream gives a sidecar's hash, it stands on our page too."""
    wheel = make_wheel("alpha", "1.0")
    upstream.add("alpha", wheel)
    async with running(tmp_path, upstream.url) as daemon:
        files = (await daemon.page("alpha"))["files"]
        assert isinstance(files, list)
        digest = hashlib.sha256(wheel.metadata or b"").hexdigest()
        assert files[0]["core-metadata"] == {"sha256": digest}


async def test_sidecar__rule_29_head(tmp_path: Path) -> None:
    """HEAD tells what GET does, cold and stored, and the wheel is not downloaded for it."""
    async with FakeUpstream(style="html") as upstream:
        wheel = publish(upstream)
        async with running(tmp_path, upstream.url) as daemon:
            url = await sidecar_url(daemon, wheel)
            cold = await fetch(daemon, url, "HEAD")
            await settled(daemon)
            head, get = await fetch(daemon, url, "HEAD"), await fetch(daemon, url)
            assert (cold.status, cold.body, get.body) == (200, b"", wheel.metadata)
            assert sent_of_wheels(upstream) < 50_000
        ours = {"Date", "Age", "Cache-Status", "X-Request-ID"}
        told = [{k: v for k, v in got.headers.items() if k not in ours} for got in (head, get)]
        assert told[0] == told[1]
        assert cold.headers["Content-Length"] == get.headers["Content-Length"]
        assert cold.headers["ETag"] == get.headers["ETag"]


async def test_sidecar__of_a_wheel_with_many_files(tmp_path: Path) -> None:
    """A directory that is longer than the first range costs one more, not the wheel."""
    async with FakeUpstream(style="html") as upstream:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("alpha-1.0.dist-info/METADATA", b"Name: alpha\n")
            archive.writestr("alpha/data.bin", random.Random(5).randbytes(2_000_000))
            for number in range(3000):
                archive.writestr(f"alpha/module_{number}.py", b"")
        wheel = repacked(make_wheel("alpha", "1.0"), buffer.getvalue())
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await sidecar_url(daemon, wheel))
            assert (got.status, got.body) == (200, b"Name: alpha\n")
            assert upstream.count("*.whl") == 3
            assert sent_of_wheels(upstream) < 300_000
