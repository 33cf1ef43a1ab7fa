"""Misses that the shared store answers, or does not: order, verification, faults of all kinds."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from pypicached.cache import health, shared_part
from pypicached.store import s3_client
from tests.cache.client import assert_nothing_kept, blobs_in, fetch, settled, until
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.fleet import faulty
from tests.fleet.conftest import MakeDaemon
from tests.fleet.faulty import Fault, FaultyStore
from tests.harness import Running

SIZE = 600_000


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=SIZE)
    upstream.add("alpha", made)
    return made


async def assert_whole(daemon: Running, wheel: DistFile, clients: int = 1) -> list[str]:
    """All clients get the file; return their Cache-Status."""
    url = await daemon.file_url("alpha", wheel.filename)
    answers = await asyncio.gather(*(fetch(daemon, url) for _ in range(clients)))
    for got in answers:
        assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
    await settled(daemon)
    assert blobs_in(daemon)[wheel.sha256].read_bytes() == wheel.body
    return [got.headers["Cache-Status"] for got in answers]


async def test_fetching__from_the_store(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore, wheel: DistFile
) -> None:
    """What the store has is fetched from it once, whoever asks, and kept; upstream is not asked."""
    store.put(wheel.body)
    async with with_store() as daemon:
        told = await assert_whole(daemon, wheel, clients=20)
        assert 'pypicached; fwd=miss; stored; detail="shared store"' in told
        assert store.count("GET") == 1
        assert (await assert_whole(daemon, wheel)) == ["pypicached; hit"]
        status = await daemon.parts.operations.status()
    assert upstream.count("*.whl") == 0
    assert status.store is not None
    assert (status.store.state, status.store.fetched_files) == ("ok", 1)
    assert status.store.fetched_bytes == len(wheel.body)
    # It is there already.
    assert (status.store.waiting_files, store.count("PUT")) == (0, 0)


async def test_fetching__not_there(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore, wheel: DistFile
) -> None:
    """What the store lacks comes from upstream, and is put there behind."""
    async with with_store() as daemon:
        await assert_whole(daemon, wheel, clients=20)
        await until(lambda: wheel.sha256 in store.objects)
    assert store.objects[wheel.sha256] == wheel.body
    assert upstream.count("*.whl") == 1


async def test_fetching__small_file_and_sidecar(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore
) -> None:
    """Sidecars are blobs like others, where their page gives a digest."""
    small = make_wheel("alpha", "2.0", size_bytes=9_000)
    upstream.add("alpha", small)
    store.put(small.body)
    async with with_store() as daemon:
        await assert_whole(daemon, small)
        url = await daemon.file_url("alpha", small.filename)
        got = await fetch(daemon, url + ".metadata")
        assert got.status == 200
        await until(lambda: hashlib.sha256(got.body).hexdigest() in store.objects)
    async with with_store("other") as daemon:
        upstream.clear()
        url = await daemon.file_url("alpha", small.filename)
        assert (await fetch(daemon, url + ".metadata")).body == got.body
    assert upstream.count("*.whl") + upstream.count("*.metadata") == 0


FAULTS: dict[str, Fault] = {
    "wrong": faulty.wrong,
    "wrong at its end": faulty.wrong_end,
    "shorter": faulty.shorter,
    "longer": faulty.longer,
    "page": faulty.page,
    "denied": faulty.denied,
    "failing": faulty.failing,
    "silent": faulty.silent,
    "cut": faulty.cut_after(100_000),
    "cut at once": faulty.cut_after(0),
    "stalling": faulty.cut_after(100_000, then=3600),
    "slow": faulty.slow(10_000, 0.5),
}


@pytest.mark.parametrize("clients", [1, 20])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_fetching__store_at_fault(
    with_store: MakeDaemon,
    upstream: FakeUpstream,
    store: FaultyStore,
    wheel: DistFile,
    fault: Fault,
    clients: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the store does, every client has the right bytes, of at most one upstream GET."""
    monkeypatch.setattr(shared_part, "FIRST_SECONDS", 0.5)
    monkeypatch.setattr(shared_part, "SLOW_SECONDS", 0.5)
    monkeypatch.setattr(s3_client, "READ_SECONDS", 1.0)
    store.put(wheel.body)
    store.fault = fault
    async with with_store() as daemon:
        await assert_whole(daemon, wheel, clients)
        assert upstream.count("*.whl") <= 1


@pytest.mark.parametrize("fault", [faulty.wrong, faulty.wrong_end, faulty.shorter])
async def test_fetching__damaged_object_is_replaced(
    with_store: MakeDaemon,
    upstream: FakeUpstream,
    store: FaultyStore,
    wheel: DistFile,
    fault: Fault,
) -> None:
    """A damaged object goes, is counted and told, and is put there anew."""
    store.put(wheel.body)
    store.fault = fault
    async with with_store() as daemon:
        await assert_whole(daemon, wheel)
        store.fault = None
        await until(lambda: store.count("PUT") > 0)
        status = await daemon.parts.operations.status()
    assert store.count("POST") == 1
    assert store.objects[wheel.sha256] == wheel.body
    assert status.store is not None
    assert status.store.damaged_files == 1
    assert any("1 files of the shared store were damaged" in p for p in status.problems)
    async with with_store("other") as daemon:
        upstream.clear()
        await assert_whole(daemon, wheel)
        assert upstream.count("*.whl") == 0


async def test_fetching__both_down(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore, wheel: DistFile
) -> None:
    """Where neither gives it, the client is told of upstream, and nothing is kept."""
    store.put(wheel.body)
    store.fault = faulty.cut_after(100_000)
    async with with_store() as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        upstream.fault("*.whl", "status", code=503)
        got = await fetch(daemon, url)
        assert got.status in (502, 503)
        await settled(daemon)
        assert blobs_in(daemon) == {}
        upstream.heal()
        store.fault = None
        await assert_whole(daemon, wheel)


async def test_fetching__store_left_alone(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore
) -> None:
    """A store that keeps failing is asked by probes only, and used again once it answers."""
    wheels = [make_wheel("alpha", f"{n}.0", size_bytes=5000 + n) for n in range(12)]
    upstream.add("alpha", *wheels)
    for wheel in wheels:
        store.put(wheel.body)
    store.broken = lambda _request: faulty.failing(_request, b"")
    async with with_store() as daemon:
        for wheel in wheels[:8]:
            await assert_whole(daemon, wheel)
        asked = store.count("GET")
        assert asked <= health.NEEDED + 4
        status = await daemon.parts.operations.status()
        assert any("the shared store" in problem for problem in status.problems)
        store.broken = None
        fleet = daemon.parts.fleet
        assert fleet is not None
        await until(lambda: not fleet.health.failing, seconds=20)
        upstream.clear()
        await assert_whole(daemon, wheels[11])
        assert upstream.count("*.whl") == 0


async def test_fetching__refused_here(
    with_store: MakeDaemon, store: FaultyStore, wheel: DistFile
) -> None:
    """What a rule refuses is refused, whatever the store has."""
    store.put(wheel.body)
    async with with_store() as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
    async with with_store("strict", policy__deny=["alpha"]) as daemon:
        got = await fetch(daemon, url.replace(url.split("/files/")[0], daemon.url))
        assert got.status == 403
    assert store.count("GET") == 0


async def test_fetching__range(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore, wheel: DistFile
) -> None:
    """A range of what comes from the store is a 206 with its bytes."""
    store.put(wheel.body)
    async with with_store() as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        got = await fetch(daemon, url, Range="bytes=1000-1999")
        assert (got.status, got.body) == (206, wheel.body[1000:2000])
        await settled(daemon)
    assert upstream.count("*.whl") == 0


async def test_fetching__head(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore, wheel: DistFile
) -> None:
    """HEAD of a cold file downloads nothing, from nowhere."""
    store.put(wheel.body)
    async with with_store() as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        got = await fetch(daemon, url, "HEAD")
        assert (got.status, got.headers["Content-Length"]) == (200, str(len(wheel.body)))
    assert store.count("GET") == upstream.count("*.whl") == 0


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what sets for how long bytes of the store are held."""
    return lambda seconds: monkeypatch.setattr(shared_part, "HOLD_SECONDS", seconds)


async def test_fetching__flows_after_a_while(
    with_store: MakeDaemon,
    upstream: FakeUpstream,
    store: FaultyStore,
    wheel: DistFile,
    held: Callable[[float], None],
) -> None:
    """Bytes are held until verified, but not for longer than a client waits; nothing is wrong."""
    held(0.1)
    store.put(wheel.body)
    store.fault = faulty.slow(100_000, 0.4)
    async with with_store() as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        async with daemon.session.get(url) as answer:
            first = await answer.content.readany()
            assert not daemon.parts.files.downloads[0].progress.ended
            body = first + await answer.content.read()
        assert body == wheel.body
    assert upstream.count("*.whl") == 0


async def test_fetching__damage_met_while_it_flows(
    with_store: MakeDaemon,
    upstream: FakeUpstream,
    store: FaultyStore,
    wheel: DistFile,
    held: Callable[[float], None],
) -> None:
    """Once bytes have left, a damaged object breaks its clients off; the next one has the file."""
    held(0.05)
    store.put(wheel.body)

    async def slow_and_wrong(request: object, body: bytes) -> object:
        return await faulty.slow(100_000, 0.3)(request, body[:-1] + b"x")  # type: ignore[arg-type]

    store.fault = slow_and_wrong  # type: ignore[assignment]
    async with with_store() as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        got = await fetch(daemon, url)
        assert (got.status, got.whole) == (200, False)
        assert len(got.body) <= len(wheel.body) - 64 * 1024
        store.fault = None
        await assert_whole(daemon, wheel)
    assert upstream.count("*.whl") == 1


async def test_fetching__no_room_here(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore, wheel: DistFile
) -> None:
    """What never fits is streamed through from upstream, whatever the store has; none is kept."""
    store.put(wheel.body)
    async with with_store(cache__max_size="200KB") as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        answers = await asyncio.gather(*(fetch(daemon, url) for _ in range(5)))
        assert [(got.status, got.whole, got.body == wheel.body) for got in answers] == [
            (200, True, True)
        ] * 5
        await assert_nothing_kept(daemon)


async def test_fetching__client_that_leaves(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore, wheel: DistFile
) -> None:
    """The first client's leaving ends nothing: the file is kept, and others have it."""
    store.put(wheel.body)
    store.fault = faulty.slow(100_000, 0.05)
    async with with_store() as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        leaving = asyncio.create_task(fetch(daemon, url))
        await until(lambda: store.count("GET") == 1)
        leaving.cancel()
        await asyncio.wait({leaving})
        assert await assert_whole(daemon, wheel)
        assert store.count("GET") == 1
    assert upstream.count("*.whl") == 0


async def test_fetching__a_hundred_files_at_once(
    with_store: MakeDaemon, upstream: FakeUpstream, store: FaultyStore
) -> None:
    """A hundred cold files at once, of a store that fails a third of requests: all are right."""
    wheels = [make_wheel("alpha", f"{n}.0", size_bytes=70_000 + n) for n in range(100)]
    upstream.add("alpha", *wheels)
    for wheel in wheels:
        store.put(wheel.body)
    numbers = itertools.count()

    def third(request: web.BaseRequest) -> Awaitable[web.StreamResponse] | None:
        return faulty.failing(request, b"") if next(numbers) % 3 == 0 else None

    store.broken = third
    async with with_store() as daemon:
        urls = [await daemon.file_url("alpha", wheel.filename) for wheel in wheels]
        answers = await asyncio.gather(*(fetch(daemon, url) for url in urls))
        for wheel, got in zip(wheels, answers, strict=True):
            assert (got.status, got.whole, got.body == wheel.body) == (200, True, True)
        await settled(daemon)
        assert set(blobs_in(daemon)) == {wheel.sha256 for wheel in wheels}
