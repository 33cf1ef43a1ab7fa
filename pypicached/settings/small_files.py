"""Files that people write and settings name: read whole, but never waited for, and never huge.

A FIFO, a terminal or a device may give its bytes never, or for ever.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# Certificates of all the authorities of a host are a quarter of it.
PEM_BYTES = 1024 * 1024
# No password or token comes near; a wrong path (a disk, a log) is not read whole.
SECRET_BYTES = 65_536


class UnusableFileError(ValueError):
    """A file that cannot be read; a phrase that says why, without a word of what is in it."""


def read_small(path: Path, limit_bytes: int) -> bytes:
    """Return what is in a file of at most so many bytes. Raises UnusableFileError."""
    try:
        # Opening a FIFO would wait for somebody who writes to it (fifo(7)).
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise UnusableFileError(os.strerror(error.errno or 0)) from None
    except ValueError:
        raise UnusableFileError("no file can have that name") from None
    try:
        _check_kind(os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read(limit_bytes + 1)
    except OSError as error:
        raise UnusableFileError(os.strerror(error.errno or 0)) from None
    finally:
        os.close(descriptor)
    if len(raw) > limit_bytes:
        raise UnusableFileError(f"it is larger than {limit_bytes // 1024} KiB")
    return raw


def _check_kind(about: os.stat_result) -> None:
    if stat.S_ISDIR(about.st_mode):
        raise UnusableFileError(os.strerror(errno.EISDIR))
    # /dev/null (null(4)) is how people spell an empty file.
    is_null = stat.S_ISCHR(about.st_mode) and about.st_rdev == os.makedev(1, 3)
    if not stat.S_ISREG(about.st_mode) and not is_null:
        raise UnusableFileError("it is no regular file")
