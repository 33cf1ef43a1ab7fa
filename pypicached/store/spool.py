"""A spool file: what one writer fills while many readers already send it.

It lives in `tmp/` on the blob disk, so that a commit is a rename. Its room is allocated before the
first byte is announced, so that a full disk is known at the start. Readers get an open file
description of their own, because `sendfile` moves the position of the one it is given.
"""

from __future__ import annotations

import os
from pathlib import Path

# Room is taken in steps of this where upstream does not say how long a file is.
STEP_BYTES = 8 * 1024 * 1024


class Spool:
    """One spool file. Blocking: callers on the event loop use it through the disk pool.

    `open_reader` and `discard` are quick enough to be called inline.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._allocated = 0

    @classmethod
    def create(cls, path: Path, length: int | None) -> Spool:
        """Create the file and allocate its room (a first step if `length` is unknown)."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        spool = cls(path, fd)
        try:
            spool.allocate(STEP_BYTES if length is None else length)
        except OSError:
            spool.discard()
            raise
        return spool

    @property
    def allocated_bytes(self) -> int:
        """How far the file's room reaches."""
        return self._allocated

    def allocate(self, length: int) -> None:
        """Make room for `length` bytes in all; OSError (ENOSPC, EDQUOT) if there is none."""
        if length > self._allocated:
            os.posix_fallocate(self._fd, 0, length)
            self._allocated = length

    def write_at(self, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, offset)
            view = view[done:]
            offset += done

    def read_at(self, length: int, offset: int) -> bytes:
        """Read back up to `length` bytes at `offset`."""
        return os.pread(self._fd, length, offset)

    def open_reader(self) -> int:
        """Return a new read-only file descriptor, valid whatever becomes of the name."""
        return os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)

    def seal(self, length: int) -> None:
        """Cut the file to its true length and make its bytes durable."""
        os.ftruncate(self._fd, length)
        os.fsync(self._fd)

    def close(self) -> None:
        """Close our descriptor; the file and its readers stay."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def unlink(self) -> None:
        """Remove the name; whoever has the file open keeps its bytes."""
        self.path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Close and remove; readers that are open keep their bytes until they close."""
        self.close()
        self.unlink()
