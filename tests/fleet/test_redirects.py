"""Clients that are sent to the shared store: when, where to, and when not."""

from __future__ import annotations

import asyncio

import pytest

from pypicached.web import redirects
from tests.cache.client import blobs_in, fetch, settled, until
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.fleet import faulty
from tests.fleet.conftest import MakeDaemon
from tests.fleet.faulty import FaultyStore
from tests.harness import Running

REDIRECT = {"store__s3__serve": "redirect"}


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=300_000)
    upstream.add("alpha", made)
    return made


async def shared(daemon: Running, store: FaultyStore, wheel: DistFile) -> str:
    """Let a daemon fetch a file and put it into the store; return its URL."""
    url = await daemon.file_url("alpha", wheel.filename)
    got = await fetch(daemon, url)
    assert (got.status, got.body) == (200, wheel.body)
    await settled(daemon)
    await until(lambda: wheel.sha256 in store.objects)
    fleet = daemon.parts.fleet
    assert fleet is not None
    await until(lambda: not fleet.uploads._running)
    return url


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects__once_it_is_there(
    with_store: MakeDaemon, store: FaultyStore, wheel: DistFile, status: int
) -> None:
    """The first client has it from us; the next are sent to a signed URL that gives the bytes."""
    async with with_store(**REDIRECT, store__s3__redirect_status=status) as daemon:
        url = await shared(daemon, store, wheel)
        got = await fetch(daemon, url)
        assert (got.status, got.body) == (status, b"")
        location = got.headers["Location"]
        assert location.startswith(f"{store.url}/wheels/sha256/{wheel.sha256[:2]}/{wheel.sha256}?")
        assert "X-Amz-Signature" in location
        assert got.headers["Cache-Control"] == "no-store"
        assert got.headers["Cache-Status"] == 'pypicached; hit; detail="shared store"'
        assert (await fetch(daemon, location)).body == wheel.body
        head = await fetch(daemon, url, "HEAD")
        assert head.status == status
        assert head.headers["Location"] != location  # a signature is for one method
        looks = store.count("HEAD")
        await fetch(daemon, url)
        assert store.count("HEAD") == looks


async def test_redirects__public_url(
    with_store: MakeDaemon, store: FaultyStore, wheel: DistFile
) -> None:
    """A public address has no query, so that it can be kept by caches on the way."""
    public = "http://cdn.example/wheels"
    async with with_store(**REDIRECT, store__s3__public_url=public) as daemon:
        url = await shared(daemon, store, wheel)
        got = await fetch(daemon, url)
    assert got.headers["Location"] == f"{public}/sha256/{wheel.sha256[:2]}/{wheel.sha256}"
    assert got.headers["Cache-Control"] == "public, max-age=600"


async def test_redirects__evicted_here(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore, wheel: DistFile
) -> None:
    """A disk can be small: what went from it is still known to be in the store."""
    async with with_store(**REDIRECT) as daemon:
        url = await shared(daemon, store, wheel)
        await daemon.parts.blobs.remove([wheel.sha256])
        upstream.clear()
        got = await fetch(daemon, url)
        assert got.status == 302
        assert blobs_in(daemon) == {}
    assert upstream.count("*.whl") == 0


async def test_redirects__small_files_and_sidecars_from_here(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore
) -> None:
    """What memory has takes a client less than a second request would."""
    small = make_wheel("alpha", "2.0", size_bytes=9_000)
    upstream.add("alpha", small)
    async with with_store(**REDIRECT) as daemon:
        url = await shared(daemon, store, small)
        assert (await fetch(daemon, url)).status == 200
        assert (await fetch(daemon, url + ".metadata")).status == 200
        assert (await fetch(daemon, url + ".metadata")).status == 200


@pytest.mark.parametrize("how", ["failing", "silent", "gone", "refusing"])
async def test_redirects__store_at_fault(
    with_store: MakeDaemon,
    upstream: FakeUpstream,
    store: FaultyStore,
    wheel: DistFile,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody is sent to a store that is not well, or has lost the file: it is sent from here."""
    monkeypatch.setattr(redirects, "LOOK_SECONDS", 0.3)
    async with with_store(**REDIRECT) as daemon:
        url = await shared(daemon, store, wheel)
        if how == "gone":
            store.objects.clear()
        else:
            fault = {
                "failing": faulty.failing,
                "silent": faulty.silent,
                "refusing": faulty.denied,
            }[how]
            store.broken = lambda request: fault(request, b"")
        upstream.clear()
        answers = await asyncio.gather(*(fetch(daemon, url) for _ in range(5)))
        assert [(got.status, got.body == wheel.body) for got in answers] == [(200, True)] * 5
        if how == "gone":
            await until(lambda: wheel.sha256 in store.objects)  # and is put there again
    assert upstream.count("*.whl") == 0


async def test_redirects__refused_here(
    with_store: MakeDaemon, store: FaultyStore, wheel: DistFile
) -> None:
    """A rule is asked before anybody is sent away."""
    async with with_store(**REDIRECT) as daemon:
        url = await shared(daemon, store, wheel)
    async with with_store(**REDIRECT, policy__deny=["alpha"]) as daemon:
        got = await fetch(daemon, daemon.url + "/files/" + url.partition("/files/")[2])
    assert got.status == 403


async def test_redirects__counts_and_who(
    with_store: MakeDaemon, store: FaultyStore, wheel: DistFile
) -> None:
    """A client that was sent away is one that fetched the file, and a hit."""
    async with with_store(**REDIRECT) as daemon:
        url = await shared(daemon, store, wheel)
        await fetch(daemon, url, User_Agent="pip/26.0")
        await daemon.parts.ledger.usage.flush()
        stats = await daemon.parts.operations.stats(3600, 1)
        assert stats.kinds["file"].hits == 1


async def test_redirects__renewed_once_a_day(
    with_store: MakeDaemon, store: FaultyStore, wheel: DistFile
) -> None:
    """What clients get from the store alone is renewed there, too, or it would be pruned."""
    async with with_store(**REDIRECT) as daemon:
        url = await shared(daemon, store, wheel)
        puts = store.count("PUT")
        daemon.clock.advance(2 * 86400)
        await fetch(daemon, url)
        assert store.count("PUT") == puts + 1
        assert store.objects[wheel.sha256] == wheel.body
        await fetch(daemon, url)
        assert store.count("PUT") == puts + 1
