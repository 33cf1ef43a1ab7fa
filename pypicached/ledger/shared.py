"""What this host knows of the store that it shares with others: what is there, what waits.

A blob's row comes with its file's, in one transaction; it outlives the blob, for what was evicted
here is there still. Of another store all is forgotten, and what is here waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from pypicached.ledger.connection import Connection, Writer, read

# Of a blob that is known to be there: whoever brought it from upstream did not find it.
WANT = """
    INSERT INTO shared (sha256, size_bytes, wanted_at) VALUES (?, ?, ?)
    ON CONFLICT (sha256) DO UPDATE SET
        size_bytes = excluded.size_bytes, at = NULL, wanted_at = excluded.wanted_at,
        not_before = 0, tries = 0
"""
ARRIVED = """
    INSERT INTO shared (sha256, size_bytes, at, wanted_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (sha256) DO UPDATE SET at = excluded.at, tries = 0, not_before = 0
"""
# What waits already keeps its turn.
WANT_AGAIN = """
    INSERT INTO shared (sha256, size_bytes, wanted_at)
    SELECT sha256, size_bytes, ? FROM blob WHERE sha256 = ?
    ON CONFLICT (sha256) DO UPDATE SET at = NULL
"""
DROP = "DELETE FROM shared WHERE sha256 = ?"
DROP_UNLESS_HERE = """
    DELETE FROM shared WHERE sha256 = ? AND NOT EXISTS (
        SELECT 1 FROM blob WHERE blob.sha256 = shared.sha256
    )
"""
GET = "SELECT at FROM shared WHERE sha256 = ?"
NEXT = """
    SELECT sha256, size_bytes, tries FROM shared INDEXED BY shared_waiting
    WHERE at IS NULL AND not_before <= ? ORDER BY not_before, wanted_at LIMIT ?
"""
SOONEST = """
    SELECT MIN(not_before) FROM shared INDEXED BY shared_waiting WHERE at IS NULL
"""
POSTPONE = "UPDATE shared SET not_before = ?, tries = tries + 1 WHERE sha256 = ? AND at IS NULL"
WAITING = "SELECT blobs, bytes FROM shared_waits WHERE id = 1"
OLDEST = """
    SELECT wanted_at FROM shared INDEXED BY shared_waiting
    WHERE at IS NULL ORDER BY not_before, wanted_at LIMIT 1
"""
# Used since the last look, and not known to be there since a day before that use.
USED = """
    SELECT blob.sha256, blob.last_used_at FROM blob CROSS JOIN shared USING (sha256)
    WHERE (blob.last_used_at, blob.sha256) > (?, ?) AND shared.at < blob.last_used_at - ?
    ORDER BY blob.last_used_at, blob.sha256 LIMIT ?
"""
GET_STORE = "SELECT identity, queued_to FROM shared_store WHERE id = 1"
PUT_STORE = "INSERT OR REPLACE INTO shared_store (id, identity, queued_to) VALUES (1, ?, ?)"
# Without WHERE: pages are given back whole, whatever their number; that needs no trigger.
FORGET = ("DELETE FROM shared", "UPDATE shared_waits SET blobs = 0, bytes = 0")
QUEUED_AT_ONCE = 1000
SOME = "SELECT sha256 FROM blob WHERE sha256 > ? ORDER BY sha256 LIMIT ?"
QUEUE = """
    INSERT OR IGNORE INTO shared (sha256, size_bytes, wanted_at)
    SELECT sha256, size_bytes, ? FROM blob WHERE sha256 > ? AND sha256 <= ?
"""


class Waiting(msgspec.Struct, frozen=True):
    """A blob that the shared store is to have; `tries` failed so far."""

    sha256: str
    size_bytes: int
    tries: int


class Shared:
    """Rows about the shared store. All raise LedgerError."""

    def __init__(
        self,
        writer: Writer,
        reader: Connection,
        commands: Connection,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._commands = commands
        self._now = now

    async def begin(self, identity: str) -> bool:
        """Say which store it is; return whether it is another one than before.

        Then what is here is to be queued, by `queue_some`.
        """
        async with self._writer.transaction() as db:
            rows = list(await db.execute_fetchall(GET_STORE))
            if rows and rows[0][0] == identity:
                return False
            for statement in FORGET:
                await db.execute(statement)
            await db.execute(PUT_STORE, (identity, b""))
        return True

    async def queue_some(self) -> bool:
        """Queue some of the blobs that were here before the store; return whether more are."""
        async with self._writer.transaction() as db:
            ((identity, queued_to),) = await db.execute_fetchall(GET_STORE)
            if queued_to is None:
                return False
            some = list(await db.execute_fetchall(SOME, (queued_to, QUEUED_AT_ONCE)))
            last = some[-1][0] if some else None
            if last is not None:
                await db.execute(QUEUE, (self._now(), queued_to, last))
            await db.execute(PUT_STORE, (identity, last))
        return last is not None

    async def arrived(self, sha256: str, size_bytes: int, at: float | None = None) -> None:
        """A blob is there; `at` is its object's time, now if it has just been put or renewed."""
        now = self._now()
        async with self._writer.transaction() as db:
            known = (bytes.fromhex(sha256), size_bytes, now if at is None else at, now)
            await db.execute(ARRIVED, known)

    async def vanished(self, sha256: str) -> None:
        """A blob is not there: it waits again if it is here, and is forgotten if it is not."""
        digest = bytes.fromhex(sha256)
        async with self._writer.transaction() as db:
            await db.execute(WANT_AGAIN, (self._now(), digest))
            await db.execute(DROP_UNLESS_HERE, (digest,))

    async def drop(self, sha256: str) -> None:
        """Forget a blob."""
        async with self._writer.transaction() as db:
            await db.execute(DROP, (bytes.fromhex(sha256),))

    async def postpone(self, sha256: str, seconds: float) -> None:
        """A blob could not be put there: not before so many seconds again."""
        async with self._writer.transaction() as db:
            await db.execute(POSTPONE, (self._now() + seconds, bytes.fromhex(sha256)))

    async def known_at(self, sha256: str) -> float | None:
        """Return when a blob was known to be there last, None if it is not."""
        for row in await read(self._reader, GET, (bytes.fromhex(sha256),)):
            return None if row[0] is None else float(row[0])
        return None

    async def next(self, limit: int) -> list[Waiting]:
        """Return what is to be put there now, in its turn."""
        rows = await read(self._reader, NEXT, (self._now(), limit))
        return [Waiting(row[0].hex(), row[1], row[2]) for row in rows]

    async def soonest(self) -> float | None:
        """Return the seconds until something is to be put there, None if nothing waits."""
        ((at,),) = await read(self._reader, SOONEST)
        return None if at is None else max(0.0, float(at) - self._now())

    async def waiting(self) -> tuple[int, int, float | None]:
        """Return how many blobs wait, their bytes, and since when the next of them does."""
        ((blobs, octets),) = await read(self._commands, WAITING)
        oldest = [float(row[0]) for row in await read(self._commands, OLDEST)]
        return int(blobs), int(octets), oldest[0] if oldest else None

    async def used_since(
        self, last: tuple[float, str], again_seconds: float, limit: int
    ) -> Sequence[tuple[str, float]]:
        """Return (sha256, last use) of blobs that are there, used after `last`, in that order.

        Only those that were not known there since so long before their use.
        """
        at, sha256 = last
        rows = await read(self._reader, USED, (at, bytes.fromhex(sha256), again_seconds, limit))
        return [(row[0].hex(), float(row[1])) for row in rows]
