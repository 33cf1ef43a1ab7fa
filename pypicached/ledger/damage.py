"""What is wrong with a ledger's file: in words, and remembered for the next start.

SQLite finds a damaged page when it comes by, perhaps long after the start. The file cannot be
exchanged under a running daemon, so a mark is left beside it; the next start reads all of the file
then, which it otherwise does not, and sets it aside if it is damaged indeed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

# Primary result codes (sqlite.org/rescode.html) are the low byte of what an error carries.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another process holds a lock on the file."""
    return _code(error) == sqlite3.SQLITE_BUSY


def describe(error: sqlite3.Error, path: Path) -> str:
    """Return what a running daemon says of an error; a damaged file is marked."""
    if _code(error) not in _DAMAGED:
        return str(error)
    with contextlib.suppress(OSError):
        _mark(path).touch()
    return f"{error}; the next start sets it aside and takes the stored files back"


def is_marked(path: Path) -> bool:
    """Tell whether a daemon before us met damage in this file."""
    return _mark(path).exists()


def unmark(path: Path) -> None:
    """The file was looked at, or is another one. Raises OSError."""
    _mark(path).unlink(missing_ok=True)


def explain(error: Exception, path: Path) -> str:
    """Return why a file cannot be opened, and what to do: SQLite's own words tell neither."""
    if isinstance(error, sqlite3.Error) and is_busy(error):
        return "another process has locked it: end that, and start again"
    if path.exists() and not path.is_file():
        return "it is no file: move it away, or name another one as [cache] ledger"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return "it cannot be read and written: give it to the user that runs pypicached"
    with contextlib.suppress(OSError):
        if os.statvfs(path.parent).f_bavail == 0:
            return "its disk is full: make room, and start again"
    return str(error)


def _code(error: sqlite3.Error) -> int:
    # Errors of the module itself, as of a connection that is closed, carry none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")
