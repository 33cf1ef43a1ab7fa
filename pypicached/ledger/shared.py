"""What this host knows of the store that it shares with others: what is there, what waits.

A blob's row comes with its file's, in one transaction; it outlives the blob, for what was evicted
here is there still. Of another store all is forgotten, and what is here waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from pypicached.ledger.connection import Connection, Writer, read
from pypicached.ledger.schema import SHARED_WENT

# Of a blob that is known to be there: whoever brought it from upstream did not find it.
WANT = """
    INSERT INTO shared (sha256, size_bytes, wanted_at) VALUES (?, ?, ?)
    ON CONFLICT (sha256) DO UPDATE SET
        size_bytes = excluded.size_bytes, at = NULL, wanted_at = excluded.wanted_at,
        not_before = 0, tries = 0
"""
# Of what was here already: what is known of it stays.
WANT_IF_UNKNOWN = """
    INSERT INTO shared (sha256, size_bytes, wanted_at) VALUES (?, ?, ?)
    ON CONFLICT (sha256) DO NOTHING
"""
ARRIVED = """
    INSERT INTO shared (sha256, size_bytes, at, wanted_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (sha256) DO UPDATE SET at = excluded.at, tries = 0, not_before = 0
"""
# What waits already keeps its turn.
WANT_AGAIN = """
    INSERT INTO shared (sha256, size_bytes, wanted_at)
    SELECT sha256, size_bytes, ? FROM blob WHERE sha256 = ?
    ON CONFLICT (sha256) DO UPDATE SET
        wanted_at = CASE WHEN at IS NULL THEN wanted_at ELSE excluded.wanted_at END, at = NULL
"""
# Not what was wanted anew meanwhile.
DROP = "DELETE FROM shared WHERE sha256 = ? AND at IS NULL AND wanted_at = ?"
DROP_UNLESS_HERE = """
    DELETE FROM shared WHERE sha256 = ? AND NOT EXISTS (
        SELECT 1 FROM blob WHERE blob.sha256 = shared.sha256
    )
"""
GET = "SELECT at FROM shared WHERE sha256 = ?"
NEXT = """
    SELECT sha256, size_bytes, wanted_at, tries FROM shared INDEXED BY shared_waiting
    WHERE at IS NULL AND not_before <= ? ORDER BY not_before, wanted_at LIMIT ?
"""
POSTPONE = "UPDATE shared SET not_before = ?, tries = tries + 1 WHERE sha256 = ? AND at IS NULL"
WAITING = "SELECT blobs, bytes FROM shared_waits WHERE id = 1"
OLDEST = """
    SELECT wanted_at FROM shared INDEXED BY shared_oldest
    WHERE at IS NULL ORDER BY wanted_at LIMIT 1
"""
# After a clock that was ahead has been set right.
RECALL = """
    UPDATE shared INDEXED BY shared_waiting SET not_before = 0 WHERE at IS NULL AND not_before > ?
"""
# Used since the last look, and not renewed since a day before that use, or by a clock that was
# ahead.
USED = """
    SELECT blob.sha256, blob.last_used_at FROM blob CROSS JOIN shared USING (sha256)
    WHERE (blob.last_used_at, blob.sha256) > (?, ?)
        AND (shared.at < blob.last_used_at - ? OR shared.at > ?)
    ORDER BY blob.last_used_at, blob.sha256 LIMIT ?
"""
GET_STORE = "SELECT identity, queued_to FROM shared_store WHERE id = 1"
PUT_STORE = "INSERT OR REPLACE INTO shared_store (id, identity, queued_to) VALUES (1, ?, ?)"
# Without WHERE and without that trigger pages are given back whole, whatever their number
# (sqlite.org/lang_delete.html, "The Truncate Optimization").
FORGET = (
    "DROP TRIGGER shared_went",
    "DELETE FROM shared",
    SHARED_WENT,
    "UPDATE shared_waits SET blobs = 0, bytes = 0 WHERE id = 1",
)
LOOKED_AT_ONCE = 1000
KNOWN = "SELECT sha256 FROM shared WHERE sha256 > ? ORDER BY sha256 LIMIT ?"
FORGET_OLD = """
    DELETE FROM shared WHERE sha256 > ? AND sha256 <= ? AND at < ? AND NOT EXISTS (
        SELECT 1 FROM blob WHERE blob.sha256 = shared.sha256
    )
"""
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
    wanted_at: float
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

        Then what is here is to be queued, by `queue_some`; of the same one, too: there may have
        been none for a while.
        """
        async with self._writer.transaction() as db:
            rows = list(await db.execute_fetchall(GET_STORE))
            other = not rows or rows[0][0] != identity
            if other:
                for statement in FORGET:
                    await db.execute(statement)
            await db.execute(PUT_STORE, (identity, b""))
        return other

    async def queue_some(self) -> bool:
        """Queue some of the blobs of which nothing is known; return whether more may be."""
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

    async def arrived(self, sha256: str, size_bytes: int, kept_at: float | None = None) -> None:
        """A blob is there; its object was put or renewed at `kept_at`, or just now."""
        now = self._now()
        at = now if kept_at is None else min(kept_at, now)
        await self._writer.run((ARRIVED, (bytes.fromhex(sha256), size_bytes, at, now)))

    async def vanished(self, sha256: str) -> None:
        """A blob is not there: it waits again if it is here, and is forgotten if it is not."""
        digest = bytes.fromhex(sha256)
        await self._writer.run((WANT_AGAIN, (self._now(), digest)), (DROP_UNLESS_HERE, (digest,)))

    async def drop(self, waiting: Waiting) -> None:
        """A blob that waits need not, unless it was wanted anew since."""
        await self._writer.run((DROP, (bytes.fromhex(waiting.sha256), waiting.wanted_at)))

    async def postpone(self, sha256: str, seconds: float) -> None:
        """A blob could not be put there: not before so many seconds again."""
        await self._writer.run((POSTPONE, (self._now() + seconds, bytes.fromhex(sha256))))

    async def recall(self, seconds: float) -> None:
        """Let what is postponed for more than so long be put there now."""
        async with self._writer.transaction() as db:
            await db.execute(RECALL, (self._now() + seconds,))

    async def forget_some(self, after: str, older_seconds: float) -> str:
        """Forget some objects that nobody used here for so long, and of which no blob is here.

        Goes by digest, from the one `after`; returns up to which, "" at the end.
        """
        rows = await read(self._commands, KNOWN, (bytes.fromhex(after), LOOKED_AT_ONCE))
        if not rows:
            return ""
        last: bytes = rows[-1][0]
        async with self._writer.transaction() as db:
            limits = (bytes.fromhex(after), last, self._now() - older_seconds)
            await db.execute(FORGET_OLD, limits)
        return last.hex()

    async def known_at(self, sha256: str) -> float | None:
        """Return when a blob's object was put or renewed, None if none is known of."""
        for row in await read(self._reader, GET, (bytes.fromhex(sha256),)):
            return None if row[0] is None else float(row[0])
        return None

    async def next(self, limit: int) -> list[Waiting]:
        """Return what is to be put there now, in its turn."""
        rows = await read(self._reader, NEXT, (self._now(), limit))
        return [Waiting(row[0].hex(), row[1], row[2], row[3]) for row in rows]

    async def waiting(self) -> tuple[int, int, float | None]:
        """Return how many blobs wait, their bytes, and since when the oldest of them does."""
        ((blobs, octets),) = await read(self._commands, WAITING)
        oldest = [float(row[0]) for row in await read(self._commands, OLDEST)]
        return int(blobs), int(octets), oldest[0] if oldest else None

    async def used_since(
        self, last: tuple[float, str], again_seconds: float, limit: int
    ) -> Sequence[tuple[str, float]]:
        """Return (sha256, last use) of blobs that are there, used after `last`, in that order.

        Only those whose object was not renewed since so long before their use.
        """
        at, sha256 = last
        ahead = self._now() + again_seconds
        values = (at, bytes.fromhex(sha256), again_seconds, ahead, limit)
        rows = await read(self._reader, USED, values)
        return [(row[0].hex(), float(row[1])) for row in rows]
