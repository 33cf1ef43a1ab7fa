"""Ceph's RADOS gateway, a real distributed store, and the harm that can come to it.

`make test-s3` runs these. What is on its disk is what was put; whatever happens to the gateway or
to our rights is an error in words, and never absence.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pypicached.errors import BlobMissingError, StoreRefusedError, StoreUnavailableError
from pypicached.store import s3_client
from pypicached.store.bucket import Bucket, open_bucket
from pypicached.store.disk import DiskPool
from pypicached.store.multipart import MIB
from pypicached.store.protocol import BlobStream
from tests.s3.ceph import Ceph
from tests.s3.servers import Endpoint, new_bucket

pytestmark = pytest.mark.ceph

BODY = b"0123456789" * 100
SHA256 = hashlib.sha256(BODY).hexdigest()
ABSENT = hashlib.sha256(b"absent").hexdigest()
# Far more than the buffers of two kernels hold.
LARGE = bytes(range(256)) * (40 * 4096)
LARGE_SHA256 = hashlib.sha256(LARGE).hexdigest()
GIB = 1024 * MIB


@pytest.fixture
async def bucket(gateway: Endpoint) -> AsyncIterator[Bucket]:
    async with new_bucket(gateway) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


async def read(bucket: Bucket, sha256: str, offset: int = 0) -> bytes:
    got = bytearray()
    async with bucket.get(sha256, offset=offset) as stream:
        await drain(stream, got)
    return bytes(got)


async def drain(stream: BlobStream, into: bytearray) -> None:
    """Read a stream to its end, if it has one."""
    while piece := await stream.read_some():
        into += piece


async def walk(bucket: Bucket) -> list[Any]:
    return [page async for page in bucket.walk()]


def everything(bucket: Bucket, file: Path) -> list[Callable[[], Awaitable[object]]]:
    """Return each way to ask a bucket for something."""
    return [
        bucket.check,
        lambda: bucket.stat(ABSENT),
        lambda: read(bucket, ABSENT),
        lambda: bucket.put(SHA256, file),
        lambda: bucket.refresh(ABSENT),
        lambda: bucket.delete([ABSENT]),
        lambda: walk(bucket),
        lambda: bucket.abort_stale_uploads(3600),
    ]


# ── rights ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"secret_access_key": "another"}, "our secret key is wrong|denies access"),
        ({"access_key_id": "NOBODY"}, "does not know our access key|denies access"),
        ({"bucket": "none-such"}, "has no bucket of that name"),
    ],
    ids=["secret", "key", "bucket"],
)
async def test_rights__none(
    gateway: Endpoint, file: Path, changed: dict[str, str], words: str
) -> None:
    """A wrong key or bucket is told as such, whatever is asked for; nothing is absent then."""
    disk = DiskPool(2)
    try:
        async with open_bucket(gateway.access(**changed), disk) as bucket:
            for doing in everything(bucket, file):
                with pytest.raises(StoreRefusedError, match=words):
                    await doing()
    finally:
        disk.close()


async def test_rights__suspended(bucket: Bucket, ceph: Ceph, file: Path) -> None:
    """A user that is suspended is refused everything."""
    await bucket.put(SHA256, file)
    with ceph.changed_user(("user", "suspend"), ("user", "enable")):
        for doing in everything(bucket, file):
            with pytest.raises(StoreRefusedError):
                await doing()
    assert await read(bucket, SHA256) == BODY


async def test_rights__only_to_read(bucket: Bucket, ceph: Ceph, file: Path, large: Path) -> None:
    """A bucket that may only be read is read; what writes is refused and changes nothing."""
    await bucket.put(SHA256, file)
    before = await bucket.stat(SHA256)
    with ceph.changed_user(
        ("user", "modify", "--op-mask=read"), ("user", "modify", "--op-mask=read,write,delete")
    ):
        assert await read(bucket, SHA256) == BODY
        assert await bucket.stat(ABSENT) is None
        for doing in (
            bucket.put(SHA256, file),
            bucket.put(LARGE_SHA256, large),
            bucket.refresh(SHA256),
        ):
            with pytest.raises(StoreRefusedError, match="denies access"):
                await doing
        try:
            kept = await bucket.delete([SHA256])
        except StoreRefusedError:
            kept = {SHA256: "refused"}
        assert list(kept) == [SHA256]
    assert await bucket.stat(SHA256) == before
    assert await bucket.stat(LARGE_SHA256) is None


async def test_rights__full(bucket: Bucket, ceph: Ceph, file: Path, large: Path) -> None:
    """A bucket whose quota is used up refuses what is new, and gives what it has."""
    await bucket.put(SHA256, file)
    quota = ("--quota-scope=bucket", "--max-objects=1")
    ceph.admin("quota", "set", "--uid=tester", *quota)
    with ceph.changed_user(
        ("quota", "enable", "--quota-scope=bucket"), ("quota", "disable", "--quota-scope=bucket")
    ):
        with pytest.raises(StoreRefusedError, match="is full: its quota is used up"):
            await bucket.put(LARGE_SHA256, large)
        assert await read(bucket, SHA256) == BODY
    await bucket.put(LARGE_SHA256, large)


async def test_digest__compared_by_the_store(bucket: Bucket) -> None:
    """Bytes that change on the way are not stored: the store compares what we say of them."""
    with pytest.raises(StoreUnavailableError, match="BadDigest"):
        await bucket._client.send(
            "put_object", BODY, Key=bucket.key_of(SHA256), ContentMD5="eB5eJF1ptWaXm4bijSPyxw=="
        )
    assert await bucket.stat(SHA256) is None


async def test_sign__nothing_else(bucket: Bucket, file: Path) -> None:
    """A signed URL is good for its blob and method only."""
    await bucket.put(SHA256, file)
    url = await bucket.sign(SHA256, "GET", 60)
    async with aiohttp.ClientSession() as session:
        for other in (url.replace(SHA256, ABSENT), url[:-1] + ("0" if url[-1] != "0" else "1")):
            async with session.get(other) as answer:
                assert answer.status == 403
        async with session.head(url) as answer:
            assert answer.status == 403


# ── the gateway's end ────────────────────────────────────────────────────────────────────────


async def test_killed__while_it_sends(bucket: Bucket, ceph: Ceph, large: Path) -> None:
    """A gateway that dies in the midst of a blob is an error; the rest can be had afterwards."""
    await bucket.put(LARGE_SHA256, large)
    got = bytearray()
    async with bucket.get(LARGE_SHA256) as stream:
        got += await stream.read_some()
        ceph.kill_gateway()
        with pytest.raises(StoreUnavailableError):
            await drain(stream, got)
    assert len(got) < len(LARGE)
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        await bucket.stat(LARGE_SHA256)
    await asyncio.to_thread(ceph.start_gateway)
    assert got + await read(bucket, LARGE_SHA256, len(got)) == LARGE


def dies_in_the_midst(
    monkeypatch: pytest.MonkeyPatch, bucket: Bucket, of_send: int, then: Callable[[], object]
) -> list[str]:
    """Do something while a body is on its way; return the operations, as they are sent."""
    sent: list[str] = []
    send = bucket._client.send

    async def watched(operation: str, body: bytes, **parameters: Any) -> Any:
        sent.append(operation)
        if len(sent) != of_send:
            return await send(operation, body, **parameters)
        sending = asyncio.ensure_future(send(operation, body, **parameters))
        # Enough for the head and some of the body to be written.
        for _ in range(20):
            await asyncio.sleep(0)
        then()
        return await sending

    monkeypatch.setattr(bucket._client, "send", watched)
    return sent


async def test_killed__while_it_takes(
    bucket: Bucket, ceph: Ceph, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload outlives its gateway: the parts that had arrived are not sent again."""
    restarting: list[asyncio.Task[None]] = []

    def kill() -> None:
        ceph.kill_gateway()
        restarting.append(asyncio.ensure_future(asyncio.to_thread(ceph.start_gateway)))

    sent = dies_in_the_midst(monkeypatch, bucket, 3, kill)
    await bucket.put(LARGE_SHA256, large)
    await restarting[0]
    assert await read(bucket, LARGE_SHA256) == LARGE
    parts = -(-len(LARGE) // (8 * MIB))
    # The one or two that were on their way, each perhaps more than once.
    assert parts < len(sent) <= parts + 8


async def test_killed__single_put(
    bucket: Bucket, ceph: Ceph, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put that its gateway does not live to see is an error, and leaves all or nothing."""
    body = LARGE[: 8 * MIB]
    sha256 = hashlib.sha256(body).hexdigest()
    file.write_bytes(body)
    dies_in_the_midst(monkeypatch, bucket, 1, ceph.kill_gateway)
    with pytest.raises(StoreUnavailableError):
        await bucket.put(sha256, file)
    await asyncio.to_thread(ceph.start_gateway)
    assert await bucket.stat(sha256) is None
    await bucket.put(sha256, file)
    assert await read(bucket, sha256) == body


async def test_killed__for_good(
    bucket: Bucket, ceph: Ceph, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload is given up where the gateway does not come back, and can be done anew."""
    monkeypatch.setattr(bucket, "_pauses", (0.05, 0.05))
    dies_in_the_midst(monkeypatch, bucket, 2, ceph.kill_gateway)
    with pytest.raises(StoreUnavailableError):
        await bucket.put(LARGE_SHA256, large)
    await asyncio.to_thread(ceph.start_gateway)
    with pytest.raises(BlobMissingError):
        await read(bucket, LARGE_SHA256)
    # Nobody was there to be told that it ended.
    assert await bucket.abort_stale_uploads(-1) == 1
    await bucket.put(LARGE_SHA256, large)
    assert await read(bucket, LARGE_SHA256) == LARGE


async def test_stalled__is_given_up_on(
    bucket: Bucket, ceph: Ceph, file: Path, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that accepts and says nothing costs the time that is given, and no more."""
    await bucket.put(LARGE_SHA256, large)
    async with bucket.get(LARGE_SHA256) as stream:
        await stream.read_some()
        with ceph.stalled_gateway():
            for name in ("READ_SECONDS", "WRITTEN_SECONDS", "MOVED_SECONDS"):
                monkeypatch.setattr(s3_client, name, 0.3)
            monkeypatch.setattr(s3_client, "CONNECT_SECONDS", 0.0)
            monkeypatch.setattr(bucket, "_pauses", ())
            with pytest.raises(StoreUnavailableError, match="did not answer in time"):
                await drain(stream, bytearray())
            async with asyncio.timeout(20):
                for doing in everything(bucket, file):
                    with pytest.raises(StoreUnavailableError, match="did not answer in time"):
                        await doing()
    monkeypatch.undo()
    assert await read(bucket, LARGE_SHA256) == LARGE


# ── two gigabytes ────────────────────────────────────────────────────────────────────────────


def peak_bytes() -> int:
    """Return what this process has had in memory at most since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def forget_peak() -> int:
    """Begin anew (proc(5), clear_refs); return what it has now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


@pytest.mark.timeout(300)
async def test_two_gigabytes__in_little_memory(bucket: Bucket, tmp_path: Path) -> None:
    """A file of 2 GiB goes to the bucket and comes back in a few tens of megabytes."""
    path = tmp_path / "huge"
    with path.open("wb") as file:
        # No two parts are alike; the rest of each is a hole.
        for start in range(0, 2 * GIB, 4 * MIB):
            file.seek(start)
            file.write(os.urandom(4096))
        file.truncate(2 * GIB)
    with path.open("rb") as file:
        sha256 = await asyncio.to_thread(lambda: hashlib.file_digest(file, "sha256").hexdigest())
    # Whatever a first upload brings in for good.
    small = tmp_path / "small"
    small.write_bytes(LARGE)
    await bucket.put(LARGE_SHA256, small)
    before = forget_peak()
    await bucket.put(sha256, path)
    sent = peak_bytes() - before
    path.unlink()
    digest = hashlib.sha256()
    before = forget_peak()
    async with bucket.get(sha256) as stream:
        assert stream.length == 2 * GIB
        while piece := await stream.read_some():
            digest.update(piece)
    assert digest.hexdigest() == sha256
    received = peak_bytes() - before
    print(f"{sent / MIB:.1f} MiB to send, {received / MIB:.1f} MiB to receive")  # noqa: T201
    assert (sent < 64 * MIB, received < 32 * MIB) == (True, True)
    assert await bucket.delete([sha256]) == {}
