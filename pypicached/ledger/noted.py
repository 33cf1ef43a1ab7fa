"""What clients did since the last flush: in memory, and never more than a bound of it. No SQL.

Both bounds are against clients that make up what tells them apart: of one client so many agents
count, and so many rows wait for a flush. What is beyond the second is not noted, and when that last
was is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

# Client, agent, index, project, file name.
Key = tuple[str, str, str, str, str]

# About 20 MB, and far more than what real clients do in a few seconds.
MAX_ROWS = 50_000
# Releases of tools that one address, perhaps of many hosts, is seen with.
MAX_AGENTS = 64
MAX_CLIENTS = 2000
OTHER = "other"


class Noted:
    """First moment, last moment and number by key. Single-threaded."""

    def __init__(self, limit: int = MAX_ROWS) -> None:
        self._limit = limit
        self._rows: dict[Key, list[float]] = {}
        # When something last went unnoted; 0.0 is never.
        self.missed_at = 0.0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[Key, float, float, int]]:
        for key, (first_at, last_at, count) in self._rows.items():
            yield key, first_at, last_at, int(count)

    def again(self, key: Key, at: float) -> bool:
        """It was done once more; tell whether it was done before, else it is not noted yet."""
        row = self._rows.get(key)
        if row is None:
            return False
        row[1] = at
        row[2] += 1
        return True

    def add(self, key: Key, at: float) -> None:
        """It was done, once more or for the first time."""
        if self.again(key, at):
            return
        if len(self._rows) < self._limit:
            self._rows[key] = [at, at, 1]
        else:
            self.missed_at = at

    def split(self, rows: int) -> Noted:
        """Take so many rows out, in the order of their first moments, and return them."""
        taken = Noted(self._limit)
        for key in list(islice(self._rows, rows)):
            taken._rows[key] = self._rows.pop(key)
        return taken

    def absorb(self, other: Noted) -> None:
        """Take over what was noted elsewhere, before or since; it takes as long as `other` is."""
        self.missed_at = max(self.missed_at, other.missed_at)
        for key, (first_at, last_at, count) in other._rows.items():
            row = self._rows.get(key)
            if row is not None:
                row[:] = min(row[0], first_at), max(row[1], last_at), row[2] + count
            elif len(self._rows) < self._limit:
                self._rows[key] = [first_at, last_at, count]
            else:
                self.missed_at = max(self.missed_at, last_at)


class Agents:
    """Which agents each client was seen with; those of one client are bounded. Single-threaded."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}

    def count(self, client: str, agent: str) -> str:
        """Return the agent, or "other" if the client came with too many before."""
        seen = self._seen.get(client)
        if seen is None:
            if len(self._seen) >= MAX_CLIENTS:
                self._seen.clear()
            seen = self._seen[client] = set()
        if agent not in seen:
            if len(seen) >= MAX_AGENTS:
                return OTHER
            seen.add(agent)
        return agent
