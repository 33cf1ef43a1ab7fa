"""Opening the SQLite file: pragmas, migrations, and what to do with a file that is no ledger."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import aiosqlite

from pypicached.errors import LedgerError
from pypicached.ledger import damage
from pypicached.ledger.copies import copy_aside, set_aside, take_back
from pypicached.ledger.schema import MIGRATIONS, VERSION

# At start. Nobody else writes while we run, so that then a lock means somebody with a shell, and
# everything that is to be written waits in one line: a page is better not stored than not answered.
BUSY_TIMEOUT_SECONDS, BUSY_RUNNING_SECONDS = 30.0, 0.25
# After a lock, for so long, nothing waits for it.
LOCKED_SECONDS = 1.0


# A statement and its values.
Step = tuple[str, Sequence[object]]


class Connection(aiosqlite.Connection):
    """A connection that knows its file."""

    path: Path

    async def transact(self, steps: Sequence[Step]) -> None:
        """Do some steps as one transaction, all or none, in one turn of the connection's thread."""
        await self._execute(_transact, self._conn, steps)  # type: ignore[no-untyped-call]


def _transact(db: sqlite3.Connection, steps: Sequence[Step]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement, values in steps:
            db.execute(statement, values)
        db.execute("COMMIT")
    except BaseException:
        # Where it is refused, so is the next BEGIN, and it is tried again.
        with contextlib.suppress(sqlite3.Error):
            db.rollback()
        raise


async def open_connection(
    path: Path, *, read_only: bool = False, busy_seconds: float | None = None
) -> Connection:
    """Open one connection with our pragmas; transactions are begun by hand."""
    timeout = BUSY_TIMEOUT_SECONDS if busy_seconds is None else busy_seconds
    uri = path.absolute().as_uri() + ("?mode=ro" if read_only else "")
    threads: list[threading.Thread] = []

    def connect() -> sqlite3.Connection:
        threads.append(threading.current_thread())
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=timeout)

    db = Connection(connect, iter_chunk_size=64)
    db.path = path
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


async def read(db: Connection, statement: str, values: Iterable[object] = ()) -> list[sqlite3.Row]:
    """Return all rows of a query; every read of a running daemon goes through here.

    Raises LedgerError if SQLite refuses: a failing disk, a file that is garbage by now.
    """
    try:
        return list(await db.execute_fetchall(statement, values))
    except sqlite3.Error as error:
        raise LedgerError(f"cannot read the ledger: {damage.describe(error, db.path)}") from error


async def prepare_file(path: Path) -> list[str]:
    """Make the file at `path` a ledger of this version; return notes for the operator.

    A file that is no database, or of a newer version, is set aside under another name and never
    overwritten; a copy of an older version that was kept before a migration takes its place.
    Raises LedgerError if the file cannot be used at all.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        notes: list[str] = []
        found = await _version_or_garbage(path)
        damage.unmark(path)
        if found is None or found > VERSION:
            found = await _replace(path, found, notes)
        if found < VERSION:
            if found:
                kept = copy_aside(path, found)
                notes.append(
                    f"the ledger was brought to version {VERSION}; the old one was kept as {kept}"
                )
            await _migrate(path, found)
    except (OSError, sqlite3.Error) as error:
        why = damage.explain(error, path)
        raise LedgerError(f"cannot use the ledger {path}: {why}") from error
    return notes


async def _replace(path: Path, found: int | None, notes: list[str]) -> int:
    """Set aside what is not for us; return the version of what stands in its place, or 0."""
    aside = set_aside(path, found)
    copy = take_back(path) if found is not None else None
    if copy is None:
        notes.append(f"{aside} and a new one begun")
        return 0
    notes.append(f"{aside}, and the older one that was kept as {copy.name} is in use again")
    return await _version_or_garbage(path) or 0


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
        # keep us from starting.
        for name in names:
            await db.execute_fetchall(f'SELECT * FROM "{name}" LIMIT 1')  # noqa: S608
        if damage.is_marked(path) and not await _is_sound(db):
            return None
        version = int(next(iter(rows))[0])
        if not names and version == 0:
            return 0  # a first start that ended before its first migration
        # A database of somebody else has no version of ours, or none of our tables.
        return version if "page" in names else None
    finally:
        await db.close()


async def _is_sound(db: Connection) -> bool:
    """Read all of the file: seconds where it is large, and only after damage was met."""
    rows = await db.execute_fetchall("PRAGMA integrity_check(1)")
    return [row[0] for row in rows] == ["ok"]


async def _version_or_garbage(path: Path) -> int | None:
    try:
        return await _version_of(path)
    except sqlite3.OperationalError:
        # Locked, unreadable, a failing disk: a ledger all the same, and not ours to set aside.
        raise
    except sqlite3.DatabaseError:
        return None


async def _migrate(path: Path, found: int) -> None:
    db = await open_connection(path)
    try:
        # One transaction for all of them: a crash leaves the version that was, or this one.
        scripts = ";".join(MIGRATIONS[found:])
        await db.executescript(f"BEGIN;{scripts};PRAGMA user_version = {VERSION};COMMIT;")
    finally:
        await db.close()


class Writer:
    """The one write connection, behind a lock; transactions of two tasks never interleave."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._locked_until = 0.0
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Begin, yield the connection, commit; roll back on any exception or cancellation.

        Raises LedgerError if SQLite refuses: no room, a lock, a failing disk.
        """
        async with self._lock, self._explained():
            try:
                await self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                await self._db.execute("COMMIT")
            except BaseException:
                # A cancelled BEGIN or COMMIT still goes through in its thread, later perhaps. This
                # queues behind it, and does nothing where there is nothing to roll back. Where it
                # is refused, so is the next BEGIN, and it is tried again.
                with contextlib.suppress(sqlite3.Error):
                    await self._db.rollback()
                raise

    async def run(self, *steps: Step) -> None:
        """Do what is known beforehand as one transaction; a cancelled one may still be done.

        Each turn of the connection's thread takes a tenth of a millisecond of processor time: a
        `transaction` has one for each statement, this has one. Raises LedgerError.
        """
        async with self._lock, self._explained():
            await self._db.transact(steps)

    @contextlib.asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        if time.monotonic() < self._locked_until:
            raise LedgerError("cannot write to the ledger: another process has locked it")
        try:
            yield
        except sqlite3.Error as error:
            if damage.is_busy(error):
                self._locked_until = time.monotonic() + LOCKED_SECONDS
            why = damage.describe(error, self._db.path)
            raise LedgerError(f"cannot write to the ledger: {why}") from error

    def wait_again(self) -> None:
        """Let the next transaction find out whether a lock is still held."""
        self._locked_until = 0.0

    async def close(self) -> None:
        """Wait for a running transaction, fold the WAL in, and close."""
        async with self._lock:
            # Refused by a failing disk; the next start reads what the WAL still holds.
            with contextlib.suppress(sqlite3.Error):
                await self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            await self._db.close()
