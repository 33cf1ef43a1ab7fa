"""Asking doubtful hosts now and then when nobody else does.

Clients' own requests are probes enough while there are clients. Without them `status` would go on
saying "failing" through a night in which the upstream has long been back.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection

from pypicached.upstream.connection import Connection
from pypicached.upstream.hosts import Host

LOOK_SECONDS = 10.0
# One whose last word was a failure is asked once nobody has asked it for so long.
IDLE_SECONDS = 30.0


class Probing:
    """Probes the hosts of some indexes; one that hangs holds up no other one."""

    def __init__(self, connections: Collection[Connection]) -> None:
        self._connections = connections
        self._running: dict[Host, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look after them for ever; ends its probes when it is cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                self.look()
        finally:
            for task in self._running.values():
                task.cancel()

    def look(self) -> list[asyncio.Task[None]]:
        """Begin the probes that are due; return those that run."""
        loop = asyncio.get_running_loop()
        for connection in self._connections:
            for host in connection.hosts:
                url = host.last_succeeded or host.last_failed
                if url is None or host in self._running or not self._is_due(connection, host):
                    continue
                task = self._running[host] = loop.create_task(connection.probe(url))
                task.add_done_callback(functools.partial(self._ended, host))
        return list(self._running.values())

    def _ended(self, host: Host, _: asyncio.Task[None]) -> None:
        del self._running[host]

    def _is_due(self, connection: Connection, host: Host) -> bool:
        if host.breaker.open:
            url = host.last_succeeded or host.last_failed
            return url is not None and not host.breaker.closed_to(url.raw_path)
        denied = host.own and connection.health.denied
        return (host.doubtful or denied) and host.idle_seconds >= IDLE_SECONDS
