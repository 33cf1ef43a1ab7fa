"""Large blobs into a bucket, part by part; and copied in it, part by part.

A part that does not arrive is sent again: a connection that breaks costs one part. Until the last
step there is no object, and it is taken only if the bytes that were read are those of the digest.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pypicached.errors import StoreError, StoreRefusedError, StoreUnavailableError, WrongBytesError
from pypicached.store.disk import DiskPool
from pypicached.store.insisting import insist

if TYPE_CHECKING:
    # It brings aiobotocore.
    from pypicached.store.s3_client import Answer, S3Client

MIB = 1024 * 1024
# What is sent at once, and the size of a part; S3 takes no smaller ones than 5 MiB.
PART_BYTES = 8 * MIB
MOST_PARTS = 10_000
# Of one upload; each is in memory.
PARTS_AT_ONCE = 2
# Copied by the store itself, in a time for which one waits.
COPIED_PART_BYTES = 512 * MIB
CONTENT_TYPE = "application/octet-stream"


class Part(NamedTuple):
    """Some bytes of a file; `md5` as Content-MD5 has it (RFC 1864)."""

    number: int
    body: bytes
    md5: str


class FileParts:
    """A file, read part by part from its start, and hashed. Blocking; one thread at a time.

    Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed by `close`
        self.length = self._file.seek(0, 2)
        self._file.seek(0)
        self._part_bytes = part_bytes_of(self.length)
        self._sha256 = hashlib.sha256()
        self._number = 0

    def read(self) -> Part | None:
        """Return the next part; None at the end. There is one, if empty, in an empty file."""
        body = self._file.read(self._part_bytes)
        if not body and self._number:
            return None
        self._number += 1
        self._sha256.update(body)
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        return Part(self._number, body, base64.b64encode(md5).decode("ascii"))

    def check(self, sha256: str) -> None:
        """Raise WrongBytesError if what was read are not the bytes of a digest."""
        if self._sha256.hexdigest() != sha256:
            raise WrongBytesError

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def part_bytes_of(length: int) -> int:
    """Return the size of parts, whole MiB, that makes no more of them than S3 takes."""
    return max(PART_BYTES, -(-length // MOST_PARTS // MIB) * MIB)


class MultipartUpload:
    """An object that comes into being by parts, or not at all. For one object, once."""

    def __init__(self, client: S3Client, key: str, pauses: Sequence[float]) -> None:
        self._client = client
        self._key = key
        self._pauses = pauses
        self._upload_id = ""
        self._etags: dict[int, str] = {}

    async def send(self, parts: FileParts, sha256: str, disk: DiskPool) -> None:
        """Send a file. Raises StoreError, WrongBytesError, OSError."""
        reading = asyncio.Lock()

        async def read() -> Part | None:
            async with reading:
                return await disk.run(parts.read)

        async def work() -> None:
            while (part := await read()) is not None:
                await self._send(part)

        async def send_all() -> None:
            await _all_or_first_error([work] * PARTS_AT_ONCE)
            parts.check(sha256)

        await self._make(send_all)

    async def copy(self, length: int) -> None:
        """Put the object that is there in its own place. Raises StoreError."""

        async def copy_all() -> None:
            for number, start in enumerate(range(0, length, COPIED_PART_BYTES), start=1):
                await self._copy(number, start, min(start + COPIED_PART_BYTES, length))

        await self._make(copy_all)

    async def _make(self, add_parts: Callable[[], Awaitable[None]]) -> None:
        made = await self._insist("create_multipart_upload", ContentType=CONTENT_TYPE)
        self._upload_id = made["UploadId"]
        try:
            await add_parts()
            await self._complete()
        except BaseException as error:
            await self._abort()
            if isinstance(error, StoreRefusedError) and error.code == "NoSuchUpload":
                # Somebody has ended it, or it was completed and nobody told us: to be done anew.
                raise StoreUnavailableError("has dropped an upload") from None
            raise

    async def _send(self, part: Part) -> None:
        answer = await insist(
            lambda: self._client.send(
                "upload_part",
                part.body,
                Key=self._key,
                UploadId=self._upload_id,
                PartNumber=part.number,
                ContentMD5=part.md5,
            ),
            self._pauses,
        )
        self._etags[part.number] = answer["ETag"]

    async def _copy(self, number: int, start: int, end: int) -> None:
        answer = await self._insist(
            "upload_part_copy",
            UploadId=self._upload_id,
            PartNumber=number,
            CopySource={"Bucket": self._client.bucket, "Key": self._key},
            CopySourceRange=f"bytes={start}-{end - 1}",
        )
        self._etags[number] = answer["CopyPartResult"]["ETag"]

    async def _complete(self) -> None:
        parts = [
            {"PartNumber": number, "ETag": etag} for number, etag in sorted(self._etags.items())
        ]
        await self._insist(
            "complete_multipart_upload", UploadId=self._upload_id, MultipartUpload={"Parts": parts}
        )

    async def _insist(self, operation: str, **parameters: Any) -> Answer:
        return await insist(
            lambda: self._client.move(operation, Key=self._key, **parameters), self._pauses
        )

    async def _abort(self) -> None:
        # What stays is found by `Bucket.abort_stale_uploads`.
        with contextlib.suppress(StoreError):
            await self._client.ask(
                "abort_multipart_upload", Key=self._key, UploadId=self._upload_id
            )


async def _all_or_first_error(works: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Do all at once; the first that fails ends the others, and its error is raised."""
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
