"""Opening the SQLite file: pragmas, migrations, and what to do with a file that is no ledger."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import aiosqlite

from pypicached.errors import LedgerError
from pypicached.ledger.schema import MIGRATIONS, VERSION

BUSY_TIMEOUT_SECONDS = 30.0


async def open_connection(path: Path, *, read_only: bool = False) -> aiosqlite.Connection:
    """Open one connection with our pragmas; transactions are begun by hand."""
    uri = path.absolute().as_uri() + ("?mode=ro" if read_only else "")
    threads: list[threading.Thread] = []

    def connect() -> sqlite3.Connection:
        threads.append(threading.current_thread())
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_SECONDS)

    db = aiosqlite.Connection(connect, iter_chunk_size=64)
    try:
        await db
    except sqlite3.Error:
        # Its thread still reports its end to the loop; one that has closed by then makes that a
        # traceback on standard error.
        threads[0].join()
        raise
    try:
        if not read_only:
            # Must precede the first table; gives pages back to the disk without a VACUUM.
            await db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            await db.execute("PRAGMA journal_mode = WAL")
            # WAL with NORMAL survives a crash of the process whole, and a power cut but for the
            # last transactions (sqlite.org/pragma.html#pragma_synchronous): those are misses.
            await db.execute("PRAGMA synchronous = NORMAL")
            # A WAL that grew in a burst gives its space back.
            await db.execute("PRAGMA journal_size_limit = 16777216")
        await db.execute("PRAGMA cache_size = -4096")
    except BaseException:
        await db.close()
        raise
    return db


async def read(
    db: aiosqlite.Connection, statement: str, values: Iterable[object] = ()
) -> list[sqlite3.Row]:
    """Return all rows of a query; every read of a running daemon goes through here.

    Raises LedgerError if SQLite refuses: a failing disk, a file that is garbage by now.
    """
    try:
        return list(await db.execute_fetchall(statement, values))
    except sqlite3.Error as error:
        raise LedgerError(f"cannot read the ledger: {error}") from error


async def prepare_file(path: Path) -> list[str]:
    """Make the file at `path` a ledger of this version; return notes for the operator.

    A file that is no database, or of a newer version, is set aside under another name and never
    overwritten. Raises LedgerError if the file cannot be used at all.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = None if await _is_garbage(path) else await _version_of(path)
        notes: list[str] = []
        if found is None or found > VERSION:
            notes.append(_set_aside(path, found))
            found = 0
        if found < VERSION:
            if found:
                notes.append(_copy_aside(path, found))
            await _migrate(path, found)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"cannot use the ledger {path}: {error}") from error
    return notes


async def _version_of(path: Path) -> int | None:
    """Return the schema version, 0 for a file that does not exist, None for garbage."""
    if not path.exists() or path.stat().st_size == 0:
        return 0
    db = await open_connection(path)
    try:
        rows = await db.execute_fetchall("PRAGMA user_version")
        tables = await db.execute_fetchall("SELECT name FROM sqlite_schema WHERE type = 'table'")
        names = [row[0] for row in tables]
        # A head that is whole may stand before garbage: a ledger that nobody could read must not
        # keep us from starting. Blobs are counted at start anyway.
        for name in names:
            await db.execute_fetchall(f'SELECT * FROM "{name}" LIMIT 1')  # noqa: S608
        if "blob" in names:
            await db.execute_fetchall("SELECT COUNT(*), SUM(disk_bytes) FROM blob")
        version = int(next(iter(rows))[0])
        # A database of somebody else has no version of ours, or none of our tables.
        return version if "page" in names else None
    finally:
        await db.close()


async def _is_garbage(path: Path) -> bool:
    try:
        return await _version_of(path) is None
    except sqlite3.OperationalError:
        # Locked, unreadable, a failing disk: a ledger all the same, and not ours to set aside.
        raise
    except sqlite3.DatabaseError:
        return True


def _set_aside(path: Path, found: int | None) -> str:
    kept = _free_name(path, "garbage" if found is None else f"version-{found}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{kept}{suffix}")
    why = "was no ledger" if found is None else f"is of a newer version ({found})"
    return f"the ledger {path} {why}; it was set aside as {kept} and a new one begun"


def _copy_aside(path: Path, found: int) -> str:
    kept = _free_name(path, f"version-{found}")
    source = sqlite3.connect(path)
    target = sqlite3.connect(kept)
    with contextlib.closing(source), contextlib.closing(target):
        source.backup(target)
    return f"the ledger was brought to version {VERSION}; the old one was kept as {kept}"


def _free_name(path: Path, word: str) -> Path:
    for number in range(1, 1000):
        name = path.with_name(f"{path.name}.{word}" + (f".{number}" if number > 1 else ""))
        if not name.exists():
            return name
    raise LedgerError(f"there are too many old ledgers beside {path}; remove some")


async def _migrate(path: Path, found: int) -> None:
    db = await open_connection(path)
    try:
        for number, script in enumerate(MIGRATIONS[found:], start=found + 1):
            # One transaction per migration: a crash in between leaves a whole version.
            await db.executescript(f"BEGIN;{script};PRAGMA user_version = {number};COMMIT;")
    finally:
        await db.close()


class Writer:
    """The one write connection, behind a lock; transactions of two tasks never interleave."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Begin, yield the connection, commit; roll back on any exception or cancellation.

        Raises LedgerError if SQLite refuses: no room, a lock, a failing disk.
        """
        async with self._lock:
            try:
                await self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                await self._db.execute("COMMIT")
            except BaseException as error:
                # A cancelled BEGIN or COMMIT still goes through in its thread, later perhaps. This
                # queues behind it, and does nothing where there is nothing to roll back. Where it
                # is refused, so is the next BEGIN, and it is tried again.
                with contextlib.suppress(sqlite3.Error):
                    await self._db.rollback()
                if isinstance(error, sqlite3.Error):
                    raise LedgerError(f"cannot write to the ledger: {error}") from error
                raise

    async def close(self) -> None:
        """Wait for a running transaction, fold the WAL in, and close."""
        async with self._lock:
            # Refused by a failing disk; the next start reads what the WAL still holds.
            with contextlib.suppress(sqlite3.Error):
                await self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            await self._db.close()
