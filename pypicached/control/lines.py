"""Long work as NDJSON: lines of progress and of parts, then one of the result or of an error.

What the lines hold is `messages`; here it is decided when they leave and when the work ends.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from pypicached.messages import Progress

_log = logging.getLogger(__name__)
_Row = TypeVar("_Row", bound=msgspec.Struct)
_Result = TypeVar("_Result", bound=msgspec.Struct)


class _Line(msgspec.Struct, omit_defaults=True):
    """`PruneLine` and its kind, whatever the result is."""

    progress: Progress | None = None
    part: msgspec.Raw | None = None
    result: msgspec.Raw | None = None
    error: str | None = None


async def send_lines(
    request: web.Request,
    work: AsyncGenerator[Progress | list[_Row] | _Result, None],
    explain: Callable[[Exception], str],
) -> web.StreamResponse:
    """Answer with what `work` yields: progress, parts of the result, and it as the last message.

    The work is closed whatever happens, so that a caller who leaves ends it at its next step. An
    error before the first line is raised, and can still have a status of its own.
    """
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    async with contextlib.aclosing(work) as steps:
        try:
            async for step in steps:
                if not response.prepared:
                    await response.prepare(request)
                await response.write(_encode(step))
        except ConnectionError:
            _log.info("%s: the caller went away; stopped", request.path.strip("/"))
            # Raised, it would be a traceback in the log; aiohttp knows itself that nobody is there.
            return response
        except Exception as error:
            if not response.prepared:
                raise
            await response.write(_encode_line(_Line(error=explain(error))))
    if not response.prepared:
        raise RuntimeError("long work ended without an answer")
    await response.write_eof()
    return response


def _encode(step: Progress | list[_Row] | msgspec.Struct) -> bytes:
    if isinstance(step, Progress):
        return _encode_line(_Line(progress=step))
    if isinstance(step, list):
        return _encode_line(_Line(part=msgspec.Raw(msgspec.json.encode(step))))
    return _encode_line(_Line(result=msgspec.Raw(msgspec.json.encode(step))))


def _encode_line(line: _Line) -> bytes:
    return msgspec.json.encode(line) + b"\n"
