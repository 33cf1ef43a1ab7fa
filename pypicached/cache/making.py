"""Core metadata made by us, for wheels whose index offers none (PEP 658, PEP 714).

From the stored wheel; else from a few ranges of it (the end with the zip directory, then the one
member); else by downloading the wheel, which then is cached. A resolver behind us never downloads
wheels to read their metadata, whatever the index can do.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from pypicached.cache.download import Miss
from pypicached.cache.shared import Shared
from pypicached.cache.source import Source
from pypicached.cache.stored_files import FileKey, Hit, StoredFiles
from pypicached.errors import (
    NoRoomError,
    OfflineError,
    UpstreamAnswerError,
    UpstreamUnavailableError,
)
from pypicached.ledger import Kind
from pypicached.simple.model import ProjectFile
from pypicached.store.disk import DiskPool
from pypicached.upstream import Part, RangesRefusedError, fetch_part
from pypicached.wheel import MissingError, Sparse, WheelError, read_metadata

# The directory of a wheel of 100 files, and often its metadata beside it. A hundredth of the file
# is what the directory of a large wheel takes.
TAIL_BYTES, LARGEST_TAIL_BYTES = 12 * 1024, 256 * 1024
TAIL_SHARE = 256
# Comment, zip64 end, directory, member, its extra field; more is a wheel that is made to be asked
# for again and again.
MAX_PARTS = 6


class Making:
    """Makes sidecars. Callers make sure that it runs once per file at a time."""

    def __init__(
        self,
        stored: StoredFiles,
        disk: DiskPool,
        open_file: Callable[[FileKey], Awaitable[Hit | Miss]],
        on_bytes: Callable[[Kind, str, int], None],
        shared: Shared | None = None,
    ) -> None:
        self._stored = stored
        self._disk = disk
        self._open_file = open_file
        self._on_bytes = on_bytes
        self._shared = shared

    async def make(self, key: FileKey, entry: ProjectFile, source: Source) -> bytes:
        """Return the METADATA, byte for byte, of the wheel that `source` gives.

        Raises UpstreamAnswerError for a damaged wheel, and what fetching it raises.
        """
        wheel = FileKey(key.index, key.path, "file")
        try:
            hit = await self._stored.find(wheel)
            if hit is not None:
                return await self._from_hit(hit, entry.filename, source)
            try:
                return await self._from_parts(entry, source)
            except RangesRefusedError:
                return await self._from_whole(wheel, entry.filename, source)
            except (UpstreamUnavailableError, OfflineError):
                if not await self._is_shared(entry):
                    raise
                return await self._from_whole(wheel, entry.filename, source)
        except WheelError as error:
            raise UpstreamAnswerError(key.index, f"cannot read a wheel: {error}") from error

    async def _is_shared(self, entry: ProjectFile) -> bool:
        """Whether the store that hosts share has a wheel."""
        sha256 = entry.hashes.get("sha256")
        if self._shared is None or not sha256:
            return False
        return await self._shared.length_of(sha256) is not None

    async def from_stored(self, key: FileKey, entry: ProjectFile, source: Source) -> bytes | None:
        """Return the METADATA if the wheel is here and whole; nobody is asked."""
        hit = await self._stored.find(FileKey(key.index, key.path, "file"))
        if hit is None:
            return None
        try:
            return await self._from_hit(hit, entry.filename, source)
        except WheelError:
            return None  # upstream may have a sidecar of it all the same

    async def _from_hit(self, hit: Hit, filename: str, source: Source) -> bytes:
        limit = source.connection.limits.metadata_bytes
        if hit.body is not None:
            sparse = Sparse(len(hit.body))
            sparse.add(0, hit.body)
            return read_metadata(sparse, filename, limit)
        try:
            return await self._disk.run(_read_from, hit.fd, hit.file.size_bytes, filename, limit)
        except OSError as error:
            self._stored.broke(hit.file, error)
            raise WheelError("the disk that it is stored on failed") from error
        finally:
            os.close(hit.fd)

    async def _from_whole(self, wheel: FileKey, filename: str, source: Source) -> bytes:
        """Download the wheel, or wait for it, like any other reader."""
        found = await self._open_file(wheel)
        if isinstance(found, Hit):
            return await self._from_hit(found, filename, source)
        download = found.download
        try:
            reach = 0
            while not download.progress.ended:
                reach = await download.wait_beyond(reach)
            length = await download.wait_beyond(reach)
            fd = download.open_reader()
            limit = source.connection.limits.metadata_bytes
            try:
                return await self._disk.run(_read_from, fd, length, filename, limit)
            finally:
                os.close(fd)
        except NoRoomError as error:
            raise UpstreamAnswerError(
                source.connection.name, "does not answer ranges, and there is no room for its wheel"
            ) from error
        finally:
            download.detach()

    async def _from_parts(self, entry: ProjectFile, source: Source) -> bytes:
        """Fetch only what is looked at. RangesRefusedError if that cannot be had."""
        connection = source.connection
        share = 0 if entry.size is None else entry.size // TAIL_SHARE
        tail = max(TAIL_BYTES, min(share, LARGEST_TAIL_BYTES))
        part = await self._fetch(source, None, tail, None)
        if entry.size not in (None, part.length):
            raise RangesRefusedError(connection.name, "has a file of another length")
        sparse = Sparse(part.length)
        sparse.add(part.start, part.data)
        for _ in range(MAX_PARTS):
            try:
                return await self._disk.run(
                    read_metadata, sparse, entry.filename, connection.limits.metadata_bytes
                )
            except MissingError as missing:
                new = await self._fetch(source, missing.offset, missing.length, part.validator)
                # The checks in the zip file find what goes together by chance only.
                if (new.length, new.validator) != (part.length, part.validator):
                    raise RangesRefusedError(connection.name, "changed a file") from missing
                sparse.add(new.start, new.data)
        raise WheelError("its directory is scattered")

    async def _fetch(
        self, source: Source, offset: int | None, count: int, validator: str | None
    ) -> Part:
        part = await source.ask(
            lambda url: fetch_part(
                source.connection,
                "metadata",
                url,
                may_ask=source.may_ask,
                offset=offset,
                count=count,
                validator=validator,
            )
        )
        self._on_bytes("metadata", source.connection.name, len(part.data))
        return part


def _read_from(fd: int, length: int, filename: str, limit: int) -> bytes:
    """Read a wheel's metadata from a file of `length` bytes; blocking."""
    sparse = Sparse(length)
    for _ in range(MAX_PARTS + 1):
        try:
            return read_metadata(sparse, filename, limit)
        except MissingError as missing:
            # The first read is the end: most often the whole directory stands there.
            start = max(0, min(missing.offset, length - TAIL_BYTES))
            stop = missing.offset + missing.length
            sparse.add(start, os.pread(fd, stop - start, start))
    raise WheelError("it ends early")
