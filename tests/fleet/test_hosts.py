"""Several hosts, one store: what each gets, what the upstream sees, and outages of the store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from pypicached.cache import health
from pypicached.store import Bucket, BucketAccess, open_bucket
from pypicached.store.disk import DiskPool
from tests.cache.client import blobs_in, fetch, settled, until
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.fleet import faulty
from tests.fleet.conftest import MakeDaemon
from tests.fleet.faulty import FaultyStore
from tests.harness import Running, running
from tests.s3.ceph import Ceph
from tests.s3.servers import Endpoint

MB = 1_000_000


@pytest.fixture(params=["moto", pytest.param("ceph", marks=pytest.mark.ceph)])
async def access(request: pytest.FixtureRequest) -> BucketAccess:
    """Return how an empty bucket is reached, in each store that there is."""
    endpoint: Endpoint = request.getfixturevalue("moto" if request.param == "moto" else "gateway")
    wanted = endpoint.access()
    async with opened(wanted) as bucket:
        await bucket._client.ask("create_bucket")
    return wanted


@contextlib.asynccontextmanager
async def opened(access: BucketAccess) -> AsyncIterator[Bucket]:
    disk = DiskPool(2)
    try:
        async with open_bucket(access, disk) as bucket:
            yield bucket
    finally:
        disk.close()


@contextlib.asynccontextmanager
async def host(
    directory: Path, upstream: FakeUpstream, access: BucketAccess, **overrides: object
) -> AsyncIterator[Running]:
    """Run a daemon with a disk of its own and the bucket."""
    directory.mkdir(exist_ok=True)
    settings: dict[str, object] = {
        "store__kind": "s3",
        "store__s3__bucket": access.bucket,
        "store__s3__endpoint_url": access.endpoint_url,
        "store__s3__region": access.region,
        "store__s3__access_key_id": access.access_key_id,
        "store__s3__secret_access_key": access.secret_access_key,
        "store__s3__addressing": "path",
    }
    everything = settings | overrides
    async with running(directory, upstream.url, None, None, None, **everything) as daemon:
        yield daemon


async def fetch_all(daemon: Running, wheels: list[DistFile]) -> None:
    """Every file is whole and right."""
    turn = asyncio.Semaphore(8)

    async def one(wheel: DistFile) -> None:
        async with turn:
            got = await fetch(daemon, await daemon.file_url("alpha", wheel.filename))
        assert (got.status, got.whole) == (200, True), got.reason
        assert hashlib.sha256(got.body).hexdigest() == wheel.sha256

    await asyncio.gather(*(one(wheel) for wheel in wheels))
    await settled(daemon)


async def drained(daemon: Running, seconds: float = 30) -> None:
    """Wait until nothing waits for the store any more."""
    async with asyncio.timeout(seconds):
        while True:
            status = await daemon.parts.operations.status()
            assert status.store is not None
            fleet = daemon.parts.fleet
            assert fleet is not None
            if not status.store.waiting_files and not fleet.uploads._running:
                return
            await asyncio.sleep(0.05)


async def uploaded(daemon: Running, count: int) -> None:
    """Wait until so many blobs have been put there."""
    fleet = daemon.parts.fleet
    assert fleet is not None
    await until(lambda: fleet.uploads.uploaded_blobs == count, seconds=20)


def publish(upstream: FakeUpstream, count: int, size: int = 20_000) -> list[DistFile]:
    """Publish so many different wheels of one project."""
    wheels = [make_wheel("alpha", f"{n}.0", size_bytes=size + n) for n in range(count)]
    upstream.add("alpha", *wheels)
    return wheels


async def test_hosts__second_one_needs_no_upstream(
    tmp_path: Path, upstream: FakeUpstream, access: BucketAccess
) -> None:
    """50 files asked at one, then at the other while no file comes from upstream: all are right."""
    wheels = publish(upstream, 50)
    async with host(tmp_path / "one", upstream, access) as one:
        await fetch_all(one, wheels)
        await drained(one)
    assert upstream.count("*.whl") == 50
    async with host(tmp_path / "two", upstream, access) as two:
        await two.page("alpha")
        upstream.clear()
        upstream.fault("*", "status", code=503)
        await fetch_all(two, wheels)
        assert upstream.count("*.whl") == upstream.count("*.metadata") == 0
        await drained(two)
        fleet = two.parts.fleet
        assert fleet is not None
        assert (fleet.shared.received_blobs, fleet.uploads.uploaded_blobs) == (50, 0)


async def test_hosts__both_at_once(
    tmp_path: Path, upstream: FakeUpstream, access: BucketAccess
) -> None:
    """Two hosts that want one cold file at the same time ask upstream once each, at most."""
    (wheel,) = publish(upstream, 1, 2 * MB)
    async with (
        host(tmp_path / "one", upstream, access) as one,
        host(tmp_path / "two", upstream, access) as two,
    ):
        await asyncio.gather(*(fetch_all(daemon, [wheel]) for daemon in (one, two) * 5))
        await drained(one)
        await drained(two)
    assert 1 <= upstream.count("*.whl") <= 2
    async with opened(access) as bucket:
        found = [blob async for some in bucket.walk() for blob in some]
    assert [(blob.sha256, blob.size_bytes) for blob in found] == [(wheel.sha256, len(wheel.body))]


async def test_hosts__large_file_in_parts(
    tmp_path: Path, upstream: FakeUpstream, access: BucketAccess
) -> None:
    """A file of several parts comes back whole."""
    (wheel,) = publish(upstream, 1, 20 * MB)
    async with host(tmp_path / "one", upstream, access) as one:
        await fetch_all(one, [wheel])
        await drained(one)
    upstream.clear()
    async with host(tmp_path / "two", upstream, access) as two:
        await fetch_all(two, [wheel])
    assert upstream.count("*.whl") == 0


async def test_hosts__existing_cache_is_put_there(
    tmp_path: Path, upstream: FakeUpstream, access: BucketAccess
) -> None:
    """A cache that gets a store later puts into it what it has; another store gets all anew."""
    wheels = publish(upstream, 10)
    async with host(tmp_path / "one", upstream, access, store__kind="local") as one:
        await fetch_all(one, wheels)
    for prefix in ("", "other/"):
        async with host(tmp_path / "one", upstream, access, store__s3__prefix=prefix) as one:
            await uploaded(one, 10)
            await drained(one)
    async with opened(msgspec.structs.replace(access, prefix="other/")) as bucket:
        assert len([b async for some in bucket.walk() for b in some]) == 10
    async with host(tmp_path / "one", upstream, access, store__s3__prefix="other/") as one:
        await drained(one)
        fleet = one.parts.fleet
        assert fleet is not None
        assert fleet.uploads.uploaded_blobs == 0


async def test_hosts__queue_survives_a_restart(
    tmp_path: Path, upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """What could not be put there before a stop is put there after the next start."""
    wheels = publish(upstream, 5)
    store.broken = lambda request: faulty.failing(request, b"")
    async with with_store() as daemon:
        await fetch_all(daemon, wheels)
        status = await daemon.parts.operations.status()
        assert status.store is not None
        assert status.store.waiting_files == 5
        assert status.store.waiting_bytes == sum(len(wheel.body) for wheel in wheels)
    store.broken = None
    async with with_store() as daemon:
        await drained(daemon)
    assert set(store.objects) == {wheel.sha256 for wheel in wheels}


async def test_hosts__evicted_before_it_was_there(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """What goes from here first is told, and is in nobody's way."""
    first, second = publish(upstream, 2)
    store.broken = lambda request: faulty.failing(request, b"")
    async with with_store() as daemon:
        await fetch_all(daemon, [first, second])
        await daemon.parts.blobs.remove([first.sha256])
        store.broken = None
        await until(lambda: second.sha256 in store.objects, seconds=20)
        await drained(daemon)
        status = await daemon.parts.operations.status()
    assert status.store is not None
    assert status.store.lost_files == 1
    assert any("evicted before they were in the shared store" in p for p in status.problems)


async def test_hosts__damaged_here(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """Damaged bytes of our own never reach the store."""
    (wheel,) = publish(upstream, 1, 300_000)
    store.broken = lambda request: faulty.failing(request, b"")
    async with with_store() as daemon:
        await fetch_all(daemon, [wheel])
    (blob,) = (daemon.parts.store.root / "blobs").rglob(wheel.sha256)
    body = bytearray(blob.read_bytes())
    body[1000] ^= 1
    blob.write_bytes(body)
    store.broken = None
    async with with_store() as daemon:
        await drained(daemon)
        await until(lambda: blobs_in(daemon) == {})
        assert store.objects == {}
        await fetch_all(daemon, [wheel])
        await until(lambda: wheel.sha256 in store.objects)


async def test_hosts__one_refused_object(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """An object that the store refuses is in no other's way."""
    wheels = publish(upstream, 8)

    def refuse_first(request: object) -> object:
        mine = getattr(request, "method", "") == "PUT"
        if mine and wheels[0].sha256 in getattr(request, "path", ""):
            return faulty.denied(request, b"")  # type: ignore[arg-type]
        return None

    store.broken = refuse_first  # type: ignore[assignment]
    async with with_store() as daemon:
        await fetch_all(daemon, wheels)
        await until(lambda: len(store.objects) == 7, seconds=20)
        status = await daemon.parts.operations.status()
        assert status.store is not None
        assert (status.store.state, status.store.waiting_files) == ("ok", 1)


async def test_hosts__sidecar_of_a_wheel_that_only_the_store_has(
    upstream: FakeUpstream, store: FaultyStore, with_store: MakeDaemon
) -> None:
    """With upstream down, core metadata is made of the wheel that the store has."""
    wheel = make_wheel("alpha", "1.0", size_bytes=200_000)
    upstream.add("alpha", wheel)
    upstream.dialect.sidecars = "off"
    store.put(wheel.body)
    async with with_store() as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        upstream.fault("*.whl", "status", code=503)
        got = await fetch(daemon, url + ".metadata")
        assert (got.status, got.body) == (200, wheel.metadata)


@pytest.mark.ceph
@pytest.mark.timeout(240)
@pytest.mark.parametrize("harm", ["killed_gateway", "stalled_gateway", "killed_disk"])
async def test_hosts__store_away_under_traffic(
    tmp_path: Path, upstream: FakeUpstream, ceph: Ceph, gateway: Endpoint, harm: str
) -> None:
    """The store goes for 30 s under traffic: no client sees it; then it gets all that it lacks."""
    wanted = gateway.access(bucket=f"wheels-{harm.replace('_', '-')}")
    async with opened(wanted) as bucket:
        await bucket._client.ask("create_bucket")
    wheels = publish(upstream, 120, 300_000)
    async with host(tmp_path / "one", upstream, wanted) as one:
        await fetch_all(one, wheels[:20])
        with getattr(ceph, harm)():
            back_at = time.monotonic() + 30
            for start in range(20, 100, 8):
                await fetch_all(one, [*wheels[start : start + 8], *wheels[:4]])
                await asyncio.sleep(3)
            await asyncio.sleep(max(0.0, back_at - time.monotonic()))
            status = await one.parts.operations.status()
            assert status.store is not None
            assert status.store.state != "ok"
            assert status.store.waiting_files >= 70
        await fetch_all(one, wheels[100:])
        await drained(one, seconds=90)
        assert (await one.parts.operations.status()).problems == []
    async with opened(wanted) as bucket:
        found = {blob.sha256 async for some in bucket.walk() for blob in some}
    assert found == {wheel.sha256 for wheel in wheels}


async def test_hosts__read_only_store(
    upstream: FakeUpstream,
    store: FaultyStore,
    with_store: MakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store that takes nothing still gives what it has, and `status` says that files wait."""
    monkeypatch.setattr(health, "LONGEST_PAUSE_SECONDS", 1.0)
    wheels = publish(upstream, 12)
    for wheel in wheels[6:]:
        store.put(wheel.body)

    def refuse_writes(request: object) -> object:
        if getattr(request, "method", "") == "PUT":
            return faulty.denied(request, b"")  # type: ignore[arg-type]
        return None

    store.broken = refuse_writes  # type: ignore[assignment]
    async with with_store() as daemon:
        await fetch_all(daemon, wheels[:6])
        fleet = daemon.parts.fleet
        assert fleet is not None
        await until(lambda: fleet.writing.failing, seconds=20)
        upstream.clear()
        await fetch_all(daemon, wheels[6:])
        assert upstream.count("*.whl") == 0
        status = await daemon.parts.operations.status()
        assert status.store is not None
        assert status.store.state == "ok"
        assert any("takes no files since" in problem for problem in status.problems)
        store.broken = None
        await until(lambda: not fleet.writing.failing, seconds=45)
