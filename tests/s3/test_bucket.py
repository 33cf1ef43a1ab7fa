"""A bucket as others see it: keys, URLs, what is imported for it, and what was left behind."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import aiohttp
import pytest

from pypicached.errors import WrongBytesError
from pypicached.store import multipart
from pypicached.store.access import BucketAccess
from pypicached.store.bucket import Bucket, open_bucket
from pypicached.store.disk import DiskPool
from pypicached.store.multipart import MIB, MultipartUpload, part_bytes_of
from tests.s3.servers import Endpoint, new_bucket

BODY = b"0123456789"
SHA256 = hashlib.sha256(BODY).hexdigest()
BOTH = pytest.mark.parametrize("server", ["moto", pytest.param("gateway", marks=pytest.mark.ceph)])


@pytest.fixture
async def bucket(request: pytest.FixtureRequest, server: str) -> AsyncIterator[Bucket]:
    async with new_bucket(request.getfixturevalue(server)) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    return path


@BOTH
async def test_sign__for_its_method(bucket: Bucket, file: Path) -> None:
    """A signed URL gives a blob to anybody, in parts too; one for HEAD tells of it."""
    await bucket.put(SHA256, file)
    url = await bucket.sign(SHA256, "GET", 60)
    assert bucket.key_of(SHA256) == f"sha256/{SHA256[:2]}/{SHA256}"
    assert bucket.key_of(SHA256) in url
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as answer:
            assert (answer.status, await answer.read()) == (200, BODY)
            assert answer.headers["Content-Type"] == "application/octet-stream"
        async with session.get(url, headers={"Range": "bytes=3-5"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"345")
        async with session.head(await bucket.sign(SHA256, "HEAD", 60)) as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, "10")


@pytest.mark.parametrize(
    ("bucket", "endpoint_url", "addressing", "opening"),
    [
        ("wheels", "https://s3.example.test", "path", "https://s3.example.test/wheels/sha256/"),
        ("wheels", "https://s3.example.test", "virtual", "https://wheels.s3.example.test/sha256/"),
        ("wheels", None, "auto", "https://wheels.s3.eu-central-1.amazonaws.com/sha256/"),
        ("wheels.all", None, "auto", "https://s3.eu-central-1.amazonaws.com/wheels.all/sha256/"),
    ],
)
async def test_sign__addressing(
    bucket: str,
    endpoint_url: str | None,
    addressing: Literal["auto", "path", "virtual"],
    opening: str,
) -> None:
    """The bucket is in the path or in the host, as it is set; the secret is nowhere."""
    access = BucketAccess(
        bucket=bucket,
        endpoint_url=endpoint_url,
        region="eu-central-1",
        access_key_id="AKID",
        secret_access_key="correct-horse",
        addressing=addressing,
    )
    disk = DiskPool(1)
    try:
        async with open_bucket(access, disk) as opened:
            url = await opened.sign(SHA256, "GET", 3600)
    finally:
        disk.close()
    assert url.startswith(opening)
    assert "X-Amz-Expires=3600" in url
    assert "%2Feu-central-1%2Fs3%2F" in url
    assert "correct-horse" not in url


# All uploads of moto began in 2010.
@pytest.mark.ceph
@pytest.mark.parametrize("server", ["gateway"])
async def test_abort__stale_uploads(bucket: Bucket) -> None:
    """Uploads that nobody ended are ended once they are old, and only those of blobs."""
    client = bucket._client
    theirs = "somebody/else"
    for key in (bucket.key_of(SHA256), bucket.key_of(SHA256), theirs):
        await client.ask("create_multipart_upload", Key=key)
    assert await bucket.abort_stale_uploads(3600) == 0
    assert await bucket.abort_stale_uploads(-1) == 2
    left = await client.ask("list_multipart_uploads")
    assert [upload["Key"] for upload in left["Uploads"]] == [theirs]


@BOTH
async def test_upload__leaves_nothing(bucket: Bucket, tmp_path: Path) -> None:
    """A large blob whose bytes are wrong leaves neither an object nor parts of one."""
    path = tmp_path / "large"
    path.write_bytes(bytes(17 * MIB))
    with pytest.raises(WrongBytesError):
        await bucket.put(SHA256, path)
    assert "Uploads" not in await bucket._client.ask("list_multipart_uploads")
    assert await bucket.stat(SHA256) is None


@BOTH
async def test_refresh__what_is_too_large_for_one_copy(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that no single copy takes is copied in parts, and is the same."""
    monkeypatch.setattr(multipart, "COPIED_PART_BYTES", 5 * MIB)
    body = bytes(range(256)) * (12 * 4096)
    sha256 = hashlib.sha256(body).hexdigest()
    path = tmp_path / "large"
    path.write_bytes(body)
    await bucket.put(sha256, path)
    await MultipartUpload(bucket._client, bucket.key_of(sha256), ()).copy(len(body))
    async with bucket.get(sha256) as stream:
        digest = hashlib.sha256()
        while piece := await stream.read_some():
            digest.update(piece)
    assert digest.hexdigest() == sha256


@pytest.mark.parametrize(
    ("length", "part"),
    [
        (0, 8 * MIB),
        (80_000 * MIB, 8 * MIB),
        (80_000 * MIB + 1, 9 * MIB),
        (5 * 1024**4, 525 * MIB),
    ],
)
def test_parts__enough_of_them(length: int, part: int) -> None:
    """Parts are so large that 10,000 of them are enough, and no larger."""
    assert part_bytes_of(length) == part
    assert -(-length // part) <= 10_000


async def test_puts__at_once(moto: Endpoint, tmp_path: Path) -> None:
    """Many blobs can be put and read at once through one client."""
    bodies = {hashlib.sha256(b"%d" % n).hexdigest(): b"%d" % n for n in range(50)}
    async with new_bucket(moto) as bucket:

        async def put(sha256: str, body: bytes) -> bytes:
            path = tmp_path / sha256
            path.write_bytes(body)
            await bucket.put(sha256, path)
            async with bucket.get(sha256) as stream:
                return await stream.read_some()

        assert await asyncio.gather(*(put(*pair) for pair in bodies.items())) == [*bodies.values()]


def test_import__only_where_there_is_a_bucket() -> None:
    """A daemon without a bucket never imports what speaks S3."""
    code = (
        "import sys; import pypicached.daemon, pypicached.store; "
        "print([m for m in ('aiobotocore', 'botocore', 'urllib3') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"
