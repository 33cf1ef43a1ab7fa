"""Which client fetched which file, and which was refused one: noted in memory, kept for a while.

What is noted is written with the counters (`usage`). Fetches and refusals are bounded apart, by
number and by age, so that refusals, which cost a client nothing, push out no fetch; the oldest go
first, and since when the rest is complete is kept with it. Off, nothing is noted and nothing stays.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

import aiosqlite

from pypicached.ledger.connection import Connection, Writer, read
from pypicached.ledger.noted import Agents, Key, Noted
from pypicached.ledger.rows import AuditRow
from pypicached.networks import pack, parse_address, unpack

# Rows kept of fetches and of refusals: about 200 and 20 MB of the ledger.
MAX_KEPT: Final = (500_000, 50_000)
# Rows of one transaction: a quarter of a second in which nobody else writes.
WRITE_ROWS: Final = 5000
# Rows that have become too old and go with one flush.
BATCH_ROWS: Final = 5000
PAGE_ROWS: Final = 1000
# What a client of a Unix socket is called, and how it is stored: before every address.
UNIX, UNIX_PACKED = "unix", b""
LAST_PACKED = b"\xff" * 16

NOTE = """
    INSERT INTO audit
        (project, refused, filename, index_name, client, agent, first_at, last_at, count)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (project, refused, filename, index_name, client, agent) DO UPDATE SET
        first_at = MIN(first_at, excluded.first_at), last_at = MAX(last_at, excluded.last_at),
        count = count + excluded.count
"""
KEPT = "SELECT complete_since, kept FROM audit_kept WHERE refused = ?"
# Where a batch ends, of the oldest; none where there is not as much.
EDGE = """
    SELECT last_at FROM audit INDEXED BY audit_by_use
    WHERE refused = ? ORDER BY last_at LIMIT 1 OFFSET ?
"""
DROP = "DELETE FROM audit WHERE refused = ? AND last_at <= ?"
MISSED = """
    UPDATE audit_kept SET complete_since = MAX(complete_since, ?)
    WHERE refused = ? AND complete_since IS NOT NULL
"""
BEGIN = "UPDATE audit_kept SET complete_since = ? WHERE refused = ? AND complete_since IS NULL"
END = "UPDATE audit_kept SET complete_since = NULL WHERE refused = ?"
COLUMNS = "id, client, agent, index_name, project, filename, first_at, last_at, count"
# Neither order ever changes for a row, so a walk meets each row that was there at its start once.
OF_PROJECT = f"""
    SELECT {COLUMNS} FROM audit
    WHERE project = ? AND refused = ? AND (filename, index_name, client, agent) > (?, ?, ?, ?)
        AND client >= ? AND client <= ? AND last_at >= ?
    ORDER BY filename, index_name, client, agent LIMIT {PAGE_ROWS}
"""  # noqa: S608
OF_CLIENTS = f"""
    SELECT {COLUMNS} FROM audit INDEXED BY audit_by_client
    WHERE refused = ? AND (client, id) > (?, ?) AND client <= ? AND last_at >= ?
    ORDER BY client, id LIMIT {PAGE_ROWS}
"""  # noqa: S608
KNOWN = """
    SELECT EXISTS (SELECT 1 FROM audit WHERE project = ?)
        OR EXISTS (SELECT 1 FROM file INDEXED BY file_by_project WHERE project = ?)
        OR EXISTS (SELECT 1 FROM page WHERE project = ? AND state <> 'absent')
"""


class Audit:
    """What clients did. Single-threaded: only the event loop calls it."""

    def __init__(
        self, writer: Writer, commands: Connection, *, now: Callable[[], float] = time.time
    ) -> None:
        self._writer = writer
        self._commands = commands
        self._now = now
        self._keep_seconds = 0.0
        self._agents = Agents()
        # Of fetches and of refusals, since the last flush.
        self._noted = (Noted(), Noted())

    @property
    def on(self) -> bool:
        """Whether anything is noted."""
        return self._keep_seconds > 0

    async def keep(self, seconds: float) -> int:
        """Note from now on, and for so long; 0 is off: what there is goes, and how many rows that
        were is returned. Raises LedgerError; then it stays as it was.
        """
        async with self._writer.transaction() as db:
            dropped = await self.write_keep(db, seconds)
        self.kept(seconds)
        return dropped

    async def write_keep(self, db: aiosqlite.Connection, seconds: float) -> int:
        """Do the ledger's part of `keep` within a transaction; `kept` is told when it is over."""
        dropped = 0
        if seconds > 0:
            await db.executemany(BEGIN, [(self._now(), 0), (self._now(), 1)])
            return 0
        for refused in (0, 1):
            dropped += await _drop(db, refused, float("inf"))
            await db.execute(END, (refused,))
        return dropped

    def kept(self, seconds: float) -> None:
        """Do the memory's part of `keep`, at once behind the transaction."""
        self._keep_seconds = seconds
        if not self.on:
            self._noted = (Noted(), Noted())

    # ── noting ───────────────────────────────────────────────────────────────────────────────

    def fetched(self, client: str, agent: str, index: str, project: str, filename: str) -> None:
        """A client was sent a file, or a part of it."""
        self._note(0, (client, agent, index, project, filename))

    def refused(self, client: str, agent: str, index: str, project: str, filename: str) -> None:
        """A rule kept a file, or (without a name) all of a project, from a client."""
        self._note(1, (client, agent, index, project, filename))

    def _note(self, refused: int, key: Key) -> None:
        if not (self._keep_seconds and key[0]):
            return
        noted, now = self._noted[refused], self._now()
        if not noted.again(key, now):
            agent = self._agents.count(key[0], key[1])
            noted.add((key[0], agent, *key[2:]), now)

    # ── writing, for `usage` ─────────────────────────────────────────────────────────────────

    def take(self) -> tuple[Noted, Noted]:
        """Return what was noted since, to be written or given back: so much as is quickly done."""
        noted = self._noted
        if max(map(len, noted)) > WRITE_ROWS:
            return noted[0].split(WRITE_ROWS), noted[1].split(WRITE_ROWS)
        self._noted = (Noted(), Noted())
        return noted

    @property
    def rounds(self) -> int:
        """How many times there is something to take now, at least once."""
        return max(1, *(-(-len(noted) // WRITE_ROWS) for noted in self._noted))

    def give_back(self, taken: tuple[Noted, Noted]) -> None:
        """It could not be written: it is written next time, with what was noted meanwhile."""
        for noted, before in zip(self._noted, taken, strict=True):
            # What was taken is the smaller part, where there is much.
            noted.absorb(before)

    async def write(self, db: aiosqlite.Connection, taken: tuple[Noted, Noted]) -> None:
        """Write within a transaction, and drop what is too old or too much, a batch of it."""
        if not self.on:
            return
        for refused, noted in enumerate(taken):
            if noted:
                # Packed in the connection's thread: tens of thousands of rows take their time.
                await db.executemany(NOTE, _packed(refused, noted))
            if noted.missed_at:
                await db.execute(MISSED, (noted.missed_at, refused))
            kept = next(iter(await db.execute_fetchall(KEPT, (refused,))))[1]
            if kept > MAX_KEPT[refused]:
                await _drop(db, refused, await _edge(db, refused, kept - MAX_KEPT[refused]))

    async def drop_old(self) -> None:
        """Drop what is older than is to be kept, a limited batch of it. Raises LedgerError."""
        if not self.on:
            return
        until = self._now() - self._keep_seconds
        async with self._writer.transaction() as db:
            for refused in (0, 1):
                if await _edge(db, refused, 1) <= until:
                    await _drop(db, refused, min(until, await _edge(db, refused, BATCH_ROWS)))

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    async def complete_since(self, *, refused: bool) -> float | None:
        """Return since when nothing is missing; None where nothing is noted. Raises LedgerError."""
        rows = await read(self._commands, KEPT, (int(refused),))
        return None if rows[0][0] is None else float(rows[0][0])

    async def knows(self, project: str) -> bool:
        """Tell whether anything is known of a project: a record, a file, a page."""
        rows = await read(self._commands, KNOWN, (project, project, project))
        return bool(rows[0][0])

    async def of_project(
        self, project: str, clients: tuple[bytes, bytes], since: float, *, refused: bool
    ) -> AsyncGenerator[list[AuditRow], None]:
        """Yield what these clients (packed, first to last) did with a project, by file name."""
        after: tuple[object, ...] = ("", "", b"", "")
        while True:
            values = (project, int(refused), *after, *clients, since)
            rows = await read(self._commands, OF_PROJECT, values)
            yield [_row(row) for row in rows]
            if len(rows) < PAGE_ROWS:
                return
            last = rows[-1]
            after = (last[5], last[3], last[1], last[2])

    async def of_clients(
        self, clients: tuple[bytes, bytes], since: float, *, refused: bool
    ) -> AsyncGenerator[list[AuditRow], None]:
        """Yield what these clients did, client by client."""
        after: tuple[bytes, int] = (clients[0], -1)
        while True:
            values = (int(refused), *after, clients[1], since)
            rows = await read(self._commands, OF_CLIENTS, values)
            yield [_row(row) for row in rows]
            if len(rows) < PAGE_ROWS:
                return
            after = (rows[-1][1], rows[-1][0])


async def _edge(db: aiosqlite.Connection, refused: int, rows: int) -> float:
    """Return until when the oldest so many rows reach; infinity if there are fewer."""
    found = await db.execute_fetchall(EDGE, (refused, rows - 1))
    return next((row[0] for row in found), float("inf"))


async def _drop(db: aiosqlite.Connection, refused: int, until: float) -> int:
    """Drop what was last done until then, and overwrite it with zeros; return how many rows."""
    await db.execute("PRAGMA secure_delete = ON")
    try:
        dropped = await db.execute(DROP, (refused, until))
    finally:
        await db.execute("PRAGMA secure_delete = OFF")
    if dropped.rowcount:
        await db.execute(MISSED, (until, refused))
    return dropped.rowcount


def _packed(refused: int, noted: Noted) -> Iterator[tuple[object, ...]]:
    for (client, agent, index, project, filename), *moments in noted:
        address = parse_address(client)
        packed = UNIX_PACKED if address is None else pack(address)
        yield (project, refused, filename, index, packed, agent, *moments)


def _row(row: aiosqlite.Row) -> AuditRow:
    client = str(unpack(row[1])) if row[1] else UNIX
    return AuditRow(client, *row[2:9])
