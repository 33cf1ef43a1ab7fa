"""Bounding interim answers (RFC 9110 §15.2): aiohttp reads any number of them before the answer.

An upstream that sends nothing else kept one of two cores busy for as long as a head may take.
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader

# 100 and 103 (RFC 8297) come once each, if at all.
MOST_INTERIM = 16


class BoundedHandler(ResponseHandler):
    """One connection to an upstream, which may say "wait" a few times and no more."""

    _interim = 0

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        """Return the next head. Raises HttpProcessingError after too many that are interim."""
        head = await super().read()
        self._interim = self._interim + 1 if 100 <= head[0].code < 200 else 0
        if self._interim > MOST_INTERIM:
            raise HttpProcessingError(code=400, message="too many interim answers")
        return head


def bound_interim(connector: aiohttp.TCPConnector) -> aiohttp.TCPConnector:
    """Make a connector's connections bounded ones; aiohttp has no public way to say so."""
    loop = asyncio.get_running_loop()

    def factory() -> ResponseHandler:
        return BoundedHandler(loop)

    connector._factory = factory  # type: ignore[assignment]  # noqa: SLF001
    return connector
