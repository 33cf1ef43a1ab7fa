"""Bounds on connections: those that never finish a request's head, and those beyond `clients`.

aiohttp never closes a connection whose first request head stays half-sent, so somebody must look
(`[limits] request_head`, `clients`). Connections in the middle of a request are left alone.
"""

from __future__ import annotations

import asyncio
import logging
import time

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from pypicached.logs import event

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0


class Sweep:
    """Looks after the connections of one server.

    It is told of each request: by `began` and `ended`, or by `answered`.
    """

    def __init__(self, *, clients: int, head_seconds: float) -> None:
        self.clients = clients
        self.head_seconds = head_seconds
        # Connections that have gone are dropped from these at each sweep.
        self._busy: set[object] = set()
        self._asked: set[object] = set()
        self._seen_at: dict[object, float] = {}

    def began(self, request: web.BaseRequest) -> None:
        """A whole head has arrived on this connection."""
        self._busy.add(request.protocol)
        self._asked.add(request.protocol)

    def answered(self, connection: RequestHandler) -> None:
        """A whole head has arrived on this connection and was answered at once."""
        self._asked.add(connection)

    def ended(self, request: web.BaseRequest) -> None:
        """The answer is on its way; the connection is idle."""
        self._busy.discard(request.protocol)

    async def run(self, server: web.Server) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(server.connections, time.monotonic())

    def sweep(self, connections: list[RequestHandler], now: float) -> None:
        """Close what has been too long without a request, and idle ones above the limit."""
        self._forget_gone(set[object](connections))
        idle = [connection for connection in connections if connection not in self._busy]
        late = [
            connection
            for connection in idle
            if connection not in self._asked
            and now - self._seen_at.setdefault(connection, now) >= self.head_seconds
        ]
        over = len(connections) - len(late) - self.clients
        chosen = late + [c for c in idle if c not in late][: max(0, over)]
        for connection in chosen:
            if connection.transport is not None:
                connection.transport.abort()
        if over > 0:
            event(logger, logging.WARNING, f"closed {over} idle connections above [limits] clients")

    def _forget_gone(self, present: set[object]) -> None:
        self._busy &= present
        self._asked &= present
        for connection in self._seen_at.keys() - present:
            del self._seen_at[connection]
