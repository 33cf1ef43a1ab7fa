"""Statements about files and their blobs."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence

import aiosqlite

from pypicached.ledger.connection import Connection, Step, Writer, read
from pypicached.ledger.rows import BlobRow, CachedFile, FileName
from pypicached.ledger.shared import WANT, WANT_IF_UNKNOWN
from pypicached.ledger.spaces import Spaces

COLUMNS = """index_name, path, kind, project, filename, sha256, size_bytes, verified,
             first_cached_at, last_used_at, hits, uploaded_at, removed_at"""
GET = f"SELECT {COLUMNS} FROM file WHERE index_name = ? AND path = ? AND kind = ?"  # noqa: S608
PUT = f"""
    INSERT INTO file ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (index_name, path, kind) DO UPDATE SET
        project = excluded.project, filename = excluded.filename, sha256 = excluded.sha256,
        size_bytes = excluded.size_bytes, verified = excluded.verified,
        last_used_at = excluded.last_used_at, uploaded_at = excluded.uploaded_at,
        removed_at = excluded.removed_at
"""  # noqa: S608
PUT_BLOB = """
    INSERT INTO blob (sha256, size_bytes, disk_bytes, last_used_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (sha256) DO UPDATE SET
        size_bytes = excluded.size_bytes, disk_bytes = excluded.disk_bytes,
        last_used_at = MAX(last_used_at, excluded.last_used_at)
"""
GET_BLOB = "SELECT sha256, size_bytes, disk_bytes, last_used_at FROM blob WHERE sha256 = ?"
BLOBS_AT_ONCE = 200
PLACES = ", ".join("?" * BLOBS_AT_ONCE)
GET_BLOBS = f"""
    SELECT sha256, size_bytes, disk_bytes, last_used_at FROM blob WHERE sha256 IN ({PLACES})
"""  # noqa: S608
DELETE_BLOB = "DELETE FROM blob WHERE sha256 = ?"
DELETE_FILES_OF_BLOB = "DELETE FROM file WHERE sha256 = ?"
DELETE_FILE = "DELETE FROM file WHERE index_name = ? AND path = ? AND kind = ?"
SET_UPLOADED = """
    UPDATE file SET uploaded_at = ? WHERE index_name = ? AND path = ? AND kind = ?
"""
MARK_REMOVED = """
    UPDATE file SET removed_at = ? WHERE index_name = ? AND path = ? AND kind = ?
"""
REMOVED = """
    SELECT project, filename FROM file INDEXED BY file_removed
    WHERE removed_at IS NOT NULL AND kind = 'file'
    ORDER BY project, index_name, filename LIMIT ?
"""
COUNT_REMOVED = """
    SELECT COUNT(*) FROM file INDEXED BY file_removed
    WHERE removed_at IS NOT NULL AND kind = 'file'
"""
OLDEST_BLOBS = """
    SELECT sha256, size_bytes, disk_bytes, last_used_at FROM blob
    WHERE (last_used_at, sha256) > (?, ?) ORDER BY last_used_at, sha256 LIMIT ?
"""
# By digest, which nothing changes: a walk over all blobs that meets each of them once.
NEXT_BLOBS = """
    SELECT sha256, size_bytes, disk_bytes, last_used_at FROM blob
    WHERE sha256 > ? ORDER BY sha256 LIMIT ?
"""
TOTALS = "SELECT blobs, disk_bytes FROM stored WHERE id = 1"
FILES_OF_BLOB = f"SELECT {COLUMNS} FROM file WHERE sha256 = ?"  # noqa: S608
FILES_OF_BLOBS = f"SELECT {COLUMNS} FROM file WHERE sha256 IN ({PLACES})"  # noqa: S608
NAMES_OF_BLOBS = f"SELECT sha256, project, filename, kind FROM file WHERE sha256 IN ({PLACES})"  # noqa: S608
# In this order a use moves a row forward only: a walk never misses one, but may meet it again.
FILES_OF_PROJECT = f"""
    SELECT {COLUMNS} FROM file INDEXED BY file_by_project
    WHERE project = ?
        AND (size_bytes, last_used_at, hits, index_name, path, kind) > (?, ?, ?, ?, ?, ?)
    ORDER BY size_bytes, last_used_at, hits, index_name, path, kind LIMIT 1000
"""  # noqa: S608
PATHS = """
    SELECT path, kind FROM file INDEXED BY file_by_project
    WHERE project = ? AND index_name = ?
"""
NAMES = """
    SELECT project FROM file INDEXED BY file_by_project
    WHERE project > ? AND index_name = ? AND kind = 'file' AND EXISTS (
        SELECT 1 FROM page
        WHERE page.index_name = ? AND page.project = file.project AND state = 'present'
    )
    GROUP BY project
    ORDER BY project LIMIT 1000
"""
PROJECTS = """
    SELECT project, COUNT(*), SUM(size_bytes), MAX(last_used_at), SUM(hits)
    FROM file INDEXED BY file_by_project WHERE project > ? GROUP BY project
    ORDER BY project LIMIT 1000
"""


def _file(row: aiosqlite.Row) -> CachedFile:
    return CachedFile(
        index=row[0],
        path=row[1],
        kind=row[2],
        project=row[3],
        filename=row[4],
        sha256=row[5].hex(),
        size_bytes=row[6],
        verified=bool(row[7]),
        first_cached_at=row[8],
        last_used_at=row[9],
        hits=row[10],
        uploaded_at=row[11],
        removed_at=row[12],
    )


def _blob(row: aiosqlite.Row) -> BlobRow:
    return BlobRow(row[0].hex(), row[1], row[2], row[3])


class Files:
    """Cached files and blobs. A row is written after its blob and removed before it."""

    def __init__(
        self,
        writer: Writer,
        reader: Connection,
        commands: Connection,
        spaces: Spaces,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._spaces = spaces
        self._writer = writer
        self._reader = reader
        self._commands = commands
        # Grows whenever a file comes or goes: what was made from the set of them is outdated.
        self.changes = 0

    async def get(self, index: str, path: str, kind: str) -> CachedFile | None:
        """Return the entry of a file, whether or not its blob is still there."""
        for row in await read(self._reader, GET, (index, path, kind)):
            return _file(row)
        return None

    async def get_blob(self, sha256: str) -> BlobRow | None:
        """Return the row of a blob by digest."""
        for row in await read(self._reader, GET_BLOB, (bytes.fromhex(sha256),)):
            return _blob(row)
        return None

    async def record(
        self, file: CachedFile, disk_bytes: int, *, share: bool = False, anew: bool = True
    ) -> None:
        """Record a file whose blob is already durable.

        `share`: the shared store is to have it; `anew`: even if it is known to.
        """
        digest = bytes.fromhex(file.sha256)
        values = (
            file.index,
            file.path,
            file.kind,
            file.project,
            file.filename,
            digest,
            file.size_bytes,
            file.verified,
            file.first_cached_at,
            file.last_used_at,
            file.hits,
            file.uploaded_at,
            file.removed_at,
        )
        blob = (digest, file.size_bytes, disk_bytes, file.last_used_at)
        steps: list[Step] = [(PUT_BLOB, blob), (PUT, values)]
        if share:
            want = WANT if anew else WANT_IF_UNKNOWN
            steps.append((want, (digest, file.size_bytes, file.last_used_at)))
        await self._writer.run(*steps)
        self.changes += 1

    async def adopt_blobs(self, blobs: list[BlobRow], *, share: bool = False) -> None:
        """Give rows to blobs that were found without one; `share` as for `record`."""
        rows = [
            (bytes.fromhex(b.sha256), b.size_bytes, b.disk_bytes, b.last_used_at) for b in blobs
        ]
        async with self._writer.transaction() as db:
            await db.executemany(PUT_BLOB, rows)
            if share:
                # Not `last_used_at`: since then it did not wait.
                wanted = [(row[0], row[1], self._now()) for row in rows]
                await db.executemany(WANT_IF_UNKNOWN, wanted)

    async def forget(self, file: CachedFile) -> None:
        """Remove the row of one file; its blob stays."""
        async with self._writer.transaction() as db:
            await db.execute(DELETE_FILE, (file.index, file.path, file.kind))
        self.changes += 1

    async def mark_removed(self, files: Sequence[CachedFile], at: float | None) -> None:
        """Note since when files are listed no more; None: they are listed again."""
        rows = [(at, file.index, file.path, file.kind) for file in files]
        if rows:
            async with self._writer.transaction() as db:
                await db.executemany(MARK_REMOVED, rows)

    async def set_uploaded(self, files: Sequence[CachedFile], at: float | None) -> None:
        """Note when their index took files in, as their page has it now."""
        rows = [(at, file.index, file.path, file.kind) for file in files]
        async with self._writer.transaction() as db:
            await db.executemany(SET_UPLOADED, rows)

    async def removed(self, limit: int) -> tuple[int, list[FileName]]:
        """Return how many cached files are listed no more, and the first of them by project."""
        count = next(iter(await read(self._commands, COUNT_REMOVED)))
        rows = await read(self._commands, REMOVED, (limit,))
        return int(count[0]), [FileName(row[0], row[1], "file") for row in rows]

    async def forget_blobs(self, digests: list[str]) -> None:
        """Remove blobs' rows and all rows of files that they hold."""
        rows = [(bytes.fromhex(digest),) for digest in digests]
        async with self._writer.transaction() as db:
            await db.executemany(DELETE_FILES_OF_BLOB, rows)
            await db.executemany(DELETE_BLOB, rows)
        self.changes += 1

    async def totals(self) -> tuple[int, int]:
        """Return (number of blobs, sum of their disk bytes)."""
        row = next(iter(await read(self._commands, TOTALS)))
        return int(row[0]), int(row[1])

    async def oldest_blobs(self, after: BlobRow | None, limit: int) -> list[BlobRow]:
        """Return up to `limit` blobs behind `after`, least recently used first."""
        since = (after.last_used_at, bytes.fromhex(after.sha256)) if after else (-1.0, b"")
        rows = await read(self._commands, OLDEST_BLOBS, (*since, limit))
        return [_blob(row) for row in rows]

    async def next_blobs(self, after: str, limit: int) -> list[BlobRow]:
        """Return up to `limit` blobs behind the digest `after` ("": the first), by digest."""
        rows = await read(self._commands, NEXT_BLOBS, (bytes.fromhex(after), limit))
        return [_blob(row) for row in rows]

    async def get_blobs(self, digests: Sequence[str]) -> dict[str, BlobRow]:
        """Return the rows of those of these blobs that have one."""
        rows = [_blob(row) async for row in self._each(GET_BLOBS, digests)]
        return {row.sha256: row for row in rows}

    async def of_blobs(self, digests: Sequence[str]) -> dict[str, list[CachedFile]]:
        """Return every file that each of these blobs holds; one without a file is left out."""
        found: dict[str, list[CachedFile]] = {}
        async for row in self._each(FILES_OF_BLOBS, digests):
            file = _file(row)
            found.setdefault(file.sha256, []).append(file)
        return found

    async def names_of_blobs(self, digests: Sequence[str]) -> dict[str, list[FileName]]:
        """Return what each of these blobs is called; one without a file is left out."""
        found: dict[str, list[FileName]] = {}
        async for row in self._each(NAMES_OF_BLOBS, digests):
            found.setdefault(row[0].hex(), []).append(FileName(row[1], row[2], row[3]))
        return found

    async def _each(self, statement: str, digests: Sequence[str]) -> AsyncIterator[sqlite3.Row]:
        """Yield the rows of a statement that takes a few digests at a time."""
        for start in range(0, len(digests), BLOBS_AT_ONCE):
            keys = [bytes.fromhex(digest) for digest in digests[start : start + BLOBS_AT_ONCE]]
            # No digest is empty: what is left of the placeholders finds nothing.
            keys += [b""] * (BLOBS_AT_ONCE - len(keys))
            for row in await read(self._commands, statement, keys):
                yield row

    async def of_blob(self, sha256: str) -> list[CachedFile]:
        """Return every file that a blob holds."""
        rows = await read(self._commands, FILES_OF_BLOB, (bytes.fromhex(sha256),))
        return [_file(row) for row in rows]

    async def of_project(self, project: str) -> list[CachedFile]:
        """Return everything cached of a project, sidecars too; each once, as it was last met."""
        found: dict[tuple[str, str, str], CachedFile] = {}
        after: tuple[object, ...] = (-1, -1.0, -1, "", "", "")
        while True:
            rows = [
                _file(row)
                for row in await read(self._commands, FILES_OF_PROJECT, (project, *after))
            ]
            found.update(((row.index, row.path, row.kind), row) for row in rows)
            if len(rows) < 1000:
                return list(found.values())
            last = rows[-1]
            after = (
                last.size_bytes,
                last.last_used_at,
                last.hits,
                last.index,
                last.path,
                last.kind,
            )

    async def paths_of(self, index: str, project: str) -> dict[str, set[str]]:
        """Return by kind ("file", "metadata") the keys of what is cached of an index's project."""
        found: dict[str, set[str]] = {"file": set(), "metadata": set()}
        for row in await read(self._reader, PATHS, (project, index)):
            found[row[1]].add(row[0])
        return found

    async def names_of(self, index: str) -> list[str]:
        """Return the projects of which an index's distribution files are cached, sorted."""
        found: list[str] = []
        space = self._spaces.of(index)
        while True:
            after = found[-1] if found else ""
            rows = list(await read(self._commands, NAMES, (after, index, space)))
            found.extend(row[0] for row in rows)
            if len(rows) < 1000:
                return found

    async def projects(self) -> list[tuple[str, int, int, float, int]]:
        """Return (project, files, bytes, last used at, hits) of every project with a file."""
        found: list[tuple[str, int, int, float, int]] = []
        after = ""
        while True:
            rows = list(await read(self._commands, PROJECTS, (after,)))
            found.extend((row[0], row[1], row[2], row[3], row[4]) for row in rows)
            if len(rows) < 1000:
                return found
            after = rows[-1][0]
