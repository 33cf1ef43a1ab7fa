"""Blobs on local disk: `blobs/sha256/ab/<digest>`, and `tmp/` for spools beside them.

Commit: seal (cut, fsync) the spool → rename → fsync directory. Atomic: a name under `blobs/` always
holds whole bytes. A directory that stands where a blob belongs is none of ours and in the way: it
is moved into `tmp/`, which the next start empties. The store knows no ledger, no budget and no
policy, and never reads a blob whole by itself: `examine` leaves the pace to its caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from pypicached.store.disk import DiskPool, disk_bytes, empty_directory, fsync_directory
from pypicached.store.examination import Examination, Identity, identify
from pypicached.store.spool import Spool

HEX = set("0123456789abcdef")


class LocalStore:
    """The blob store of one directory; safe for many tasks of one event loop."""

    def __init__(self, root: Path, disk: DiskPool) -> None:
        self.root = root
        self.disk = disk
        self._blobs = root / "blobs" / "sha256"
        self._tmp = root / "tmp"
        self._numbers = itertools.count(1)
        # What each directory takes on disk, as of the last time that something came into it; their
        # sum; and what a new one takes (a block on most file systems).
        self._directories: dict[Path, int] = {}
        self.directory_bytes = 0
        self.new_directory_bytes = 0
        self._root_identity: tuple[int, int] | None = None
        # The file system's block size, as of `prepare`: a disk that is gone for a while has none.
        self.block_bytes = 4096

    def prepare(self) -> int:
        """Make the directories and empty `tmp/`; return how many spools a crash had left.

        Raises OSError.
        """
        self._make()
        self._root_identity = _place_of(self.root)
        self.block_bytes = os.statvfs(self.root).f_frsize
        left = empty_directory(self._tmp)
        self._measure_all()
        self.new_directory_bytes = self._directories[self._tmp]
        return left

    def _measure_all(self) -> None:
        self._directories.clear()
        self.directory_bytes = 0
        for directory in (self._tmp, self._blobs.parent, self._blobs):
            self._measure(directory)
        # What cannot be read is met, and told, by those who want something of it.
        with contextlib.suppress(PermissionError):
            for directory in _directories_in(self._blobs):
                self._measure(directory)

    def _measure(self, directory: Path) -> None:
        before = self._directories.get(directory, 0)
        self._directories[directory] = disk_bytes(directory.stat())
        self.directory_bytes += self._directories[directory] - before

    def _make(self) -> None:
        self._blobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._tmp.mkdir(parents=True, exist_ok=True, mode=0o700)

    def free_bytes(self) -> int:
        """Bytes that this user may still write on the disk; OSError while the disk is gone.

        Asked of `tmp/`: where a mount has vanished, its mount point tells of another disk. Where it
        is our directory still, somebody has emptied it, and `tmp/` is made anew.
        """
        try:
            about = os.statvfs(self._tmp)
        except FileNotFoundError:
            if _place_of(self.root) != self._root_identity:
                raise
            self._make()
            self._measure_all()
            about = os.statvfs(self._tmp)
        return about.f_bavail * about.f_frsize

    def total_bytes(self) -> int:
        """Size of the whole file system."""
        about = os.statvfs(self.root)
        return about.f_blocks * about.f_frsize

    def temporary_path(self) -> Path:
        """Return a new name in `tmp/`."""
        return self._tmp / f"{os.getpid()}-{next(self._numbers)}"

    async def create_spool(self, length: int | None) -> Spool:
        """Create a spool with room for `length` bytes; OSError if the disk has none."""
        made: list[Spool] = []
        path = self.temporary_path()
        try:
            await self.disk.run(lambda: made.append(Spool.create(path, length)))
        except asyncio.CancelledError:
            # The thread was not cancelled: nobody else will ever know of what it made.
            for spool in made:
                spool.discard()
            raise
        return made[0]

    async def publish(self, spool: Spool, sha256: str) -> int:
        """Give a sealed spool its name among the blobs, durably; return its bytes on disk."""
        return await self.disk.run(self._publish, spool, sha256)

    def _publish(self, spool: Spool, sha256: str) -> int:
        path = self._path(sha256)
        try:
            self._place(spool, path)
        except FileNotFoundError:
            # Somebody has removed its directory, or all of them. Unless it is the whole disk that
            # has gone, once more.
            spool.path.stat()
            self._make()
            self.directory_bytes -= self._directories.pop(path.parent, 0)
            self._place(spool, path)
        return disk_bytes(path.stat())

    def _place(self, spool: Spool, path: Path) -> None:
        self._make_directory(path.parent)
        try:
            spool.path.rename(path)
        except IsADirectoryError:
            self._move_away(path)
            spool.path.rename(path)
        spool.path = path
        fsync_directory(path.parent)
        self._measure(path.parent)

    def _move_away(self, directory: Path) -> None:
        directory.rename(self.temporary_path())

    def _make_directory(self, directory: Path) -> None:
        if directory not in self._directories:
            directory.mkdir(mode=0o700, exist_ok=True)
            fsync_directory(self._blobs)
            self._measure(directory)

    def open(self, sha256: str, length: int) -> int | None:
        """Return a read-only descriptor of a blob, or None if it is gone or of another length.

        Inline on purpose: an open and an fstat cost less than a hop to a thread.
        """
        try:
            # O_NONBLOCK: a pipe in a blob's place would wait for a writer (open(2)).
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            fd = os.open(self._path(sha256), flags)
        except OSError as error:
            # Vanished, a directory or link in its place, not ours to read: each is a miss.
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            return None
        about = os.fstat(fd)
        if stat.S_ISREG(about.st_mode) and about.st_size == length:
            return fd
        os.close(fd)
        return None

    def stat(self, sha256: str) -> os.stat_result | None:
        """Return the status of a blob's file, or None if there is no regular file of its name."""
        with contextlib.suppress(OSError):
            about = self._path(sha256).lstat()
            if stat.S_ISREG(about.st_mode):
                return about
        return None

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Return those of which nothing at all is here; blocking. OSError if that is not sure."""
        os.statvfs(self._tmp)  # a mount that has vanished, or its disk
        absent: list[str] = []
        for sha256 in digests:
            try:
                self._path(sha256).lstat()
            except FileNotFoundError:
                absent.append(sha256)
        return absent

    def examine(self, sha256: str, size_bytes: int) -> Examination:
        """Return a look at a blob that is yet to be taken."""
        return Examination(self._path(sha256), sha256, size_bytes)

    def identify(self, sha256: str) -> Identity | None:
        """Return which file stands where a blob belongs, or None."""
        return identify(self._path(sha256))

    async def delete(self, digests: Collection[str], refused: dict[str, OSError]) -> None:
        """Remove blobs, and note in `refused` those that could not be; a missing one is no error.

        A cancelled caller goes on only when all of it is done and noted.
        """
        await self.disk.run(self._delete_all, list(digests), refused)

    def _delete_all(self, digests: list[str], refused: dict[str, OSError]) -> None:
        for sha256 in digests:
            try:
                self._delete(self._path(sha256))
            except OSError as error:
                refused[sha256] = error

    def _delete(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except IsADirectoryError:
            self._move_away(path)
        # Directories count too: where little room is given, empty ones would take all of it.
        with contextlib.suppress(OSError):
            path.parent.rmdir()
            self.directory_bytes -= self._directories.pop(path.parent, 0)

    def walk(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield (digest, status) of every blob file; blocking, for recovery and `verify`.

        A directory that cannot be read keeps nobody from the others: OSError at the end.
        """
        failed: OSError | None = None
        for directory in _directories_in(self._blobs):
            try:
                yield from _blobs_in(directory)
            except FileNotFoundError:
                continue  # what has been removed since was the last blob of its directory, too
            except OSError as error:
                failed = error
        if failed is not None:
            raise failed

    def path_of(self, sha256: str) -> Path:
        """Return where a blob is, or would be."""
        return self._path(sha256)

    def _path(self, sha256: str) -> Path:
        return self._blobs / sha256[:2] / sha256


def _directories_in(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir())


def _place_of(path: Path) -> tuple[int, int] | None:
    """Return what tells a directory from another one at the same path; None if there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _blobs_in(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as entries:
        for entry in filter(_is_blob, entries):
            with contextlib.suppress(FileNotFoundError):
                yield entry.name, entry.stat(follow_symlinks=False)


def _is_blob(entry: os.DirEntry[str]) -> bool:
    named = len(entry.name) == 64 and set(entry.name) <= HEX
    return named and entry.is_file(follow_symlinks=False)
