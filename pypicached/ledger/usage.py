"""Access times, hit counts and counters: gathered in memory, written in one transaction at a time.

Everything here is called on the hot path and only touches dictionaries; `flush` is called every
few seconds, before a command that reads them, and at stop. A crash loses a few seconds of counts
and access times, never a file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

from pypicached.ledger.audit import Audit
from pypicached.ledger.connection import Connection, Writer, read
from pypicached.ledger.noted import Noted
from pypicached.ledger.spaces import Spaces

Kind = Literal["page", "file", "metadata"]
Result = Literal["hits", "joins", "misses", "revalidated", "stale", "errors"]

HOUR_SECONDS = 3600
COUNTERS = (
    "requests",
    "hits",
    "joins",
    "misses",
    "revalidated",
    "stale",
    "errors",
    "bytes_from_cache",
    "bytes_from_upstream",
    "upstream_requests",
)
_NAMES = ", ".join(COUNTERS)
ADD = f"""
    INSERT INTO usage (hour, kind, index_name, {_NAMES})
    VALUES (?, ?, ?, {", ".join("?" * len(COUNTERS))})
    ON CONFLICT (hour, kind, index_name) DO UPDATE SET
    {", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTERS)}
"""  # noqa: S608
ADD_PROJECT = """
    INSERT INTO project_usage (hour, project, requests, bytes) VALUES (?, ?, ?, ?)
    ON CONFLICT (hour, project) DO UPDATE SET
        requests = requests + excluded.requests, bytes = bytes + excluded.bytes
"""
TOUCH_FILE = """
    UPDATE file SET last_used_at = MAX(last_used_at, ?), hits = hits + ?
    WHERE index_name = ? AND path = ? AND kind = ?
"""
TOUCH_BLOB = "UPDATE blob SET last_used_at = MAX(last_used_at, ?) WHERE sha256 = ?"
TOUCH_PAGE = "UPDATE page SET last_used_at = ? WHERE index_name = ? AND project = ?"
BY_KIND = f"""
    SELECT kind, {", ".join(f"SUM({name})" for name in COUNTERS)}
    FROM usage WHERE hour >= ? GROUP BY kind
"""  # noqa: S608
BY_INDEX = BY_KIND.replace("kind", "index_name")
PAGES_BY_INDEX = """
    SELECT index_name, SUM(requests), SUM(stale)
    FROM usage WHERE hour >= ? AND kind = 'page' GROUP BY index_name
"""
TOP = """
    SELECT project, SUM(requests) AS r, SUM(bytes) FROM project_usage
    WHERE hour >= ? GROUP BY project ORDER BY r DESC, project LIMIT ?
"""
DROP_OLD = ("DELETE FROM usage WHERE hour < ?", "DELETE FROM project_usage WHERE hour < ?")


class Usage:
    """Counters and access times. Single-threaded: only the event loop calls it."""

    def __init__(
        self,
        writer: Writer,
        commands: Connection,
        audit: Audit,
        spaces: Spaces,
        *,
        now: Callable[[], float] = time.time,
        keep_days: float = 400,
    ) -> None:
        self._writer = writer
        self._commands = commands
        self._audit = audit
        self._spaces = spaces
        self._now = now
        self._keep_seconds = keep_days * 86400
        # Since the daemon's start, for metrics: never reset, never written.
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.octets: Counter[str] = Counter()
        self.upstream: Counter[tuple[str, str]] = Counter()
        # All that is still to be written; `flush` swaps all of it for empty ones.
        self._counts: dict[tuple[str, str], dict[str, int]] = {}
        self._projects: dict[str, list[int]] = {}
        self._files: dict[tuple[str, str, str, str], list[float]] = {}
        self._pages: dict[tuple[str, str], float] = {}

    def count(
        self, kind: Kind, index: str, result: Result, project: str = "", from_cache: int = 0
    ) -> None:
        """Count one answered request; `from_cache` are body bytes that were already here."""
        row = self._row(kind, index)
        row["requests"] += 1
        row[result] += 1
        row["bytes_from_cache"] += from_cache
        self.requests[kind, result, index] += 1
        self.octets["cache"] += from_cache
        if project:
            used = self._projects.setdefault(project, [0, 0])
            used[0] += 1
            used[1] += from_cache

    def count_upstream(self, kind: Kind, index: str, outcome: str) -> None:
        """Count one request sent to an upstream; `outcome` is a status code or "error"."""
        self._row(kind, index)["upstream_requests"] += 1
        self.upstream[index, outcome] += 1

    def count_received(self, kind: Kind, index: str, octets: int) -> None:
        """Count body bytes received from an upstream."""
        self._row(kind, index)["bytes_from_upstream"] += octets
        self.octets["upstream"] += octets

    def touch_file(self, index: str, path: str, kind: str, sha256: str) -> None:
        """A cached file was used now."""
        entry = self._files.setdefault((index, path, kind, sha256), [0.0, 0])
        entry[0] = self._now()
        entry[1] += 1

    def touch_page(self, index: str, project: str) -> None:
        """A stored page was used now."""
        self._pages[index, project] = self._now()

    def _row(self, kind: str, index: str) -> dict[str, int]:
        row = self._counts.get((kind, index))
        if row is None:
            row = self._counts[kind, index] = dict.fromkeys(COUNTERS, 0)
        return row

    async def flush(self) -> None:
        """Write what was gathered; if that fails it is gathered again, not lost."""
        for _ in range(self._audit.rounds):
            await self._flush()

    async def _flush(self) -> None:
        counts, self._counts = self._counts, {}
        projects, self._projects = self._projects, {}
        files, self._files = self._files, {}
        pages, self._pages = self._pages, {}
        noted = self._audit.take()
        if not (counts or projects or files or pages or any(noted)):
            return
        try:
            await self._write(counts, projects, files, pages, noted)
        except BaseException:
            self._take_back(counts, projects, files, pages)
            self._audit.give_back(noted)
            raise

    async def _write(
        self,
        counts: dict[tuple[str, str], dict[str, int]],
        projects: dict[str, list[int]],
        files: dict[tuple[str, str, str, str], list[float]],
        pages: dict[tuple[str, str], float],
        noted: tuple[Noted, Noted],
    ) -> None:
        now = self._now()
        hour = int(now // HOUR_SECONDS) * HOUR_SECONDS
        async with self._writer.transaction() as db:
            await db.executemany(ADD, [(hour, *key, *row.values()) for key, row in counts.items()])
            await db.executemany(ADD_PROJECT, [(hour, p, *used) for p, used in projects.items()])
            await db.executemany(
                TOUCH_FILE, [(at, int(n), *key[:3]) for key, (at, n) in files.items()]
            )
            await db.executemany(
                TOUCH_BLOB, [(at, bytes.fromhex(key[3])) for key, (at, _) in files.items()]
            )
            await db.executemany(
                TOUCH_PAGE, [(at, self._spaces.of(key[0]), key[1]) for key, at in pages.items()]
            )
            for statement in DROP_OLD:
                await db.execute(statement, (int(now - self._keep_seconds),))
            await self._audit.write(db, noted)

    def _take_back(
        self,
        counts: dict[tuple[str, str], dict[str, int]],
        projects: dict[str, list[int]],
        files: dict[tuple[str, str, str, str], list[float]],
        pages: dict[tuple[str, str], float],
    ) -> None:
        for (kind, index), row in counts.items():
            mine = self._row(kind, index)
            for name, value in row.items():
                mine[name] += value
        for project, (requests, octets) in projects.items():
            used = self._projects.setdefault(project, [0, 0])
            used[0] += requests
            used[1] += octets
        for key, (at, hits) in files.items():
            entry = self._files.setdefault(key, [0.0, 0])
            entry[0], entry[1] = max(entry[0], at), entry[1] + hits
        for page, at in pages.items():
            self._pages.setdefault(page, at)

    async def totals(
        self, since: float
    ) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]], float]:
        """Return counters by kind, by index, and the start of the hour that `since` falls into."""
        hour = int(since // HOUR_SECONDS) * HOUR_SECONDS
        kinds = await read(self._commands, BY_KIND, (hour,))
        indexes = await read(self._commands, BY_INDEX, (hour,))
        return (
            {row[0]: dict(zip(COUNTERS, row[1:], strict=True)) for row in kinds},
            {row[0]: dict(zip(COUNTERS, row[1:], strict=True)) for row in indexes},
            float(hour),
        )

    async def stale_shares(self, since: float) -> dict[str, float]:
        """Return by index which share of the pages asked for was answered stale."""
        hour = int(since // HOUR_SECONDS) * HOUR_SECONDS
        rows = await read(self._commands, PAGES_BY_INDEX, (hour,))
        return {row[0]: row[2] / row[1] for row in rows if row[1]}

    async def top(self, since: float, limit: int) -> list[tuple[str, int, int]]:
        """Return (project, requests, bytes) of the most asked projects."""
        hour = int(since // HOUR_SECONDS) * HOUR_SECONDS
        rows = await read(self._commands, TOP, (hour, limit))
        return [(row[0], row[1], row[2]) for row in rows]
