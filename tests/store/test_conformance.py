"""What every store of blobs does, whatever it is made of: one suite for all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pypicached.errors import BlobMissingError, WrongBytesError
from pypicached.store import LocalStore
from pypicached.store.disk import DiskPool
from pypicached.store.local_blobs import LocalBlobs
from pypicached.store.protocol import Store, StoredBlob
from tests.s3.servers import Endpoint, new_bucket

BODY = b"0123456789" * 5000
SHA256 = hashlib.sha256(BODY).hexdigest()
ABSENT = hashlib.sha256(b"never put").hexdigest()
# More than two parts of an upload, the last one short.
LARGE = bytes(range(256)) * (17 * 4096 + 5)
CLOCKS_DIFFER_SECONDS = 10.0


class Tried(NamedTuple):
    """A store, and what is done to it behind its back."""

    store: Store
    # Put other bytes in the place of a blob.
    damage: Callable[[str, bytes], Awaitable[None]]
    # Leave things beside the blobs that are none.
    litter: Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def local(root: Path) -> AsyncIterator[Tried]:
    disk = DiskPool(2)
    try:
        store = LocalStore(root, disk)
        store.prepare()

        async def damage(sha256: str, body: bytes) -> None:
            store.path_of(sha256).write_bytes(body)

        async def litter() -> None:
            beside = store.path_of(SHA256).parent
            beside.mkdir(exist_ok=True)
            (beside / "README").write_bytes(b"x")
            (root / "blobs" / "sha256" / "note").write_bytes(b"x")

        yield Tried(LocalBlobs(store), damage, litter)
    finally:
        disk.close()


@contextlib.asynccontextmanager
async def bucket(endpoint: Endpoint) -> AsyncIterator[Tried]:
    async with new_bucket(endpoint, prefix="wheels/of us/") as made:

        async def damage(sha256: str, body: bytes) -> None:
            await made._client.ask("put_object", Key=made.key_of(sha256), Body=body)

        async def litter() -> None:
            twin = f"wheels/of us/sha256/ff/{SHA256}"
            for key in (twin, "wheels/of us/sha256/README", "wheels/of us/other", "sha256/x"):
                await made._client.ask("put_object", Key=key, Body=b"x")

        yield Tried(made, damage, litter)


@pytest.fixture(params=["local", "moto", pytest.param("gateway", marks=pytest.mark.ceph)])
async def tried(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tried]:
    if request.param == "local":
        opened = local(tmp_path / "cache")
    else:
        opened = bucket(request.getfixturevalue(request.param))
    async with opened as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    """Return what makes a file of some bytes."""

    def make(body: bytes) -> Path:
        path = tmp_path / f"given-{hashlib.sha256(body).hexdigest()}"
        path.write_bytes(body)
        return path

    return make


async def fetch(store: Store, sha256: str, offset: int = 0) -> bytes:
    """Return what a blob holds from `offset` on."""
    async with store.get(sha256, offset=offset) as stream:
        assert stream.start == offset
        pieces = []
        while piece := await stream.read_some():
            pieces.append(piece)
        # The end stays the end.
        assert await stream.read_some() == b""
        return b"".join(pieces)


async def walk(store: Store) -> list[list[StoredBlob]]:
    return [page async for page in store.walk()]


@pytest.mark.parametrize("body", [BODY, b"", LARGE], ids=["some", "empty", "large"])
async def test_put__is_there(tried: Tried, file: Callable[[bytes], Path], body: bytes) -> None:
    """What was put is there: its bytes, their number, and since when."""
    store, sha256 = tried.store, hashlib.sha256(body).hexdigest()
    before = time.time()
    await store.put(sha256, file(body))
    about = await store.stat(sha256)
    assert about is not None
    assert (about.sha256, about.size_bytes) == (sha256, len(body))
    assert before - CLOCKS_DIFFER_SECONDS < about.kept_at < time.time() + CLOCKS_DIFFER_SECONDS
    async with store.get(sha256) as stream:
        assert (stream.start, stream.length) == (0, len(body))
        assert int(stream.kept_at) == int(about.kept_at)
    assert await fetch(store, sha256) == body


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["some", "large"])
async def test_put__wrong_bytes(tried: Tried, file: Callable[[bytes], Path], body: bytes) -> None:
    """Bytes of another digest are refused and leave nothing, nor harm what is there."""
    store = tried.store
    await store.put(SHA256, file(BODY))
    for sha256 in (ABSENT, SHA256):
        with pytest.raises(WrongBytesError, match="not those of the digest"):
            await store.put(sha256, file(body[:-1] + b"?"))
    assert await store.stat(ABSENT) is None
    assert await fetch(store, SHA256) == BODY
    assert [[blob.sha256 for blob in page] for page in await walk(store)] == [[SHA256]]


async def test_put__no_file(tried: Tried, tmp_path: Path) -> None:
    """A file that cannot be read is the caller's trouble, not the store's."""
    with pytest.raises(FileNotFoundError):
        await tried.store.put(SHA256, tmp_path / "gone")
    assert await tried.store.stat(SHA256) is None


async def test_put__replaces(tried: Tried, file: Callable[[bytes], Path]) -> None:
    """A blob whose bytes have been damaged is whole again when it is put again."""
    await tried.store.put(SHA256, file(BODY))
    await tried.damage(SHA256, b"rubbish")
    assert await fetch(tried.store, SHA256) == b"rubbish"
    await tried.store.put(SHA256, file(BODY))
    assert await fetch(tried.store, SHA256) == BODY


@pytest.mark.parametrize("offset", [1, 4096, len(BODY) - 1, len(BODY), len(BODY) + 1])
async def test_get__from_offset(tried: Tried, file: Callable[[bytes], Path], offset: int) -> None:
    """A blob can be had from any offset on, and still tells its whole length; beyond is nothing."""
    await tried.store.put(SHA256, file(BODY))
    assert await fetch(tried.store, SHA256, offset) == BODY[offset:]
    async with tried.store.get(SHA256, offset=offset) as stream:
        assert stream.length == len(BODY)


async def test_get__given_up(tried: Tried, file: Callable[[bytes], Path]) -> None:
    """Who stops in the middle of a blob keeps nobody from the next one."""
    sha256 = hashlib.sha256(LARGE).hexdigest()
    await tried.store.put(sha256, file(LARGE))
    for _ in range(3):
        async with tried.store.get(sha256) as stream:
            assert await stream.read_some()
    assert await fetch(tried.store, sha256, len(LARGE) - 10) == LARGE[-10:]


async def test_missing__is_told(tried: Tried) -> None:
    """What is not there is told as such by everything that asks for it."""
    store = tried.store
    assert await store.stat(ABSENT) is None
    for offset in (0, 5):
        with pytest.raises(BlobMissingError):
            async with store.get(ABSENT, offset=offset):
                pass
    assert await store.refresh(ABSENT) is False
    assert await store.delete([ABSENT]) == {}
    assert await walk(store) == []


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["some", "large"])
async def test_refresh__is_kept_anew(
    tried: Tried, file: Callable[[bytes], Path], body: bytes
) -> None:
    """A blob that is refreshed was kept just now, and is the same."""
    store, sha256 = tried.store, hashlib.sha256(body).hexdigest()
    await store.put(sha256, file(body))
    first = await store.stat(sha256)
    assert first is not None

    async def kept_later() -> StoredBlob:
        # Buckets tell whole seconds.
        while True:
            assert await store.refresh(sha256)
            now = await store.stat(sha256)
            assert now is not None
            if now.kept_at > first.kept_at:
                return now

    async with asyncio.timeout(10):
        assert (await kept_later()).size_bytes == len(body)
    assert await fetch(store, sha256) == body


async def test_delete__only_those(tried: Tried, file: Callable[[bytes], Path]) -> None:
    """Deleted are those that are named, absent ones too; the others stay."""
    bodies = {hashlib.sha256(body).hexdigest(): body for body in (b"a", b"b", b"c", b"d")}
    for sha256, body in bodies.items():
        await tried.store.put(sha256, file(body))
    stays, *goes = bodies
    assert await tried.store.delete([*goes, ABSENT]) == {}
    assert [await tried.store.stat(sha256) for sha256 in goes] == [None] * 3
    assert await fetch(tried.store, stays) == bodies[stays]
    assert await tried.store.delete([]) == {}


async def test_walk__all_in_order(
    tried: Tried, file: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk tells every blob once, in the order of digests, in pages, and nothing else."""
    for module in ("bucket", "local_blobs"):
        monkeypatch.setattr(f"pypicached.store.{module}.WALK_AT_ONCE", 3)
    bodies = [b"%d" % number for number in range(10)]
    # In one directory, which has an order of its own.
    bodies += _neighbours()
    for body in bodies:
        await tried.store.put(hashlib.sha256(body).hexdigest(), file(body))
    await tried.litter()
    pages = await walk(tried.store)
    assert max(map(len, pages)) <= 3
    found = [(blob.sha256, blob.size_bytes) for page in pages for blob in page]
    assert found == sorted((hashlib.sha256(body).hexdigest(), len(body)) for body in bodies)
    about = await tried.store.stat(found[0][0])
    assert about is not None
    # HTTP's dates have no fractions, listings may.
    assert int(about.kept_at) == int(pages[0][0].kept_at)


def _neighbours() -> list[bytes]:
    """Return bodies whose digests begin alike."""
    start = hashlib.sha256(b"0").hexdigest()[:2]
    bodies = (b"near %d" % number for number in range(10_000))
    near = [body for body in bodies if hashlib.sha256(body).hexdigest().startswith(start)]
    return near[:4]
