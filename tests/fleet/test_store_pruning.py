"""Pruning of the store that hosts share: by the objects' own times, and the store's clock."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pypicached import messages
from pypicached.cache.store_pruning import StorePruning, StoreSweep
from pypicached.errors import NotFoundError, StoreUnavailableError
from pypicached.store import Bucket
from tests.fleet import faulty
from tests.fleet.conftest import MakeDaemon
from tests.fleet.faulty import FaultyStore
from tests.s3.servers import Endpoint, new_bucket

DAY = 86400


class Pinned:
    """What `StorePruning` asks of `Blobs`."""

    def __init__(self) -> None:
        self.digests: set[str] = set()

    async def pinned(self, digests: list[str]) -> set[str]:
        """Return which of them a pin holds."""
        return self.digests & set(digests)


@pytest.fixture
async def bucket(moto: Endpoint) -> AsyncIterator[Bucket]:
    async with new_bucket(moto) as made:
        yield made


async def put(bucket: Bucket, directory: Path, count: int) -> list[str]:
    """Put so many blobs there; return their digests."""
    digests = []
    for number in range(count):
        path = directory / str(number)
        path.write_bytes(b"blob %d" % number)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
        await bucket.put(digests[-1], path)
    return digests


async def there(bucket: Bucket) -> set[str]:
    return {blob.sha256 async for some in bucket.walk() for blob in some}


async def swept(pruning: StorePruning, days: float, *, dry_run: bool = False) -> StoreSweep:
    last = None
    async for sweep in pruning.run(days, dry_run=dry_run):
        last = sweep
    assert last is not None
    return last


def at(bucket: Bucket, days: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so many days pass by the store's clock."""

    async def now() -> float:
        return time.time() + days * DAY

    monkeypatch.setattr(bucket, "now", now)


async def test_store_pruning__by_age(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older goes, what is younger and what is none of ours stays; a dry run only tells."""
    digests = await put(bucket, tmp_path, 5)
    await bucket._client.send("put_object", b"other", Key="somebody/else")
    pins = Pinned()
    pins.digests = {digests[0]}
    pruning = StorePruning(bucket, pins)  # type: ignore[arg-type]
    at(bucket, 10, monkeypatch)
    assert (await swept(pruning, 11)).gone == 0
    sweep = await swept(pruning, 9, dry_run=True)
    assert (sweep.looked_at, sweep.gone, sweep.pinned, sweep.gone_bytes) == (5, 4, 1, 24)
    assert await there(bucket) == set(digests)
    sweep = await swept(pruning, 9)
    assert (sweep.gone, sweep.refused) == (4, {})
    assert await there(bucket) == {digests[0]}
    answer = await bucket._client.ask("head_object", Key="somebody/else")
    assert answer["ContentLength"] == 5


async def test_store_pruning__two_hosts_at_once(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come to an end without an error, and what is to go has gone."""
    await put(bucket, tmp_path, 20)
    at(bucket, 10, monkeypatch)
    pruning = StorePruning(bucket, Pinned())  # type: ignore[arg-type]
    sweeps = await asyncio.gather(swept(pruning, 5), swept(pruning, 5))
    assert [sweep.refused for sweep in sweeps] == [{}, {}]
    assert await there(bucket) == set()


async def test_store_pruning__clock_of_the_store(bucket: Bucket, tmp_path: Path) -> None:
    """What time it is, the store says: a host whose clock is years ahead removes nothing."""
    digests = await put(bucket, tmp_path, 1)
    assert abs(await bucket.now() - time.time()) < 60
    pruning = StorePruning(bucket, Pinned())  # type: ignore[arg-type]
    assert (await swept(pruning, 2)).gone == 0
    assert await there(bucket) == set(digests)


async def test_store_pruning__no_store(tmp_path: Path, with_store: MakeDaemon) -> None:
    """Where no store is shared, the command says so."""
    async with with_store(store__kind="local") as daemon:
        with pytest.raises(NotFoundError, match="no store is shared"):
            async for _ in daemon.parts.keeping.prune_store(messages.PruneStoreRequest(days=9)):
                pass


async def test_store_pruning__store_down(with_store: MakeDaemon, store: FaultyStore) -> None:
    """A store that does not answer is an error in one sentence, and nothing goes."""
    async with with_store() as daemon:
        store.broken = lambda request: faulty.failing(request, b"")
        with pytest.raises(StoreUnavailableError):
            async for _ in daemon.parts.keeping.prune_store(messages.PruneStoreRequest(days=9)):
                pass
