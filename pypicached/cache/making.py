"""Core metadata made by us, for wheels whose index offers none (PEP 658, PEP 714).

From the stored wheel; else from a few ranges of it (the end with the zip directory, then the one
member); else by downloading the wheel, which then is cached. A resolver behind us never downloads
wheels to read their metadata, whatever the index can do.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable

from pypicached.cache.download import Miss
from pypicached.cache.stored_files import FileKey, Hit, StoredFiles
from pypicached.errors import UpstreamAnswerError
from pypicached.ledger import Kind
from pypicached.simple.model import ProjectFile
from pypicached.store.disk import DiskPool
from pypicached.upstream import Connection, FileStream, Part, RangesRefusedError, fetch_part
from pypicached.wheel import MissingError, Sparse, WheelError, read_metadata

# The directory of a wheel of 100 files, and often its metadata beside it. A hundredth of the file
# is what the directory of a large wheel takes.
TAIL_BYTES, LARGEST_TAIL_BYTES = 12 * 1024, 256 * 1024
TAIL_SHARE = 256
# End, comment, directory, member; more is a wheel that is made to be asked for.
MAX_PARTS = 8
READ_AHEAD_BYTES = 64 * 1024


@contextlib.asynccontextmanager
async def stream_of(data: bytes) -> AsyncIterator[FileStream]:
    """Yield bytes that we made as if an upstream sent them."""
    pieces = [data]

    async def read_some() -> bytes:
        return pieces.pop() if pieces else b""

    yield FileStream(
        start=0, length=len(data), validator=None, content_encoding="", read_some=read_some
    )


class Making:
    """Makes sidecars. Callers make sure that it runs once per file at a time."""

    def __init__(
        self,
        stored: StoredFiles,
        disk: DiskPool,
        open_file: Callable[[FileKey], Awaitable[Hit | Miss]],
        on_bytes: Callable[[Kind, str, int], None],
    ) -> None:
        self._stored = stored
        self._disk = disk
        self._open_file = open_file
        self._on_bytes = on_bytes

    async def make(self, key: FileKey, entry: ProjectFile, connection: Connection) -> bytes:
        """Return the wheel's METADATA, byte for byte.

        Raises UpstreamAnswerError for a damaged wheel, and what fetching it raises.
        """
        wheel = FileKey(key.index, key.path, "file")
        limit = connection.limits.metadata_bytes
        try:
            hit = self._stored.ready(wheel) or await self._stored.get(wheel)
            if hit is None:
                try:
                    return await self._from_parts(entry, connection)
                except RangesRefusedError:
                    found = await self._open_file(wheel)
                    if isinstance(found, Miss):
                        return await self._from_download(found, entry.filename, limit)
                    hit = found
            return await self._from_hit(hit, entry.filename, limit)
        except WheelError as error:
            raise UpstreamAnswerError(key.index, f"cannot read a wheel: {error}") from error

    async def _from_hit(self, hit: Hit, filename: str, limit: int) -> bytes:
        if hit.body is not None:
            sparse = Sparse(len(hit.body))
            sparse.add(0, hit.body)
            return read_metadata(sparse, filename, limit)
        try:
            return await self._disk.run(_read_from, hit.fd, hit.file.size_bytes, filename, limit)
        finally:
            os.close(hit.fd)

    async def _from_download(self, miss: Miss, filename: str, limit: int) -> bytes:
        """Wait for the whole wheel, like any other reader."""
        download = miss.download
        try:
            reach = 0
            while not download.progress.ended:
                reach = await download.wait_beyond(reach)
            length = await download.wait_beyond(reach)
            fd = download.open_reader()
            try:
                return await self._disk.run(_read_from, fd, length, filename, limit)
            finally:
                os.close(fd)
        finally:
            download.detach()

    async def _from_parts(self, entry: ProjectFile, connection: Connection) -> bytes:
        """Fetch only what zipfile wants to see. RangesRefusedError if upstream has no ranges."""
        share = 0 if entry.size is None else entry.size // TAIL_SHARE
        tail = max(TAIL_BYTES, min(share, LARGEST_TAIL_BYTES))
        part = await self._fetch(connection, entry.url, None, tail, None)
        sparse = Sparse(part.length)
        sparse.add(part.start, part.data)
        for _ in range(MAX_PARTS):
            try:
                return await self._disk.run(
                    read_metadata, sparse, entry.filename, connection.limits.metadata_bytes
                )
            except MissingError as missing:
                new = await self._fetch(
                    connection, entry.url, missing.offset, missing.length, part.validator
                )
                if new.length != part.length:
                    raise RangesRefusedError(connection.name, "changed a file") from missing
                sparse.add(new.start, new.data)
        raise WheelError("its directory is scattered")

    async def _fetch(
        self,
        connection: Connection,
        url: str,
        offset: int | None,
        count: int,
        validator: str | None,
    ) -> Part:
        part = await fetch_part(
            connection, "metadata", url, offset=offset, count=count, validator=validator
        )
        self._on_bytes("metadata", connection.name, len(part.data))
        return part


def _read_from(fd: int, length: int, filename: str, limit: int) -> bytes:
    """Read a wheel's metadata from a file; blocking."""
    sparse = Sparse(length)
    while True:
        try:
            return read_metadata(sparse, filename, limit)
        except MissingError as missing:
            count = max(missing.length, READ_AHEAD_BYTES)
            data = os.pread(fd, count, missing.offset)
            if not data:
                raise WheelError("it ends early") from missing
            sparse.add(missing.offset, data)
