"""Finding and unpacking one member of a zip file of which only parts are known. Pure: no I/O.

`Sparse` is a file of which some parts are known; reading elsewhere raises `MissingError`, the
caller brings those bytes and calls again. Not `zipfile`: that unpacks bzip2 and LZMA without a
bound (616 bytes took 1.4 GB), makes an object of each of 20,000 members (0.1 s, three times over),
and raises whatever its input makes it raise. What is accepted is what `zipfile`, and so pip,
accepts. Sections are those of PKWARE's APPNOTE.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator

import msgspec

from pypicached.errors import PypicachedError

# The largest wheels have some 20,000 members of about 100 bytes each in their directory.
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
# An LZMA stream names its own dictionary size, up to 4 GiB.
LZMA_MEMORY_BYTES = 64 * 1024 * 1024
# What extra fields take in a local header that nobody stuffed; more costs another read.
EXTRA_BYTES = 64
MAX_COMMENT_BYTES = 0xFFFF

# 4.3.16 end of directory, 4.3.15 and 4.3.14 the same for zip64, 4.3.12 entry, 4.3.7 local header.
_END, _END_MARK = struct.Struct("<4s4H2LH"), b"PK\5\6"
_LOCATOR_BYTES, _LOCATOR_MARK = 20, b"PK\6\7"
_END64, _END64_MARK = struct.Struct("<4sQ2H2L4Q"), b"PK\6\6"
_ENTRY, _ENTRY_MARK = struct.Struct("<4s6H3L5H2L"), b"PK\1\2"
_LOCAL, _LOCAL_MARK = struct.Struct("<4s5H3L2H"), b"PK\3\4"
_ELSEWHERE = 0xFFFFFFFF  # 4.4.1.4: the number is in the zip64 extra field
# 4.4.4: encrypted, compressed patch, strongly encrypted.
_UNREADABLE_FLAGS = 0x1 | 0x20 | 0x40
_STORED, _DEFLATED, _BZIP2, _LZMA = 0, 8, 12, 14  # 4.4.5


class ArchiveError(PypicachedError):
    """The file is no zip file that can be read; the message is a phrase of ours."""


class MissingError(Exception):
    """Bytes that are not known are needed: `length` from `offset` on, all within the file."""

    def __init__(self, offset: int, length: int) -> None:
        super().__init__(f"{length} bytes at {offset}")
        self.offset = offset
        self.length = length


class Sparse:
    """A file of `length` bytes of which parts are known. Not for sharing."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._parts: list[tuple[int, bytes]] = []

    def add(self, offset: int, data: bytes) -> None:
        """Make the bytes from `offset` on known."""
        self._parts.append((offset, data))

    def read(self, offset: int, length: int) -> bytes:
        """Return a region that one part holds; MissingError, or ArchiveError beyond the file."""
        if offset < 0 or length < 0 or offset + length > self.length:
            raise ArchiveError("it points beyond its own bytes")
        if length == 0:
            return b""
        for start, data in self._parts:
            if start <= offset and offset + length <= start + len(data):
                return data[offset - start : offset - start + length]
        raise MissingError(offset, length)


class Member(msgspec.Struct, frozen=True):
    """A directory entry; `offset` is where its local header stands. All of it is hearsay."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed_bytes: int
    size_bytes: int
    offset: int


def members(archive: Sparse) -> Iterator[Member]:
    """Yield the directory's entries. Raises MissingError, ArchiveError."""
    start, size, shift = _find_directory(archive)
    if size > MAX_DIRECTORY_BYTES:
        raise ArchiveError("its directory is too large")
    directory = archive.read(start, size)
    position = 0
    while position < size:
        if position + _ENTRY.size > size or not directory.startswith(_ENTRY_MARK, position):
            raise ArchiveError("its directory is damaged")
        entry = _ENTRY.unpack_from(directory, position)
        name_end = position + _ENTRY.size + entry[10]
        extra = directory[name_end : name_end + entry[11]]
        name = directory[position + _ENTRY.size : name_end]
        packed, unpacked, offset = _true_numbers(entry[8], entry[9], entry[16], extra)
        yield Member(name, entry[3], entry[4], entry[7], packed, unpacked, offset + shift)
        position = name_end + entry[11] + entry[12]
    if position != size:
        raise ArchiveError("its directory is damaged")


def _find_directory(archive: Sparse) -> tuple[int, int, int]:
    """Return (start, size, by how much offsets are off); a prefix moves everything (4.3.9)."""
    end_at, end = _find_end(archive)
    size, offset = end[5], end[6]
    stop = end_at
    back = _LOCATOR_BYTES + _END64.size
    if end_at >= back:
        before = archive.read(end_at - back, back)
        if before.startswith(_LOCATOR_MARK, _END64.size) and before.startswith(_END64_MARK):
            end64 = _END64.unpack_from(before)
            size, offset = end64[8], end64[9]
            stop -= back
    start = stop - size
    return start, size, start - offset


def _find_end(archive: Sparse) -> tuple[int, tuple[int, ...]]:
    """Return where the end record stands, and its fields; there is hardly ever a comment."""
    for comment in (0, MAX_COMMENT_BYTES):
        reach = min(archive.length, _END.size + comment)
        tail = archive.read(archive.length - reach, reach)
        at = tail.rfind(_END_MARK)
        if 0 <= at <= len(tail) - _END.size:
            return archive.length - reach + at, _END.unpack_from(tail, at)
    raise ArchiveError("it has no zip directory")


def _true_numbers(packed: int, unpacked: int, offset: int, extra: bytes) -> tuple[int, int, int]:
    """Return (packed, unpacked, offset), taken from the zip64 extra field where need be (4.5.3)."""
    numbers = [unpacked, packed, offset]
    if _ELSEWHERE not in numbers:
        return packed, unpacked, offset
    while len(extra) >= 4:
        mark, length = struct.unpack_from("<2H", extra)
        if mark == 1:
            field = extra[4 : 4 + length]
            large = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            numbers = [next(large, n) if n == _ELSEWHERE else n for n in numbers]
            break
        extra = extra[4 + length :]
    return numbers[1], numbers[0], numbers[2]


def unpack(archive: Sparse, member: Member, limit_bytes: int) -> bytes:
    """Return a member's content, its length and CRC checked; never more than `limit_bytes`.

    Raises MissingError, ArchiveError.
    """
    if max(member.size_bytes, member.packed_bytes) > limit_bytes:
        raise ArchiveError("its member is too large")
    if member.flags & _UNREADABLE_FLAGS:
        raise ArchiveError("it is encrypted")
    data = _decompress(member, _packed(archive, member))
    if len(data) != member.size_bytes or zlib.crc32(data) != member.crc:
        raise ArchiveError("its bytes are damaged")
    return data


def _packed(archive: Sparse, member: Member) -> bytes:
    """Return the member's body as stored: behind its local header, in one read if that will do."""
    least = _LOCAL.size + len(member.name) + member.packed_bytes
    archive_left = archive.length - member.offset
    header = archive.read(member.offset, max(least, min(least + EXTRA_BYTES, archive_left)))
    local = _LOCAL.unpack_from(header)
    if local[0] != _LOCAL_MARK or not header.startswith(member.name, _LOCAL.size):
        raise ArchiveError("its directory and its members do not agree")
    start = _LOCAL.size + local[9] + local[10]
    if start + member.packed_bytes <= len(header):
        return header[start : start + member.packed_bytes]
    return archive.read(member.offset + start, member.packed_bytes)


def _decompress(member: Member, packed: bytes) -> bytes:
    """Return the content, at most one byte more than the directory says (enough to tell)."""
    most = member.size_bytes + 1
    try:
        if member.method == _STORED:
            return packed
        if member.method == _DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
        if member.method == _BZIP2:
            return bz2.BZ2Decompressor().decompress(packed, most)
        if member.method == _LZMA:
            return _unpack_lzma(packed, most)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise ArchiveError("its bytes are damaged") from error
    raise ArchiveError(f"it is compressed by method {member.method}")


def _unpack_lzma(packed: bytes, most: int) -> bytes:
    """Unpack LZMA (5.8.8): version, length of the properties (5), properties, stream.

    The same stream with an unknown size before it is an `.lzma` file, for which there is a memory
    limit.
    """
    if packed[2:4] != b"\5\0":
        raise ArchiveError("its bytes are damaged")
    stream = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY_BYTES)
    return stream.decompress(packed[4:9] + b"\xff" * 8 + packed[9:], most)
