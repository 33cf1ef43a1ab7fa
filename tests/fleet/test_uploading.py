"""What is put into the shared store behind the clients: the queue, and objects' times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from pypicached.cache import health, renewing, uploading
from tests.cache.client import fetch, settled, until
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.fleet import faulty
from tests.fleet.conftest import MakeDaemon
from tests.fleet.faulty import FaultyStore
from tests.harness import Running

DAY = 86400.0
Broken = Callable[[web.BaseRequest], Awaitable[web.StreamResponse] | None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(uploading, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(uploading, "FAILING_SECONDS", 0.05)
    monkeypatch.setattr(uploading, "MEASURE_SECONDS", 0.0)
    monkeypatch.setattr(uploading, "FIRST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(health, "FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(health, "LONGEST_PAUSE_SECONDS", 0.4)


def publish(upstream: FakeUpstream, count: int) -> list[DistFile]:
    """Publish so many wheels of one project."""
    wheels = [make_wheel("alpha", f"{n}.0", size_bytes=20_000 + n) for n in range(count)]
    upstream.add("alpha", *wheels)
    return wheels


async def fetch_all(daemon: Running, wheels: list[DistFile]) -> None:
    for wheel in wheels:
        got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.status, got.body == wheel.body) == (200, True)
    await settled(daemon)


def denying(*methods: str, of: str = "", copies: bool = False) -> Broken:
    """Deny requests with these methods, for one digest or for all; only copies of objects."""

    def broken(request: web.BaseRequest) -> Awaitable[web.StreamResponse] | None:
        mine = request.method in methods and of in request.path
        if copies:
            mine = mine and "x-amz-copy-source" in request.headers
        return faulty.denied(request, b"") if mine else None

    return broken


async def put_there(daemon: Running, store: FaultyStore, count: int) -> None:
    """Wait until so many objects are there, and the daemon knows it."""
    fleet = daemon.parts.fleet
    assert fleet is not None
    await until(lambda: len(store.objects) == count and not fleet.uploads._running)


async def metric(daemon: Running, name: str) -> float:
    text = (await daemon.ask("/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def test_uploading__figures(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """`/metrics` tells of a store that takes nothing, and of what waits for it; then it drains."""
    wheels = publish(upstream, 5)
    store.broken = denying("PUT")
    async with with_store() as daemon:
        await fetch_all(daemon, wheels)
        fleet = daemon.parts.fleet
        assert fleet is not None
        await until(lambda: fleet.writing.failing and fleet.uploads.waiting_blobs == 5)
        assert await metric(daemon, "pypicached_store_writable") == 0
        assert await metric(daemon, "pypicached_store_up") == 1
        assert await metric(daemon, "pypicached_store_waiting_files") == 5
        octets = sum(len(wheel.body) for wheel in wheels)
        assert await metric(daemon, "pypicached_store_waiting_bytes") == octets
        store.broken = None
        await until(lambda: fleet.uploads.waiting_blobs == 0 and not fleet.writing.failing)
        assert await metric(daemon, "pypicached_store_writable") == 1
        assert len(store.objects) == 5


async def test_uploading__damaged_object_that_cannot_be_removed(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """Without the right to delete, a damaged object is replaced by writing over it."""
    (wheel,) = publish(upstream, 1)
    store.objects[wheel.sha256] = wheel.body[:-1] + bytes([wheel.body[-1] ^ 1])
    store.broken = denying("POST", "DELETE")
    async with with_store() as daemon:
        await fetch_all(daemon, [wheel])
        await until(lambda: store.objects[wheel.sha256] == wheel.body)
        assert store.count("PUT") == 1


async def test_uploading__object_that_nobody_renewed(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """An old object that a host takes is renewed at once: its disk may not live for a day.

    One that is young is left alone.
    """
    old, young = publish(upstream, 2)
    for wheel in (old, young):
        store.put(wheel.body)
    store.kept_at[old.sha256] = time.time() - 80 * DAY
    store.kept_at[young.sha256] = time.time() - 0.5 * DAY
    async with with_store() as daemon:
        await fetch_all(daemon, [young, old])
        await until(lambda: old.sha256 not in store.kept_at)
    assert young.sha256 in store.kept_at
    assert store.count("PUT") == 1


async def test_uploading__object_that_somebody_else_put(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """A file that turns out to be there is not put again, and an old object of it is renewed."""
    (wheel,) = publish(upstream, 1)
    async with with_store(store__kind="local") as daemon:
        await fetch_all(daemon, [wheel])
    store.put(wheel.body)
    store.kept_at[wheel.sha256] = time.time() - 80 * DAY
    async with with_store() as daemon:
        await until(lambda: wheel.sha256 not in store.kept_at)
        assert daemon.parts.fleet is not None
        assert daemon.parts.fleet.uploads.uploaded_blobs == 0


async def test_uploading__used_days_later(
    upstream: FakeUpstream,
    store: FaultyStore,
    with_store: MakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is used is renewed; an object of which that is refused is in no other's way."""
    monkeypatch.setattr(renewing, "LOOK_SECONDS", 0.1)
    wheels = publish(upstream, 4)
    async with with_store() as daemon:
        await fetch_all(daemon, wheels)
        await put_there(daemon, store, 4)
        for wheel in wheels:
            store.kept_at[wheel.sha256] = 0.0
        store.broken = denying("PUT", of=wheels[0].sha256, copies=True)
        daemon.clock.advance(1.5 * DAY)
        await fetch_all(daemon, wheels)
        await until(lambda: set(store.kept_at) == {wheels[0].sha256})


async def test_uploading__used_object_gone(
    upstream: FakeUpstream,
    store: FaultyStore,
    with_store: MakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An object that turns out to be gone is put there again."""
    monkeypatch.setattr(renewing, "LOOK_SECONDS", 0.1)
    (wheel,) = publish(upstream, 1)
    async with with_store() as daemon:
        await fetch_all(daemon, [wheel])
        await put_there(daemon, store, 1)
        store.objects.clear()
        daemon.clock.advance(1.5 * DAY)
        await fetch_all(daemon, [wheel])
        await until(lambda: wheel.sha256 in store.objects)


async def test_uploading__kept_while_there_was_no_store(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """A store that was switched off for a while gets what came meanwhile."""
    wheels = publish(upstream, 2)
    async with with_store() as daemon:
        await fetch_all(daemon, wheels[:1])
        await until(lambda: len(store.objects) == 1)
    async with with_store(store__kind="local") as daemon:
        await fetch_all(daemon, wheels[1:])
    async with with_store() as daemon:
        await until(lambda: set(store.objects) == {wheel.sha256 for wheel in wheels})


async def test_uploading__blob_without_a_row(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """What a crash left without a row, or a lost ledger, is put there too."""
    wheels = publish(upstream, 3)
    async with with_store(store__kind="local") as daemon:
        await fetch_all(daemon, wheels)
        ledger = daemon.parts.ledger.path
    ledger.unlink()
    async with with_store() as daemon:
        await until(lambda: set(store.objects) >= {wheel.sha256 for wheel in wheels})


async def test_uploading__few_at_once(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """However many wait, a few go at a time, and each once."""
    wheels = publish(upstream, 60)
    async with with_store(store__kind="local") as daemon:
        await fetch_all(daemon, wheels)
    under_way = most = 0

    async def later(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.005)
        under_way -= 1
        sha256 = request.path.rpartition("/")[2]
        store.objects[sha256] = b""
        return web.Response(headers={"ETag": '"x"'})

    store.broken = lambda request: later(request) if request.method == "PUT" else None
    async with with_store() as daemon:
        await until(lambda: len(store.objects) >= 60, seconds=20)
        fleet = daemon.parts.fleet
        assert fleet is not None
        await until(lambda: not fleet.uploads._running)
    assert most == uploading.AT_ONCE
    assert store.count("PUT") == len(store.objects)


async def test_uploading__held_while_it_is_read(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """What is on its way is not evicted; what only waits may be."""
    (wheel,) = publish(upstream, 1)
    go_on = asyncio.Event()

    async def wait(request: web.BaseRequest) -> web.StreamResponse:
        await go_on.wait()
        return web.Response(headers={"ETag": '"x"'})

    store.broken = lambda request: wait(request) if request.method == "PUT" else None
    async with with_store() as daemon:
        await fetch_all(daemon, [wheel])
        await until(lambda: store.count("PUT") > 0)
        removal = await daemon.parts.blobs.remove([wheel.sha256])
        assert removal.gone == set()
        go_on.set()
        fleet = daemon.parts.fleet
        assert fleet is not None
        await until(lambda: not fleet.uploads._running)
        assert (await daemon.parts.blobs.remove([wheel.sha256])).gone == {wheel.sha256}


async def test_uploading__stop_while_the_store_hangs(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """A stop waits for no upload; it is begun anew after the next start."""
    (wheel,) = publish(upstream, 1)
    store.broken = lambda r: faulty.silent(r, b"") if r.method == "PUT" else None
    async with with_store() as daemon:
        await fetch_all(daemon, [wheel])
        await until(lambda: store.count("PUT") > 0)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    store.broken = None
    async with with_store() as daemon:
        await until(lambda: wheel.sha256 in store.objects)
