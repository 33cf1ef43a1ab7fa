"""Ledgers beside the ledger: what was set aside, and what was kept before a migration.

They are named `<ledger>.<word>`, with a number where that is taken, and never overwritten. A copy
of an older version is what an older program goes back to. All of it is blocking.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path

from pypicached.errors import LedgerError
from pypicached.ledger.schema import VERSION

MAGIC = b"SQLite format 3\0"
COPY_NAME = re.compile(r"\.version-(\d+)(?:\.(\d+))?")


def check_copy(path: Path) -> None:
    """Make sure that a file is a whole ledger; LedgerError if not. Blocking, reads all of it."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise LedgerError("it is no SQLite file")
        # Immutable: nothing is written beside it, and nothing is waited for.
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"it cannot be read: {error}") from error
    if found != "ok":
        raise LedgerError(f"it is damaged: {found}")
    if not 0 < version <= VERSION:
        raise LedgerError("it is no ledger of this version")


def set_aside(path: Path, found: int | None) -> str:
    """Give a ledger that is not for us (`found` None: garbage) another name; return it in words."""
    kept = _free_name(path, "garbage" if found is None else f"version-{found}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{kept}{suffix}")
    why = "was no ledger" if found is None else f"is of a newer version ({found})"
    return f"the ledger {path} {why}; it was set aside as {kept}"


def copy_aside(path: Path, found: int) -> Path:
    """Keep the ledger, of version `found`, as it is; return its copy. OSError, sqlite3.Error.

    The name stands for a whole copy: one that was broken off has none.
    """
    kept = _free_name(path, f"version-{found}")
    partial = path.with_name(f"{path.name}.unfinished")
    try:
        # A crash may have left both; an old journal would be played back into the new copy.
        for suffix in ("", "-journal"):
            Path(f"{partial}{suffix}").unlink(missing_ok=True)
        # Who asked for what is nobody else's business.
        partial.touch(mode=0o600)
        source, target = sqlite3.connect(path), sqlite3.connect(partial)
        with contextlib.closing(source), contextlib.closing(target):
            source.backup(target)
            # The copy says of itself what its source is: that it has a log beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        partial.rename(kept)
        _fsync_directory(path.parent)
    except (OSError, sqlite3.Error):
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    return kept


def take_back(path: Path) -> Path | None:
    """Put the youngest whole copy that this version can use in the place of `path`.

    Returns the name that it had, or None if there is none.
    """
    for copy in _copies(path):
        try:
            check_copy(copy)
        except LedgerError:
            continue
        copy.rename(path)
        _fsync_directory(path.parent)
        return copy
    return None


def _copies(path: Path) -> list[Path]:
    """Return the copies of usable versions, the newest version and its latest copy first."""
    found: list[tuple[int, int, Path]] = []
    for beside in path.parent.iterdir():
        if beside.name.startswith(path.name):
            named = COPY_NAME.fullmatch(beside.name[len(path.name) :])
            if named is not None and int(named[1]) <= VERSION:
                found.append((int(named[1]), int(named[2] or 1), beside))
    return [copy for *_, copy in sorted(found, reverse=True)]


def _free_name(path: Path, word: str) -> Path:
    for number in range(1, 1000):
        name = path.with_name(f"{path.name}.{word}" + (f".{number}" if number > 1 else ""))
        if not name.exists():
            return name
    raise LedgerError(f"there are too many old ledgers beside {path}; remove some")


def _fsync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
