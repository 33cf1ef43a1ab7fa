"""Reading a stored blob through, to see whether it still is what its name says.

It finds and tells; what is done about it is not decided here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

import msgspec

from pypicached.errors import HostError

# What one step reads: short enough to leave a disk thread to others many times a second.
STEP_BYTES = 4 * 1024 * 1024
READ_BYTES = 256 * 1024
# Not the blob's fault: descriptors or memory have run out.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Identity(msgspec.Struct, frozen=True):
    """Which file stands at a path, so that another one in its place is told from it."""

    device: int
    inode: int
    changed_ns: int


def identify(path: Path) -> Identity | None:
    """Return what stands at a path, links not followed; None if nothing does or none can tell."""
    try:
        about = path.lstat()
    except OSError:
        return None
    return _identity(about)


def identify_open(fd: int) -> Identity:
    """Return which file is open."""
    return _identity(os.fstat(fd))


def _identity(about: os.stat_result) -> Identity:
    return Identity(about.st_dev, about.st_ino, about.st_ctime_ns)


class Examination:
    """One look at one blob. Blocking; one thread at a time.

    Once `finished`, `problem` says in a few words what is wrong, or is None. `seen` is the file
    that was looked at. `denied`: it could not be, for want of permission.
    """

    def __init__(self, path: Path, sha256: str, size_bytes: int) -> None:
        self.problem: str | None = None
        self.seen: Identity | None = None
        self.denied = False
        self.finished = False
        self._path = path
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._fd = -1
        self._hash = hashlib.sha256()

    def step(self) -> int:
        """Look a little further; return how many bytes were read. Raises HostError."""
        octets = 0
        try:
            if self._fd < 0:
                self._open()
            if not self.finished:
                octets = self._read()
        except OSError as error:
            if error.errno in _OURS:
                raise HostError(error.strerror or "out of descriptors or memory") from error
            self.denied = isinstance(error, PermissionError)
            self._found(_reason(error))
        return octets

    def close(self) -> None:
        """Let go of the file; at any time, and more than once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _found(self, problem: str | None) -> None:
        self.problem, self.finished = problem, True

    def _open(self) -> None:
        self.seen = identify(self._path)
        # O_NONBLOCK: a pipe in a blob's place would wait for a writer (open(2)).
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._fd = os.open(self._path, flags)
        about = os.fstat(self._fd)
        self.seen = _identity(about)
        if stat.S_ISDIR(about.st_mode):
            self._found("is a directory")
        elif not stat.S_ISREG(about.st_mode):
            self._found("is no file")
        elif about.st_size != self._size_bytes:
            self._found(f"wrong size: {about.st_size} bytes instead of {self._size_bytes}")

    def _read(self) -> int:
        octets = 0
        while octets < STEP_BYTES:
            chunk = os.read(self._fd, READ_BYTES)
            if not chunk:
                same = self._hash.hexdigest() == self._sha256
                self._found(None if same else "wrong digest")
                break
            self._hash.update(chunk)
            octets += len(chunk)
        return octets


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "missing"
        case errno.ELOOP:
            return "is a link"
        case errno.ENXIO:  # a socket (open(2))
            return "is no file"
        case _:
            return f"cannot be read: {error.strerror}"
