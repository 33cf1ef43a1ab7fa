"""Copies of the ledger: one moment of it, taken with SQLite's back-up API while the daemon writes.

The copy is one plain file (no write-ahead log beside it), which becomes a ledger again by standing
in its place. Where it goes and who gets it is not decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite

from pypicached.errors import LedgerError
from pypicached.ledger.connection import open_connection

# Between two steps a copy can be stopped; 8 MiB with SQLite's usual pages.
STEP_PAGES = 2048


class Snapshot:
    """The ledger as it was at one moment, for as long as the context lasts; used once."""

    def __init__(self, db: aiosqlite.Connection, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._db = db

    async def copy_to(self, path: Path) -> None:
        """Write all of it to a new file, not yet durably. Raises LedgerError.

        A cancelled caller stops the copy at its next step; what is there by then is no ledger.
        """
        stop = threading.Event()

        def watch(_status: int, _remaining: int, _total: int) -> None:
            if stop.is_set():
                raise sqlite3.OperationalError("stopped")

        try:
            async with aiosqlite.connect(path, isolation_level=None) as target:
                # Nobody will ever read half a copy: it needs no journal.
                await target.execute("PRAGMA journal_mode = OFF")
                await target.execute("PRAGMA synchronous = OFF")
                copying = asyncio.ensure_future(
                    self._db.backup(target, pages=STEP_PAGES, progress=watch)
                )
                try:
                    await asyncio.shield(copying)
                except asyncio.CancelledError:
                    # Its thread writes to the target until it notices.
                    stop.set()
                    await asyncio.wait({copying})
                    raise
                # The copy says of itself what its source is: that it has a log beside it.
                await target.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            raise LedgerError(f"cannot copy the ledger: {error}") from error


@contextlib.asynccontextmanager
async def take_snapshot(path: Path) -> AsyncIterator[Snapshot]:
    """Hold on to the ledger at `path` as it is now; writers go on. Raises LedgerError."""
    try:
        db = await open_connection(path, read_only=True)
    except sqlite3.Error as error:
        raise LedgerError(f"cannot read the ledger: {error}") from error
    try:
        # A read transaction that is open when the copy begins keeps each step in it: without one,
        # every write of the daemon would begin the copy anew (sqlite.org/backup.html).
        await db.execute("BEGIN")
        pages = next(iter(await db.execute_fetchall("PRAGMA page_count")))[0]
        size = next(iter(await db.execute_fetchall("PRAGMA page_size")))[0]
        await db.execute_fetchall("SELECT 1 FROM sqlite_schema LIMIT 1")
        yield Snapshot(db, pages * size)
    except sqlite3.Error as error:
        raise LedgerError(f"cannot read the ledger: {error}") from error
    finally:
        await db.close()
