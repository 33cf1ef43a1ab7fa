"""Asking failing hosts now and then when nobody else does.

Clients' own requests are probes enough while there are clients. Without them `status` would go on
saying "failing" through a night in which the upstream has long been back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from pypicached.upstream.connection import Connection

LOOK_SECONDS = 10.0


async def probe_failing(connections: Collection[Connection]) -> None:
    """Probe, for ever, every host that is held to fail and whose pause is over."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        await probe_once(connections)


async def probe_once(connections: Collection[Connection]) -> None:
    """Probe those hosts at once, all at the same time; returns when all have told."""
    due = [
        connection.probe(host.last_failed)
        for connection in connections
        for host in connection.hosts
        if host.breaker.open and not host.breaker.closed_to_all and host.last_failed is not None
    ]
    await asyncio.gather(*due)
