"""Answers by which an index, or a cache in its place, says no to us."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import msgspec

from pypicached.errors import (
    UpstreamDeniedError,
    UpstreamError,
    UpstreamLoopError,
    UpstreamRefusedError,
    clean,
)
from pypicached.upstream.connection import Connection

# So much of why a cache refuses is read, in so long.
DETAIL_BYTES = 4096
DETAIL_SECONDS = 2.0
DETAIL_LENGTH = 60
_THERE = "refused there: "
_UNQUOTED = str.maketrans({'"': "'", "\\": "/"})


class _Problem(msgspec.Struct):
    """What is read of problem details (RFC 9457 §3.1)."""

    detail: str = ""


async def refusal_of(
    connection: Connection, answer: aiohttp.ClientResponse, denied: str
) -> UpstreamDeniedError | UpstreamRefusedError | UpstreamLoopError | None:
    """Return the error of a 401, 403 or 508, None for other answers; `denied` is for the first two.

    A cache like this one refuses by its rules with problem details (RFC 9457), whose `detail`
    names the rule: that is not about our credentials.
    """
    if answer.status == 508:
        reason = "leads back to a cache that asks it: a circle"
        return UpstreamLoopError(connection.name, reason)
    if answer.status not in (401, 403):
        return None
    if answer.status == 403 and answer.content_type == "application/problem+json":
        # An answer to HEAD has no body, and a proxy may have put its own phrase for the cache's.
        words = await _detail_of(connection, answer) or answer.reason or "no reason given"
        # Of several caches behind one another, the last one's reason is what counts.
        words = words.rpartition(_THERE)[2]
        return UpstreamRefusedError(connection.name, _THERE + _fit(words))
    return UpstreamDeniedError(connection.name, denied)


async def _detail_of(connection: Connection, answer: aiohttp.ClientResponse) -> str:
    body = bytearray()
    with contextlib.suppress(UpstreamError, TimeoutError):
        async with asyncio.timeout(DETAIL_SECONDS):
            while len(body) < DETAIL_BYTES and (data := await connection.read_some(answer)):
                body += data
    try:
        return msgspec.json.decode(body, type=_Problem).detail
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def _fit(words: str) -> str:
    """Return foreign words, fit for a status line and for a string of Cache-Status."""
    return clean(words, DETAIL_LENGTH).translate(_UNQUOTED).encode("ascii", "replace").decode()
