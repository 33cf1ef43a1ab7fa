"""The owner's side of a download: one upstream body → spool, hashed as it goes, verified, resumed.

One task runs it, and no client owns that task. Steps: reserve and allocate room → take what a
shared store has (`shared_part`) → ask upstream for the rest → receive (resuming where upstream
breaks off) → verify. What follows a verified download (commit, ledger) is `blobs.keep`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgspec

from pypicached.cache.blobs import Blobs
from pypicached.cache.download import HOLD_BYTES, Download
from pypicached.cache.encoded import coding_of, decode, is_as_sent, most_bytes
from pypicached.cache.eviction import Eviction
from pypicached.cache.filling import Filling
from pypicached.cache.shared import Shared
from pypicached.cache.shared_part import SharedPart
from pypicached.errors import (
    UpstreamPausedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
    VerificationError,
)
from pypicached.store import Spool
from pypicached.upstream import FileStream

# "At most 3 times in a row without a new byte" (DESIGN.md): a node that resets at once is not
# worth more, one that drips is.
MAX_RESUMES = 3
RESUME_PAUSE_SECONDS = 0.1


class Arrived(msgspec.Struct, frozen=True):
    """A verified download: its spool is sealed by whoever takes it."""

    spool: Spool
    sha256: str
    length: int
    reserved: int
    verified: bool
    # Whether all of it came from the shared store.
    shared: bool = False


class Transfer:
    """One body on its way into a spool. Used once, by one task.

    `_length` is that of the body as it is sent, `_download.length` that of the file: the two differ
    where upstream encoded it (`encoded`).
    """

    def __init__(
        self,
        download: Download,
        *,
        blobs: Blobs,
        eviction: Eviction,
        on_bytes: Callable[[int], None],
        shared: Shared | None = None,
    ) -> None:
        self._download = download
        self._part = None if shared is None else SharedPart(shared, download)
        self._source = download.source
        self._index = download.source.connection.name
        self._blobs = blobs
        self._eviction = eviction
        self._on_bytes = on_bytes
        self._filling = self._new_filling()
        self._length = download.length
        self._most = download.length
        self._coding = ""
        self._validator: str | None = None
        self._room: asyncio.Future[None] | None = None

    async def run(self) -> Arrived:
        """Receive and verify; the spool and its reservation pass to the caller.

        Raises UpstreamError, VerificationError, NoRoomError; then nothing is left behind.
        """
        arrived = False
        try:
            length = self._download.length
            if length is not None and self._filling.room(length):
                await self._make_room(length)
            result = await self._arrive()
            arrived = True
            return result
        finally:
            if not arrived:
                if self._room is not None:
                    self._room.cancel()
                    await asyncio.wait({self._room})
                self._filling.drop()

    async def _arrive(self) -> Arrived:
        part = self._part
        if part is not None:
            await part.take(self._begin_shared, self._take)
        if part is None or not part.octets:
            return await self._from_upstream()
        whole = part.octets == self._length
        try:
            result = self._verify() if whole else await self._from_upstream()
        except VerificationError as error:
            if whole:
                await part.damaged(error.reason)
            if not self._download.held:
                raise
            self._start_over()
            return await self._from_upstream()
        if whole:
            await part.verified()
        return msgspec.structs.replace(result, shared=whole)

    async def _from_upstream(self) -> Arrived:
        """Receive what is not here yet, and verify all of it."""
        await self._receive()
        if self._coding:
            await self._settle()
        return self._verify()

    def _start_over(self) -> None:
        """Throw away what a shared store gave: upstream has the last word."""
        self._filling.drop()
        self._filling = self._new_filling()
        self._length = self._most = self._source.expected.size
        self._coding = ""
        self._download.start_over()

    async def _begin_shared(self, length: int) -> None:
        self._length = self._most = length
        self._download.shared = True
        if self._room is not None:
            await self._room
        if not self._filling.begun:
            await self._filling.make_room(length)
        self._download.begin(self._filling.spool, length)

    async def _make_room(self, length: int) -> None:
        """Make room before upstream is asked; of a small file meanwhile: its clients wait for both.

        A disk that has none, though it told so much free, is then found out by one request more.
        """
        making = self._filling.make_room(length)
        if length <= HOLD_BYTES:
            self._room = asyncio.ensure_future(making)
            return
        await making
        self._download.begin(self._filling.spool, length)

    def _new_filling(self) -> Filling:
        return Filling(self._index, self._source.expected, self._blobs, self._eviction)

    # ── receiving ────────────────────────────────────────────────────────────────────────────

    async def _receive(self) -> None:
        """Receive to the end of the body, on as many connections as it takes."""
        fruitless = 0
        met: UpstreamUnavailableError | None = None
        while True:
            before = self._filling.written
            try:
                return await self._attempt(fresh=met is not None)
            except UpstreamUnavailableError as error:
                # What drips does not count as a new byte, or it would go on for ever.
                nothing = self._filling.written == before or isinstance(error, UpstreamTimeoutError)
                fruitless = fruitless + 1 if nothing else 1
                if met is None or not isinstance(error, UpstreamPausedError):
                    met = error  # why the host is left alone tells more than that it is
                if fruitless > MAX_RESUMES or not self._may_go_on(error):
                    raise met from None
                pause = RESUME_PAUSE_SECONDS * 2 ** (fruitless - 1)
                pause *= random.uniform(0.5, 1.5)  # noqa: S311 - jitter
                await asyncio.sleep(max(pause, error.retry_after or 0.0))

    def _may_go_on(self, error: UpstreamUnavailableError) -> bool:
        """Whether another connection may be tried.

        A file of which nothing is here is not worth waiting for a host that is left alone, or that
        took all its time: its clients are told, and come back.
        """
        begun = self._filling.written > 0
        hopeless = isinstance(error, (UpstreamPausedError, UpstreamTimeoutError))
        return self._resumable() and (begun or not hopeless)

    def _resumable(self) -> bool:
        """Whether a part of the file from another answer may be trusted to belong to it."""
        known = self._validator is not None or self._filling.digests.verifying
        return known or self._filling.written == 0

    async def _attempt(self, *, fresh: bool) -> None:
        written = self._filling.written
        async with self._source.open(
            offset=written, validator=self._validator, fresh=fresh
        ) as stream:
            if written == 0:
                await self._begin(stream)
            else:
                self._go_on(stream)
            if stream.start < written:
                await self._compare(stream)
            while data := await stream.read_some():
                await self._write(data)
        if self._length is not None and self._filling.written < self._length:
            raise UpstreamUnavailableError(self._index, "broke off its answer")

    async def _begin(self, stream: FileStream) -> None:
        """Check what the answer says of itself, and make room at the first one."""
        self._validator = stream.validator
        self._download.told = stream.told
        self._coding = coding_of(stream)
        size = self._source.expected.size
        if self._coding:
            self._download.hold_all()
            self._length, self._most = stream.length, most_bytes(size)
        else:
            self._check_length(stream, size)
            self._length = self._most = stream.length if size is None else size
        self._filling.check_bound(stream.length or 0)
        if self._room is not None:
            await self._room
        if not self._filling.begun:
            # A page's claim alone takes no room from others: upstream's own word does.
            await self._filling.make_room(None if stream.length is None else self._length)
        self._download.begin(self._filling.spool, size if self._coding else self._length)

    def _go_on(self, stream: FileStream) -> None:
        """Check that what follows belongs to what is here."""
        if coding_of(stream) != self._coding:
            raise VerificationError(self._index, "sent a part of another file")
        self._check_length(stream, self._length)
        if self._length is None and stream.length is not None:
            # What broke off did not say its length, the rest does: a part of it is no end.
            self._length = stream.length
            if not self._coding:
                self._most = stream.length
                self._download.begin(self._filling.spool, stream.length)
        if stream.start:
            self._check_part(stream)

    def _check_length(self, stream: FileStream, length: int | None) -> None:
        if length is not None and stream.length not in (None, length):
            raise VerificationError(
                self._index, f"announced {stream.length} bytes for a file of {length}"
            )

    def _check_part(self, stream: FileStream) -> None:
        """Parts under two validators are parts of two files (RFC 9110 §15.3.7.3)."""
        changed = None not in (self._validator, stream.validator) and (
            stream.validator != self._validator
        )
        short = stream.length is not None and stream.length < self._filling.written
        # Where the page gave a digest, that has the last word.
        if short or (changed and not self._filling.digests.verifying):
            raise VerificationError(self._index, "sent a part of another file")

    async def _compare(self, stream: FileStream) -> None:
        """Upstream began anew: read up to where we are, and insist that it is the same file."""
        offset = 0
        written = self._filling.written
        while offset < written:
            data = await stream.read_some()
            if not data:
                raise UpstreamUnavailableError(self._index, "broke off its answer")
            known = min(len(data), written - offset)
            if await self._filling.read(known, offset) != data[:known]:
                raise VerificationError(self._index, "sent another file when resumed")
            offset += known
            if known < len(data):
                await self._write(data[known:])

    async def _write(self, data: bytes) -> None:
        self._on_bytes(len(data))
        await self._take(data)

    async def _take(self, data: bytes) -> None:
        end = self._filling.written + len(data)
        if self._most is not None and end > self._most:
            raise VerificationError(
                self._index, f"sent more than the {self._most} bytes of the file"
            )
        await self._filling.write(data)
        self._download.progress.advance(end)

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    async def _settle(self) -> None:
        """Of a body that came encoded, go on with what is the file (rule 51)."""
        sent = self._filling
        if is_as_sent(sent, self._download.filename):
            return
        disk = self._blobs.store.disk
        self._filling = await decode(sent, self._coding, disk, self._new_filling)
        sent.drop()
        self._download.begin(self._filling.spool, self._filling.written)
        self._download.progress.advance(self._filling.written)

    def _verify(self) -> Arrived:
        filling = self._filling
        wrong = filling.mismatch()
        if wrong is not None:
            raise VerificationError(self._index, wrong)
        sha256 = filling.digests.sha256()
        self._download.verified(sha256, filling.written, self._blobs.uses)
        return Arrived(
            filling.spool, sha256, filling.written, filling.reserved, filling.digests.verifying
        )
