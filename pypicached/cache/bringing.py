"""Files for our own use: had like any client has them, and read from where they are kept.

What a client gets while it arrives is read here only once it is whole; what cannot be kept is an
error, as nobody would have anything of it.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from pypicached.cache.blobs import Blobs
from pypicached.cache.files import Files
from pypicached.cache.stored_files import FileKey, Hit
from pypicached.errors import FileNotListedError, HostError
from pypicached.ledger import CachedFile
from pypicached.simple.model import ProjectFile


class Bringing:
    """Any number of tasks."""

    def __init__(self, files: Files, blobs: Blobs) -> None:
        self._files = files
        self._blobs = blobs

    async def stored(self, key: FileKey) -> CachedFile | None:
        """Return the row of a file that is here and may be served; nobody is asked.

        Raises RefusedError.
        """
        hit = await self._files.stored.find(key)
        return None if hit is None else _closed(hit)

    async def bring(self, key: FileKey) -> CachedFile:
        """Have a file cached, and return its row.

        Raises what `Files.open` and `Files.check` do, what its download fails with, HostError if it
        is not kept.
        """
        found = await self._files.open(key)
        if isinstance(found, Hit):
            return _closed(found)
        try:
            await found.download.wait_for_end()
        finally:
            found.download.detach()
        await self._files.landed(key)
        stored = await self.stored(key)
        if stored is None:
            self._files.check(key, found)  # a reload may have decided otherwise meanwhile
            raise HostError("it could not be kept: see `pypicached status`")
        return stored

    async def metadata(self, key: FileKey, project: str, file: ProjectFile, *, ask: bool) -> bytes:
        """Return core metadata; with `ask` off only what is stored, or in a stored wheel.

        Raises as `bring` does, FileNotListedError if it is not here and nobody is to be asked.
        """
        if ask:
            await self.bring(key)
        hit = await self._files.stored.find(key)
        if hit is None:
            made = None if ask else await self._files.metadata_of_stored(key, project, file)
            if made is None:
                raise FileNotListedError(f"core metadata of {file.filename} is not cached")
            return made
        return await self._read(hit)

    def in_use(self, file: CachedFile) -> AbstractContextManager[None]:
        """Hold a stored file against eviction."""
        return self._blobs.in_use(file.sha256)

    def path_of(self, file: CachedFile) -> Path:
        """Return where the bytes of a stored file are, as long as they are kept."""
        return self._blobs.store.path_of(file.sha256)

    async def _read(self, hit: Hit) -> bytes:
        if hit.body is not None:
            return hit.body
        try:
            return await self._blobs.store.disk.run(os.pread, hit.fd, hit.file.size_bytes, 0)
        except OSError as error:
            self._files.stored.broke(hit.file, error)
            raise HostError(f"the cache disk failed: {error.strerror}") from error
        finally:
            os.close(hit.fd)


def _closed(hit: Hit) -> CachedFile:
    if hit.fd >= 0:
        os.close(hit.fd)
    return hit.file
