"""Sending a copy of the ledger: its length first, so that the other end knows when it has all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from pypicached.cache.copying import Copy

_log = logging.getLogger(__name__)


async def send_copy(request: web.Request, copy: Copy) -> web.StreamResponse:
    """Answer with a copy; where it fails in the middle the connection breaks off."""
    response = web.StreamResponse(headers={"Content-Type": "application/vnd.sqlite3"})
    response.content_length = copy.size_bytes
    await response.prepare(request)
    try:
        while chunk := await copy.read():
            await response.write(chunk)
    except ConnectionError:
        _log.info("backup: the caller went away; stopped")
        return response
    except OSError as error:
        # The length has left: an error in words would be taken for bytes of the copy.
        _log.error("backup: cannot read the copy: %s", error.strerror)
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
