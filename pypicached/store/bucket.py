"""Blobs in a bucket that speaks S3: `{prefix}sha256/{ab}/{digest}`, shared by any number of hosts.

An object's LastModified is when it was put or refreshed. Only what has a key like that is ever
listed, signed or deleted: the rest of the bucket is somebody else's. What is written carries its
Content-MD5, which stores compare; the sha256 is compared here, before an object comes into being.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pypicached.errors import BlobMissingError, StoreRefusedError, StoreUnavailableError, clean
from pypicached.store.access import NO_BUCKET, BucketAccess
from pypicached.store.disk import DiskPool
from pypicached.store.insisting import PAUSES, insist
from pypicached.store.multipart import CONTENT_TYPE, PART_BYTES, FileParts, MultipartUpload
from pypicached.store.protocol import WALK_AT_ONCE, BlobStream, StoredBlob

if TYPE_CHECKING:
    # It brings aiobotocore.
    from pypicached.store.s3_client import Answer, S3Client

# What DeleteObjects takes at most.
_DELETED_AT_ONCE = 1000
# Where a store has no DeleteObjects.
_DELETES_AT_ONCE = 8
# For so long after an answer of the bucket's, a bare 404 is taken for an object's absence.
_BUCKET_SEEN_SECONDS = 60.0
_NO_BATCHES = frozenset({
    "InvalidArgument", "InvalidDigest", "InvalidRequest", "MalformedXML", "MethodNotAllowed",
    "MissingContentLength", "MissingContentMD5", "NotImplemented", "400", "405", "411", "501",
})  # fmt: skip
# What CopyObject takes at most ("Copying objects").
_COPIED_AT_ONCE_BYTES = 5 * 1024**3
_KEY = re.compile(r"sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)


@contextlib.asynccontextmanager
async def open_bucket(access: BucketAccess, disk: DiskPool) -> AsyncIterator[Bucket]:
    """Open a bucket; `disk` reads what is put into it. Asks nothing of it. Raises StoreError."""
    # Here and not above: it takes a while, and most daemons have no bucket.
    from pypicached.store.s3_client import open_client

    async with open_client(access) as client:
        yield Bucket(access, client, disk)


class Bucket:
    """A `Store` in a bucket; safe for many tasks of one event loop.

    Requests are tried once, but for the steps of what takes many: parts of an upload, pages of a
    list.
    """

    def __init__(
        self,
        access: BucketAccess,
        client: S3Client,
        disk: DiskPool,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self.identity = access.identity
        self._prefix = access.prefix
        self._client = client
        self._disk = disk
        self._pauses = pauses

    def key_of(self, sha256: str) -> str:
        """Return the key of a blob's object."""
        return f"{self._prefix}sha256/{sha256[:2]}/{sha256}"

    async def check(self) -> None:
        """Raise StoreError unless the bucket is there and can be listed.

        Without the right to list, S3 tells no absence (it answers 403), and nothing can be pruned.
        """
        await self._ask_bucket("list_objects_v2", Prefix=self._prefix, MaxKeys=1)

    async def now(self) -> float:
        """Return what the store's clock says, in seconds since the epoch."""
        answer = await self._ask_bucket("list_objects_v2", Prefix=self._prefix, MaxKeys=1)
        return _date_of(answer).timestamp()

    async def sign(self, sha256: str, method: Literal["GET", "HEAD"], seconds: int) -> str:
        """Return a URL with which anybody may get a blob for so long; asks nothing.

        It lives no longer than credentials that are temporary themselves (roles).
        """
        operation = "get_object" if method == "GET" else "head_object"
        return await self._client.sign(operation, self.key_of(sha256), seconds)

    # ── the protocol ─────────────────────────────────────────────────────────────────────────

    async def stat(self, sha256: str) -> StoredBlob | None:
        """Return what is known of a blob; None if it is certain that there is none."""
        try:
            about = await self._client.ask("head_object", Key=self.key_of(sha256))
        except BlobMissingError:
            return None
        except StoreRefusedError as error:
            if error.code != "404":
                raise
            await self._see_bucket()
            return None
        return StoredBlob(sha256, int(about["ContentLength"]), about["LastModified"].timestamp())

    async def _see_bucket(self) -> None:
        """Raise StoreRefusedError if there is no bucket: HEAD gives a bare 404 for that too."""
        if time.monotonic() - self._client.answered_at < _BUCKET_SEEN_SECONDS:
            return
        try:
            await self._client.ask("head_bucket")
        except StoreRefusedError as error:
            # 403: it is there, and not for us to look at.
            if error.code != "403":
                raise

    @contextlib.asynccontextmanager
    async def get(self, sha256: str, *, offset: int = 0) -> AsyncIterator[BlobStream]:
        """Open a blob from `offset` on; beyond its end is nothing. Raises BlobMissingError."""
        from pypicached.store.s3_client import Body

        asked: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            answer = await self._client.ask("get_object", Key=self.key_of(sha256), **asked)
        except StoreRefusedError as error:
            if error.code not in ("InvalidRange", "416"):
                raise
            yield await self._beyond_end(sha256, offset)
            return
        body = Body(answer)
        try:
            # Inside, so that the connection is let go of whatever the answer says.
            told = answer.get("LastModified")
            kept_at = 0.0 if told is None else told.timestamp()
            yield BlobStream(offset, _length_in(answer, offset), kept_at, body.read_some)
        finally:
            body.close()

    async def _beyond_end(self, sha256: str, offset: int) -> BlobStream:
        about = await self.stat(sha256)
        if about is None:
            raise BlobMissingError

        async def read_some() -> bytes:
            return b""

        return BlobStream(offset, about.size_bytes, about.kept_at, read_some)

    async def put(self, sha256: str, path: Path) -> None:
        """Store the bytes of a file as a blob: whole, or not at all. One that is there is replaced.

        Raises OSError if the file cannot be read; WrongBytesError if its bytes are not `sha256`'s.
        """
        key = self.key_of(sha256)
        with contextlib.closing(FileParts(path)) as parts:
            if parts.length > PART_BYTES:
                await MultipartUpload(self._client, key, self._pauses).send(
                    parts, sha256, self._disk
                )
                return
            whole = await self._disk.run(parts.read)
            parts.check(sha256)
            assert whole is not None
            await self._client.send(
                "put_object", whole.body, Key=key, ContentMD5=whole.md5, ContentType=CONTENT_TYPE
            )

    async def refresh(self, sha256: str) -> bool:
        """Set `kept_at` to now; return False if there is no such blob.

        S3 has no other way than to copy an object into its own place.
        """
        key = self.key_of(sha256)
        try:
            await self._client.move(
                "copy_object",
                Key=key,
                CopySource={"Bucket": self._client.bucket, "Key": key},
                # Without it a copy in place is refused as one that changes nothing.
                MetadataDirective="REPLACE",
                ContentType=CONTENT_TYPE,
            )
        except BlobMissingError:
            return False
        except StoreRefusedError as error:
            if error.code not in ("InvalidRequest", "EntityTooLarge"):
                raise
            about = await self.stat(sha256)
            if about is None:
                return False
            if about.size_bytes <= _COPIED_AT_ONCE_BYTES:
                raise
            await MultipartUpload(self._client, key, self._pauses).copy(about.size_bytes)
        return True

    async def delete(self, digests: Collection[str]) -> dict[str, str]:
        """Remove blobs; return those that could not be removed, and why. A missing one is gone."""
        kept: dict[str, str] = {}
        for some in _slices(sorted(digests), _DELETED_AT_ONCE):
            try:
                kept |= await self._delete_batch(some)
            except StoreRefusedError as error:
                if error.code not in _NO_BATCHES:
                    raise
                for few in _slices(some, _DELETES_AT_ONCE):
                    refused = await asyncio.gather(*map(self._delete_one, few))
                    kept |= {sha256: why for sha256, why in zip(few, refused, strict=True) if why}
        return kept

    async def _delete_batch(self, digests: Sequence[str]) -> dict[str, str]:
        objects = [{"Key": self.key_of(sha256)} for sha256 in digests]
        answer = await self._client.move(
            "delete_objects", Delete={"Objects": objects, "Quiet": True}
        )
        errors = [error for error in answer.get("Errors", ()) if error.get("Code") != "NoSuchKey"]
        return {
            e["Key"].rpartition("/")[2]: f"the store refuses: {clean(e['Code'], 40)}"
            for e in errors
        }

    async def _delete_one(self, sha256: str) -> str:
        """Return why a blob could not be removed, or ""."""
        try:
            await self._client.ask("delete_object", Key=self.key_of(sha256))
        except BlobMissingError:
            return ""
        except StoreRefusedError as error:
            return str(error)
        return ""

    async def walk(self) -> AsyncIterator[list[StoredBlob]]:
        """Yield all blobs by digest, at most `WALK_AT_ONCE` at a time.

        One that comes or goes meanwhile may or may not be met.
        """
        more: dict[str, Any] = {}
        while True:
            page = await self._list("list_objects_v2", MaxKeys=WALK_AT_ONCE, **more)
            found = [
                StoredBlob(sha256, int(entry["Size"]), entry["LastModified"].timestamp())
                for entry in page.get("Contents", ())
                if (sha256 := self._digest_in(entry["Key"]))
            ]
            if found:
                yield found
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def _list(self, operation: str, **parameters: Any) -> Answer:
        prefix = f"{self._prefix}sha256/"
        return await insist(
            lambda: self._ask_bucket(operation, Prefix=prefix, **parameters), self._pauses
        )

    async def _ask_bucket(self, operation: str, **parameters: Any) -> Answer:
        """Ask what is about no single object: where that is said not to be there, no bucket is."""
        try:
            return await self._client.ask(operation, **parameters)
        except BlobMissingError:
            raise StoreRefusedError(NO_BUCKET) from None

    def _digest_in(self, key: str) -> str:
        """Return whose blob's key it is; "" for what is not ours."""
        match = _KEY.fullmatch(key.removeprefix(self._prefix))
        return "" if match is None else match[2]

    # ── uploads that nobody ended ────────────────────────────────────────────────────────────

    async def abort_stale_uploads(self, older_than_seconds: float) -> int:
        """End uploads of blobs that began so long ago, by the store's clock; return how many.

        Their parts take room, and no listing of objects shows them. Raises StoreError.
        """
        aborted = 0
        more: dict[str, Any] = {}
        while True:
            page = await self._list("list_multipart_uploads", **more)
            for upload in _begun_before(page, older_than_seconds):
                if self._digest_in(upload["Key"]):
                    await self._abort(upload["Key"], upload["UploadId"])
                    aborted += 1
            if not page.get("IsTruncated"):
                return aborted
            more = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    async def _abort(self, key: str, upload_id: str) -> None:
        try:
            await self._client.ask("abort_multipart_upload", Key=key, UploadId=upload_id)
        except StoreRefusedError as error:
            # Somebody else was quicker.
            if error.code != "NoSuchUpload":
                raise


def _length_in(answer: Answer, offset: int) -> int:
    """Return the whole length of a blob of which a part was asked for."""
    if not offset:
        return int(answer["ContentLength"])
    told = _RANGE.fullmatch(answer.get("ContentRange", ""))
    if told is None or int(told[1]) != offset:
        raise StoreRefusedError("gives no parts of objects")
    return int(told[2])


def _date_of(answer: Answer) -> datetime:
    """Return when the store answered. Raises StoreUnavailableError if it does not say."""
    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        return parsedate_to_datetime(told)
    except ValueError:
        raise StoreUnavailableError("does not say what time it is") from None


def _begun_before(page: Answer, seconds: float) -> Iterator[dict[str, Any]]:
    now = _date_of(page)
    for upload in page.get("Uploads", ()):
        if (now - upload["Initiated"]).total_seconds() >= seconds:
            yield upload


def _slices(digests: Sequence[str], length: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(digests), length):
        yield digests[start : start + length]
