"""The owner's side of a download: one upstream body → spool, hashed as it goes, verified, resumed.

One task runs it, and no client owns that task. Steps: reserve and allocate room → ask
upstream → receive (resuming where upstream breaks off) → verify. What follows a verified download
(commit, ledger) is `blobs.keep`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import msgspec

from pypicached.cache.blobs import Blobs
from pypicached.cache.digests import Digests
from pypicached.cache.download import Download
from pypicached.cache.eviction import Eviction
from pypicached.errors import (
    NoRoomError,
    UpstreamAnswerError,
    UpstreamUnavailableError,
    VerificationError,
)
from pypicached.store import Spool
from pypicached.store.disk import blocks_for
from pypicached.store.spool import STEP_BYTES
from pypicached.upstream import FileStream, open_file

# "At most 3 times in a row without a new byte" (DESIGN.md): a node that resets at once is not
# worth more, one that drips is.
MAX_RESUMES = 3
RESUME_PAUSE_SECONDS = 0.1
# Below this a hop to a thread costs more than hashing and writing inline.
INLINE_BYTES = 16 * 1024


T = TypeVar("T")
# Opens the body; the argument asks for a new connection.
Opener = Callable[[bool], AbstractAsyncContextManager[FileStream]]


class Arrived(msgspec.Struct, frozen=True):
    """A verified download: its spool is sealed by whoever takes it."""

    spool: Spool
    sha256: str
    length: int
    reserved: int
    verified: bool


class Transfer:
    """One upstream body on its way into a spool. Used once, by one task."""

    def __init__(
        self,
        download: Download,
        *,
        blobs: Blobs,
        eviction: Eviction,
        on_bytes: Callable[[int], None],
        opened: Opener | None = None,
    ) -> None:
        self._download = download
        self._source = download.source
        self._connection = download.source.connection
        self._blobs = blobs
        self._eviction = eviction
        self._on_bytes = on_bytes
        self._open = opened or self._open_upstream
        self._digests = Digests(download.source.expected)
        self._spool: Spool | None = None
        self._reserved = 0
        self._written = 0
        self._validator: str | None = None

    async def run(self) -> Arrived:
        """Receive and verify; the spool and its reservation pass to the caller.

        Raises UpstreamError, VerificationError, NoRoomError; then nothing is left behind.
        """
        arrived = False
        try:
            if self._download.length is not None:
                # No room is then known before upstream is asked for a byte.
                await self._make_spool(self._download.length)
            await self._receive()
            result = self._verify()
            arrived = True
            return result
        finally:
            if not arrived:
                self._blobs.budget.release(self._reserved)
                if self._spool is not None:
                    self._spool.discard()

    # ── receiving ────────────────────────────────────────────────────────────────────────────

    async def _receive(self) -> None:
        """Receive to the end of the body, on as many connections as it takes."""
        fruitless = 0
        attempt = 0
        while True:
            before = self._written
            try:
                return await self._attempt(fresh=attempt > 0)
            except UpstreamUnavailableError:
                fruitless = fruitless + 1 if self._written == before else 1
                attempt += 1
                if fruitless > MAX_RESUMES or not self._resumable():
                    raise
            pause = RESUME_PAUSE_SECONDS * 2 ** (fruitless - 1)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    def _resumable(self) -> bool:
        """Whether a part of the file from another answer may be trusted to belong to it."""
        return self._written == 0 or self._validator is not None or self._digests.verifying

    async def _attempt(self, *, fresh: bool) -> None:
        async with self._open(fresh) as stream:
            await self._begin(stream)
            if stream.start < self._written:
                await self._compare(stream)
            while data := await stream.read_some():
                await self._write(data)
        length = self._download.length
        if length is not None and self._written < length:
            raise UpstreamUnavailableError(self._connection.name, "broke off its answer")

    def _open_upstream(self, fresh: bool) -> AbstractAsyncContextManager[FileStream]:
        return open_file(
            self._connection,
            self._source.kind,
            self._source.url,
            offset=self._written,
            validator=self._validator,
            fresh=fresh,
        )

    async def _begin(self, stream: FileStream) -> None:
        """Check what the answer says of itself, and make room at the first one."""
        length = self._download.length
        if length is not None and stream.length is not None and stream.length != length:
            raise VerificationError(
                self._connection.name,
                f"announced {stream.length} bytes for a file of {length}",
            )
        if self._spool is None:
            self._check_bound(stream.length or 0)
            await self._make_spool(stream.length)
        elif length is None and stream.length is not None:
            # What broke off did not say its length, the rest does: a part of it is no end.
            self._download.begin(self._spool, stream.length)
        if self._written == 0:
            self._validator = stream.validator
        elif stream.start:
            self._check_part(stream)

    def _check_part(self, stream: FileStream) -> None:
        """Parts under two validators are parts of two files (RFC 9110 §15.3.7.3)."""
        changed = None not in (self._validator, stream.validator) and (
            stream.validator != self._validator
        )
        short = stream.length is not None and stream.length < self._written
        # Where the page gave a digest, that has the last word.
        if short or (changed and not self._digests.verifying):
            raise VerificationError(self._connection.name, "sent a part of another file")

    def _check_bound(self, length: int) -> None:
        limit = self._source.expected.limit_bytes
        if limit is not None and length > limit:
            raise UpstreamAnswerError(
                self._connection.name, "its metadata is larger than [limits] metadata_size"
            )

    async def _compare(self, stream: FileStream) -> None:
        """Upstream began anew: read up to where we are, and insist that it is the same file."""
        assert self._spool is not None
        offset = 0
        while offset < self._written:
            data = await stream.read_some()
            if not data:
                raise UpstreamUnavailableError(self._connection.name, "broke off its answer")
            known = min(len(data), self._written - offset)
            mine = await self._blobs.store.disk.run(self._spool.read_at, known, offset)
            if mine != data[:known]:
                raise VerificationError(self._connection.name, "sent another file when resumed")
            offset += known
            if known < len(data):
                await self._write(data[known:])
                return

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    async def _make_spool(self, length: int | None) -> None:
        await self._reserve(STEP_BYTES if length is None else length)
        self._spool = await _disk(self._blobs.store.create_spool(length))
        self._download.begin(self._spool, length)

    async def _reserve(self, more: int) -> None:
        wanted = blocks_for(more, self._blobs.store.block_bytes)
        await self._eviction.reserve(wanted)
        self._reserved += wanted

    async def _write(self, data: bytes) -> None:
        assert self._spool is not None
        self._on_bytes(len(data))
        end = self._written + len(data)
        length = self._download.length
        if length is not None and end > length:
            raise VerificationError(
                self._connection.name, f"sent more than the {length} bytes of the file"
            )
        self._check_bound(end)
        disk = self._blobs.store.disk
        while end > self._spool.allocated_bytes:
            await self._reserve(STEP_BYTES)
            room = self._spool.allocated_bytes + STEP_BYTES
            await _disk(disk.run(self._spool.allocate, room))
        if len(data) <= INLINE_BYTES:
            self._take(data)
        else:
            await _disk(disk.run(self._take, data))
        self._written = end
        self._download.progress.advance(end)

    def _take(self, data: bytes) -> None:
        assert self._spool is not None
        self._digests.update(data)
        self._spool.write_at(data, self._written)

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def _verify(self) -> Arrived:
        assert self._spool is not None
        wrong = self._digests.mismatch(self._written)
        if wrong is not None:
            raise VerificationError(self._connection.name, wrong)
        sha256 = self._digests.sha256()
        self._download.verified(sha256, self._written, self._blobs.uses)
        return Arrived(self._spool, sha256, self._written, self._reserved, self._digests.verifying)


async def _disk(work: Awaitable[T]) -> T:
    """Tell a disk that has no room (or fails) from an upstream that fails."""
    try:
        return await work
    except OSError as error:
        raise NoRoomError(f"cannot write to the cache disk: {error.strerror}") from error
