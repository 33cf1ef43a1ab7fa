"""Connections that other ones have taken the place of: closed once nothing goes over them.

A transfer that runs at a reload goes on to its end over the connection it began with, and may break
and be resumed there, with a pause in which nothing is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pypicached.upstream.connection import Connection

LOOK_SECONDS = 1.0


class Retiring:
    """Single-threaded. `needed` tells whether a transfer may yet ask over a connection."""

    def __init__(self, needed: Callable[[Connection], bool]) -> None:
        self._needed = needed
        # Connection → whether it was idle at the last look. One that is busy now and then, with
        # nobody who says so, is closed in between at worst: its user is told, and comes back.
        self._retired: dict[Connection, bool] = {}

    def __len__(self) -> int:
        return len(self._retired)

    def add(self, connection: Connection) -> None:
        """Close a connection when that harms nobody any more."""
        self._retired[connection] = False

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Close those that were idle at the last look, and are."""
        for connection, was_idle in list(self._retired.items()):
            idle = not (connection.busy or self._needed(connection))
            self._retired[connection] = idle
            if idle and was_idle:
                del self._retired[connection]
                await connection.close()

    async def close(self) -> None:
        """Close all of them."""
        while self._retired:
            connection, _ = self._retired.popitem()
            await connection.close()
