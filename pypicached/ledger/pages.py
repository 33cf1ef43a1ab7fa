"""Statements about pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pypicached.ledger.connection import Connection, Writer, read
from pypicached.ledger.rows import Page
from pypicached.ledger.spaces import Spaces, clear_some, is_to_clear

GET = """
    SELECT state, body, etag, last_modified, serial, fetched_at, checked_at, status
    FROM page WHERE index_name = ? AND project = ?
"""
PUT = """
    INSERT INTO page (index_name, project, state, body, etag, last_modified, serial, status,
                      fetched_at, checked_at, last_used_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (index_name, project) DO UPDATE SET
        state = excluded.state, body = excluded.body, etag = excluded.etag,
        last_modified = excluded.last_modified, serial = excluded.serial,
        status = excluded.status,
        fetched_at = excluded.fetched_at, checked_at = excluded.checked_at,
        last_used_at = excluded.last_used_at
"""
# Not of a page that was pruned while upstream was asked: what stays of it was never checked.
RENEW = """
    UPDATE page SET checked_at = ? WHERE index_name = ? AND project = ? AND state = 'present'
"""
# A page that is invalidated stays in reserve (it may be served stale) but is never fresh.
# Nor is quarantine forgotten, where its index has removed the project since.
KEPT = "(state = 'present' OR status IS 'quarantined')"
EXPIRE_PRESENT = f"UPDATE page SET checked_at = 0 WHERE {KEPT} AND project = ?"  # noqa: S608
FORGET_ABSENT = f"DELETE FROM page WHERE NOT {KEPT} AND project = ?"  # noqa: S608
EXPIRE_ALL = f"UPDATE page SET checked_at = 0 WHERE {KEPT} AND project <> ''"  # noqa: S608
FORGET_ALL = f"DELETE FROM page WHERE NOT {KEPT} AND project <> ''"  # noqa: S608
AND_INDEX = " AND index_name = ?"

PUT_ODD = "INSERT OR REPLACE INTO odd_file (index_name, path, project) VALUES (?, ?, ?)"
DELETE_ODD = "DELETE FROM odd_file WHERE project = ? AND index_name = ?"
GET_ODD = "SELECT project FROM odd_file WHERE index_name = ? AND path = ?"

UNUSED = """
    SELECT last_used_at, id, index_name, project FROM page INDEXED BY page_by_use
    WHERE last_used_at < ? AND (last_used_at, id) > (?, ?) AND state <> 'removed'
    ORDER BY last_used_at, id LIMIT 1000
"""
QUARANTINED = "SELECT index_name, project FROM page WHERE status = 'quarantined'"
OF_PROJECT = "SELECT index_name FROM page WHERE project = ?"
# That an index had a project outlives its page: the name must not pass on to another index.
EMPTY = """
    UPDATE page SET state = 'removed', body = NULL, etag = NULL, last_modified = NULL,
        serial = NULL, fetched_at = 0, checked_at = 0
    WHERE index_name = ? AND project = ? AND project <> '' AND state = 'present'
"""
DELETE = "DELETE FROM page WHERE index_name = ? AND project = ? AND state <> 'removed'"
COUNT = "SELECT pages FROM stored WHERE id = 1"
DROP_ABSENT = """
    DELETE FROM page WHERE id IN (
        SELECT id FROM page INDEXED BY page_absent
        WHERE state = 'absent' AND checked_at < ? AND NOT EXISTS (
            SELECT 1 FROM page AS owned INDEXED BY page_by_project
            WHERE owned.project = page.project AND owned.state = 'present'
        )
        ORDER BY checked_at LIMIT 1000
    )
"""


class Pages:
    """Project pages and project lists (project '')."""

    def __init__(
        self, writer: Writer, reader: Connection, commands: Connection, spaces: Spaces
    ) -> None:
        self._spaces = spaces
        self._writer = writer
        self._reader = reader
        self._commands = commands

    async def get(self, index: str, project: str) -> Page | None:
        """Return the stored page of one index, fresh or not."""
        for row in await read(self._reader, GET, (self._spaces.of(index), project)):
            return Page(
                index=index,
                project=project,
                state=row[0],
                body=row[1],
                etag=row[2],
                last_modified=row[3],
                serial=row[4],
                fetched_at=row[5],
                checked_at=row[6],
                status=row[7],
            )
        return None

    async def put(self, page: Page, odd_paths: Sequence[str] = ()) -> None:
        """Store a page with its validators, and the files whose names do not tell the project.

        `odd_paths` are all of them: those of the page before go.
        """
        space = self._spaces.of(page.index)
        values = (space, page.project, page.state, page.body, page.etag, page.last_modified)
        moments = (page.fetched_at, page.checked_at, page.checked_at)
        await self._writer.run(
            (PUT, (*values, page.serial, page.status, *moments)),
            (DELETE_ODD, (page.project, page.index)),
            *((PUT_ODD, (page.index, path, page.project)) for path in odd_paths),
        )

    async def renew(self, index: str, project: str, checked_at: float) -> None:
        """Upstream said 304: the page is fresh again."""
        await self._writer.run((RENEW, (checked_at, self._spaces.of(index), project)))

    async def expire(self, project: str | None, index: str | None) -> int:
        """Make the pages of `project` (None: every project page) be asked anew; return how many."""
        expire, forget = (EXPIRE_ALL, FORGET_ALL)
        values: tuple[str, ...] = ()
        if project is not None:
            expire, forget, values = EXPIRE_PRESENT, FORGET_ABSENT, (project,)
        if index is not None:
            expire, forget = expire + AND_INDEX, forget + AND_INDEX
            values = (*values, self._spaces.of(index))
        async with self._writer.transaction() as db:
            expired = await db.execute(expire, values)
            forgotten = await db.execute(forget, values)
            return expired.rowcount + forgotten.rowcount

    async def project_of_odd(self, index: str, path: str) -> str | None:
        """Return the project whose page lists a file that its name does not tell."""
        for row in await read(self._reader, GET_ODD, (index, path)):
            return str(row[0])
        return None

    async def unused_since(self, moment: float) -> list[tuple[str, str]]:
        """Return (index, project) of the pages, and of the absence, last used before `moment`."""
        found: list[tuple[str, str]] = []
        after: tuple[float, int] = (-1.0, 0)
        while True:
            rows = list(await read(self._commands, UNUSED, (moment, *after)))
            found.extend(self._whose((row[2], row[3]) for row in rows))
            if len(rows) < 1000:
                return found
            after = (rows[-1][0], rows[-1][1])

    async def quarantined(self) -> list[tuple[str, str]]:
        """Return (index, project) of what an index has put into quarantine (PEP 792)."""
        rows = await read(self._commands, QUARANTINED)
        return self._whose((row[0], row[1]) for row in rows)

    def _whose(self, rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return (index, project) of (space, project), without what is nobody's."""
        named = ((self._spaces.index_of(space), project) for space, project in rows)
        return [(index, project) for index, project in named if index is not None]

    async def indexes_of(self, project: str) -> list[str]:
        """Return the indexes that we have a page of a project from."""
        rows = await read(self._commands, OF_PROJECT, (project,))
        return [index for index, _ in self._whose((row[0], project) for row in rows)]

    async def delete(self, pages: list[tuple[str, str]]) -> None:
        """Remove pages, (index, project) each.

        What stays of a project's page is that its index had it: `removed`, at no known time.
        """
        rows = [(self._spaces.of(index), project) for index, project in pages]
        async with self._writer.transaction() as db:
            await db.executemany(EMPTY, rows)
            await db.executemany(DELETE, rows)

    async def count(self) -> int:
        """Return how many pages are stored."""
        return int(next(iter(await read(self._commands, COUNT)))[0])

    async def drop_absent(self, moment: float) -> int:
        """Forget remembered absence last checked before `moment`, a limited batch of it.

        Not where another index has the project: that this one had it not is why, and offline
        nobody can be asked again.
        """
        async with self._writer.transaction() as db:
            dropped = await db.execute(DROP_ABSENT, (moment,))
            return dropped.rowcount

    async def clear_some(self) -> bool:
        """Remove a few pages of where indexes were; return whether there may be more.

        Raises LedgerError.
        """
        if not await is_to_clear(self._commands):
            return False
        async with self._writer.transaction() as db:
            return await clear_some(db)
