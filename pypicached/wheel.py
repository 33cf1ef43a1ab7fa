"""Reading a wheel's core metadata from as few of its bytes as will do. Pure: no I/O, no await.

A wheel is a zip file (PEP 427): its directory stands at its end and `*.dist-info/METADATA` is one
member of it. `Sparse` is a file of which only some parts are known; reading elsewhere raises
`MissingError`, the caller brings those bytes and calls again. Everything is bounded: a hostile
wheel costs no more than the limits below.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING

from pypicached.errors import PypicachedError
from pypicached.simple.names import normalize

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# The largest wheels have some 20,000 members of about 100 bytes each in their directory.
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024

# A local file header without name and extra field (APPNOTE 4.3.7), and what extra fields take.
LOCAL_HEADER_BYTES, EXTRA_BYTES = 30, 64


class WheelError(PypicachedError):
    """The file is no wheel whose metadata can be read; the message is a phrase of ours."""


class MissingError(Exception):
    """Bytes that are not known are needed: `length` from `offset` on."""

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

    def known(self, start: int, stop: int) -> bytes:
        """Return what is known from `start` on; MissingError if that is nothing."""
        for offset, data in self._parts:
            if offset <= start < offset + len(data):
                return data[start - offset : stop - offset]
        raise MissingError(start, stop - start)

    def require(self, offset: int, length: int) -> None:
        """Raise MissingError for all of a region at once, unless one part holds it."""
        length = min(length, self.length - offset)
        if not any(o <= offset and offset + length <= o + len(d) for o, d in self._parts):
            raise MissingError(offset, length)


class _Reader(io.RawIOBase):
    """A position in a sparse file, for zipfile."""

    def __init__(self, sparse: Sparse) -> None:
        super().__init__()
        self._sparse = sparse
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._sparse.length}
        if starts[whence] + offset < 0:
            raise OSError("seek before the start")
        self._position = starts[whence] + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self._sparse.length)
        if self._position >= stop:
            return 0
        found = self._sparse.known(self._position, stop)
        view[: len(found)] = found
        self._position += len(found)
        return len(found)


def read_metadata(wheel: Sparse, filename: str, limit_bytes: int) -> bytes:
    """Return the METADATA file of a wheel, byte for byte, its CRC checked.

    Raises MissingError for bytes that must be brought first, WheelError for a file that is no sound
    wheel or whose metadata is larger than `limit_bytes`.
    """
    try:
        with zipfile.ZipFile(_Guarded(_Reader(wheel))) as archive:
            member = _member(archive, filename)
            if member.file_size > limit_bytes:
                raise WheelError("its metadata is larger than [limits] metadata_size")
            # Header and body in one go, and not in the steps in which zipfile reads them.
            header = LOCAL_HEADER_BYTES + len(member.filename.encode()) + EXTRA_BYTES
            wheel.require(member.header_offset, header + min(member.compress_size, limit_bytes))
            with archive.open(member) as metadata:
                # A directory that lies about the size must not unpack for ever.
                data = metadata.read(limit_bytes + 1)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,  # a compression method or version that Python does not know
        RuntimeError,  # encrypted
        UnicodeDecodeError,
        OSError,
        ValueError,
    ) as error:
        raise WheelError("it is no sound zip file") from error
    if len(data) > limit_bytes:
        raise WheelError("its metadata is larger than [limits] metadata_size")
    return data


class _Guarded(io.BufferedReader):
    """What zipfile reads from: small reads are joined, a huge directory is refused."""

    def __init__(self, raw: _Reader) -> None:
        super().__init__(raw, 4096)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; zipfile asks for the whole directory in one read."""
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise WheelError("its directory is too large")
        return super().read(size)


def _member(archive: zipfile.ZipFile, filename: str) -> zipfile.ZipInfo:
    """Return the one `{name}-{version}.dist-info/METADATA` at the top (PEP 427)."""
    project = normalize(filename.split("-", 1)[0])
    found = []
    for info in archive.infolist():
        directory, _, name = info.filename.partition("/")
        owner = directory.removesuffix(".dist-info").split("-", 1)[0]
        if name == "METADATA" and directory.endswith(".dist-info") and normalize(owner) == project:
            found.append(info)
    if len(found) != 1:
        raise WheelError(f"it has {len(found) or 'no'} METADATA of its own name")
    return found[0]
