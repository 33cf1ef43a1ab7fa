"""Distribution files as clients see them: headers, ranges, conditions, paths (rules 48 to 69)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cache.client import assert_nothing_kept, fetch, settled
from tests.fake import DistFile, FakeUpstream, make_sdist, make_wheel
from tests.harness import Running, running

# Small files live in memory, large ones go by sendfile.
SIZES = {"small": 20_000, "large": 300_000}
# What may differ between a hit and a miss, and between HEAD and GET (rule 29).
VARYING = {"date", "age", "cache-status", "x-request-id"}


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
async def test_file__rule_50_57_69_headers(
    daemon: Running, upstream: FakeUpstream, size: str
) -> None:
    """Length, type, validator and cache rules are the same on miss and hit (50 to 57, 69)."""
    wheel = publish(upstream, size)
    url = await daemon.file_url("alpha", wheel.filename)
    cold = await fetch(daemon, url)
    await settled(daemon)
    warm = await fetch(daemon, url)
    for got in (cold, warm):
        assert (got.status, got.body == wheel.body) == (200, True)
        assert got.headers["Content-Length"] == str(len(wheel.body))
        assert got.headers["Content-Type"] == "application/octet-stream"
        assert got.headers["Accept-Ranges"] == "bytes"
        assert got.headers["ETag"] == f'"{wheel.sha256}"'
        assert got.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert got.headers["Server"].startswith("pypicached/")
        assert not {"Content-Encoding", "Content-Disposition"} & set(got.headers)
    assert cold.headers["Cache-Status"] == "pypicached; fwd=miss; stored"
    assert warm.headers["Cache-Status"] == "pypicached; hit"
    assert set(cold.headers) == set(warm.headers)


async def test_file__rule_56_mutable_path(tmp_path: Path) -> None:
    """A path that does not name its content may mean other bytes tomorrow: ten minutes."""
    wheel = make_wheel("alpha", "1.0")
    async with FakeUpstream(file_paths="flat") as upstream:
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
            assert got.headers["Cache-Control"] == "public, max-age=600"


async def test_file__rule_37_of_an_index_with_credentials(tmp_path: Path) -> None:
    """Files of an index with credentials are for no shared cache."""
    wheel = make_wheel("alpha", "1.0")
    async with FakeUpstream(auth=("user", "secret")) as upstream:
        upstream.add("alpha", wheel)
        config = tmp_path / "pypicached.toml"
        config.write_text(
            f'[[index]]\nname = "own"\nurl = "{upstream.url}"\n'
            'username = "user"\npassword = "secret"\n'
        )
        async with running(tmp_path, config=config) as daemon:
            url = await daemon.file_url("alpha", wheel.filename)
            for _ in range(2):
                got = await fetch(daemon, url)
                assert got.headers["Cache-Control"].startswith("private, ")
                await settled(daemon)


async def test_file__rule_51_upstream_is_asked_for_identity(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """Upstream is asked for raw bytes; an archive that it calls gzip-coded arrives as it is."""
    sdist = make_sdist("alpha", "1.0")
    upstream.add("alpha", sdist)
    upstream.fault("*.tar.gz", "gzip_encoded", label_only=True)
    url = await daemon.file_url("alpha", sdist.filename)
    for _ in range(2):
        # This client would decode what claims to be coded.
        got = await fetch(daemon, url, Accept_Encoding="gzip, zstd")
        assert (got.body, "Content-Encoding" in got.headers) == (sdist.body, False)
        await settled(daemon)
    assert upstream.requests[-1].headers["accept-encoding"] == "identity"


async def test_file__rule_65_user_agent(daemon: Running, upstream: FakeUpstream) -> None:
    """Upstream is told who asks."""
    wheel = publish(upstream)
    await stored(daemon, wheel)
    assert upstream.requests[-1].headers["user-agent"].startswith("pypicached/")


@pytest.mark.parametrize("size", SIZES)
async def test_head__rule_29_like_get(daemon: Running, upstream: FakeUpstream, size: str) -> None:
    """HEAD says what GET says, cold and stored."""
    wheel = publish(upstream, size)
    url = await daemon.file_url("alpha", wheel.filename)
    cold_head = await fetch(daemon, url, "HEAD")
    cold = await fetch(daemon, url)
    await settled(daemon)
    warm_head, warm = await fetch(daemon, url, "HEAD"), await fetch(daemon, url)
    for head, got in ((cold_head, cold), (warm_head, warm)):
        assert (head.status, head.body) == (200, b"")
        kept = [
            {k: v for k, v in a.headers.items() if k.lower() not in VARYING} for a in (head, got)
        ]
        assert kept[0] == kept[1]


async def test_head__rule_55_cold_without_download(daemon: Running, upstream: FakeUpstream) -> None:
    """HEAD on a cold file is answered from the page; nothing is fetched or kept."""
    wheel = publish(upstream)
    got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename), "HEAD")
    assert (got.status, got.headers["Content-Length"]) == (200, str(len(wheel.body)))
    assert upstream.count("*.whl") == 0
    await assert_nothing_kept(daemon)


async def test_head__rule_55_length_from_upstream(tmp_path: Path) -> None:
    """Where the page does not tell the length, upstream's HEAD does."""
    wheel = make_wheel("alpha", "1.0")
    async with FakeUpstream(style="html") as upstream:
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url) as daemon:
            got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename), "HEAD")
            assert got.headers["Content-Length"] == str(len(wheel.body))
            assert [r.method for r in upstream.requests if r.path.endswith("whl")] == ["HEAD"]


@pytest.mark.parametrize("range_", ["bytes=0-4", "bytes=999999-"])
async def test_head__range_is_for_get(daemon: Running, upstream: FakeUpstream, range_: str) -> None:
    """Range means nothing but with GET (RFC 9110 §14.2)."""
    wheel = publish(upstream)
    url = await stored(daemon, wheel)
    got = await fetch(daemon, url, "HEAD", Range=range_)
    assert (got.status, got.headers["Content-Length"]) == (200, str(len(wheel.body)))
