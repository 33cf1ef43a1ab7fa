"""Bodies with a Content-Encoding that nobody asked for (rule 51).

An index that says `Content-Encoding: gzip` either encoded a file on its way, or calls a `.tar.gz`
what it is. Clients hash what they store, so it matters which. What came is spooled as it came and
nothing is released; then the digest and the size on the page decide, first for what came, then for
what it unpacks to. A page that gives neither leaves only the name: of a file that is a gzip file
itself, what came is taken to be it.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable

from pypicached.cache.filling import Filling
from pypicached.errors import VerificationError
from pypicached.store.disk import DiskPool
from pypicached.upstream import FileStream

GZIP_CODINGS = ("gzip", "x-gzip")  # RFC 9110 §8.4.1.3
GZIP_NAMES = (".gz", ".tgz")
# Files that are not compressed already shrink to a tenth; a bomb goes up to a thousand times.
LARGEST_RATIO = 100
# Gzip adds 18 bytes and 5 to each block of up to 64 KiB; a header may carry a name and a comment.
GROWTH_SHARE, GROWTH_BYTES = 1000, 64 * 1024
# What is read, and what is unpacked, at a time.
PIECE_BYTES = 256 * 1024


def coding_of(stream: FileStream) -> str:
    """Return the coding of a body; empty if there is none."""
    return "" if stream.content_encoding == "identity" else stream.content_encoding


def most_bytes(size: int | None) -> int | None:
    """Return how long a file of `size` may be when encoded."""
    return None if size is None else size + size // GROWTH_SHARE + GROWTH_BYTES


def is_as_sent(sent: Filling, filename: str) -> bool:
    """Tell whether what came is the file, and its coding is but a label."""
    if sent.digests.verifying or sent.expected.size is not None:
        return sent.mismatch() is None
    return filename.lower().endswith(GZIP_NAMES)


async def decode(
    sent: Filling, coding: str, disk: DiskPool, make: Callable[[], Filling]
) -> Filling:
    """Return what `sent` unpacks to, if that is the file; `sent` stays the caller's.

    Raises VerificationError, NoRoomError.
    """
    if coding not in GZIP_CODINGS:
        raise VerificationError(sent.index, "encoded a file in a way that was not asked for")
    with contextlib.ExitStack() as undo:
        decoded = make()
        undo.callback(decoded.drop)
        size = sent.expected.size
        await decoded.make_room(size)
        most = sent.written * LARGEST_RATIO if size is None else size
        gunzip = _Gunzip(sent, disk)
        while data := await gunzip.read_some():
            if decoded.written + len(data) > most:
                raise VerificationError(sent.index, "sent gzip that unpacks to more than the file")
            await decoded.write(data)
        wrong = decoded.mismatch()
        if wrong is not None:
            raise VerificationError(sent.index, wrong)
        undo.pop_all()
        return decoded


class _Gunzip:
    """The content of a spooled gzip file (RFC 1952), in pieces, whatever it unpacks to."""

    def __init__(self, sent: Filling, disk: DiskPool) -> None:
        self._sent = sent
        self._disk = disk
        self._offset = 0
        self._packed = b""
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    async def read_some(self) -> bytes:
        """Return at least one byte; empty at the end. Raises VerificationError."""
        while True:
            if not self._packed and not await self._refill():
                if not self._member.eof:
                    raise VerificationError(self._sent.index, "sent gzip that ends early")
                return b""
            try:
                data = await self._disk.run(self._unpack)
            except zlib.error as error:
                raise VerificationError(self._sent.index, "sent damaged gzip") from error
            if data:
                return data

    async def _refill(self) -> bool:
        self._packed = await self._sent.read(PIECE_BYTES, self._offset)
        self._offset += len(self._packed)
        return bool(self._packed)

    def _unpack(self) -> bytes:
        if self._member.eof:
            # RFC 1952 §2.2: a file is a series of members.
            self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        data = self._member.decompress(self._packed, PIECE_BYTES)
        self._packed = self._member.unused_data or self._member.unconsumed_tail
        return data
