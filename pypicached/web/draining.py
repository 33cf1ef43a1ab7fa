"""The end of the public listener: nobody is turned away, and whoever is answered is let finish.

Stop accepting; say `Connection: close` in every further answer; wait until it has been quiet; close
what idles. A client whose request comes in the moment when its idle connection is closed gets no
answer (RFC 9112 §9.3.1 has it ask again): what has arrived is looked for right before, and the rest
of what has begun to arrive is waited for, a little.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from pypicached.logs import event
from pypicached.web.app import PublicApp, close_if_idle

logger = logging.getLogger(__name__)

# A connection that is idle may have a request under way to us: it is answered, and told to close.
QUIET_SECONDS = 0.3
LOOK_SECONDS = 0.05


async def drain(
    app: PublicApp,
    runner: web.ServerRunner,
    hurry: asyncio.Event,
    limit_seconds: float,
    tell: Callable[[int], None],
) -> None:
    """Return once all connections are closed, after `limit_seconds`, or when hurried.

    `tell` hears how many answers are under way.
    """
    app.draining = True
    server = runner.server
    assert server is not None
    for site in list(runner.sites):
        await site.stop()
    began = quiet_since = time.monotonic()
    while not hurry.is_set() and server.connections:
        now = time.monotonic()
        if app.active:
            quiet_since = now
        if now - began >= limit_seconds:
            break
        if now - quiet_since >= QUIET_SECONDS:
            await _close_idle(server)
        if app.active:
            tell(app.active)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await hurry.wait()
    # An answer that was written is with its client only when the kernel has all of it.
    if cut := max(app.active, sum(map(_has_unsent, server.connections))):
        event(logger, logging.WARNING, f"cut off {cut} running answers")


def _has_unsent(connection: RequestHandler) -> bool:
    transport = connection.transport
    return transport is not None and transport.get_write_buffer_size() > 0


async def _close_idle(server: web.Server) -> None:
    for connection in server.connections:
        if close_if_idle(connection):
            # Closed in the loop's next round: the sooner after the look, the better.
            await asyncio.sleep(0)
