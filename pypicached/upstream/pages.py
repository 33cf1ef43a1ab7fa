"""Project pages and project lists as an index answers them: conditional requests and their outcome.

What the bytes mean is for `simple`; here they are only bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

import aiohttp
import msgspec
from yarl import URL

from pypicached.chain import told_by
from pypicached.errors import (
    UpstreamAnswerError,
    clean,
)
from pypicached.upstream.connection import Connection
from pypicached.upstream.decoding import decoder_of
from pypicached.upstream.refusals import refusal_of

# PEP 691 §"Version + format selection": what we like best first; HTML upstreams ignore it.
ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
)
# The project list is a hundred times the largest page; its own bound is this times the page's.
LIST_FACTOR = 4
MAX_VALIDATOR = 512


class Validators(msgspec.Struct, frozen=True):
    """What a conditional request is made of (RFC 9110 §13.1)."""

    etag: str | None = None
    last_modified: str | None = None


class PageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an index said: "body" (then `chunks` may be read once), "unchanged" or "absent".

    `told` is what caches on the way say of it (`chain.told_by`).
    """

    outcome: Literal["body", "unchanged", "absent"]
    content_type: str = ""
    url: str = ""
    validators: Validators = Validators()
    serial: int | None = None
    # Whether the end of the body was told apart from a connection that merely closed.
    ends: bool = True
    chunks: AsyncIterator[bytes] | None = None
    told: str = ""


@contextlib.asynccontextmanager
async def open_page(
    connection: Connection,
    project: str,
    validators: Validators,
    *,
    fresh: bool = False,
    within: float | None = None,
) -> AsyncIterator[PageAnswer]:
    """Ask for the page of `project` (normalized; '' is the project list), all `within` seconds.

    Raises UpstreamUnavailableError (no answer, 429, 5xx), UpstreamDeniedError (401, 403),
    UpstreamRefusedError (a cache's 403), UpstreamLoopError (508), UpstreamAnswerError (any other
    status, or beyond the bound while `chunks` is read).
    """
    url = page_url(connection, project)
    headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip, deflate"}
    if validators.etag:
        headers["If-None-Match"] = validators.etag
    if validators.last_modified:
        headers["If-Modified-Since"] = validators.last_modified
    async with connection.request(
        "page", url, headers, decode=False, fresh=fresh, within=within
    ) as answer:
        outcome = await _outcome(connection, answer, conditional=len(headers) > 2)
        if outcome != "body":
            yield PageAnswer(outcome=outcome, told=told_by(answer.headers))
            return
        limit = connection.limits.page_bytes * (1 if project else LIST_FACTOR)
        yield PageAnswer(
            outcome="body",
            content_type=answer.headers.get("Content-Type", ""),
            url=str(answer.url),
            validators=Validators(
                _validator(answer.headers.get("ETag")),
                _validator(answer.headers.get("Last-Modified")),
            ),
            serial=_serial(answer.headers.get("X-PyPI-Last-Serial", "")),
            ends=answer.headers.get("Content-Length") is not None or _chunked(answer),
            chunks=_bounded(connection, answer, limit),
            told=told_by(answer.headers),
        )


def page_url(connection: Connection, project: str) -> URL:
    """Return where an index has the page of `project` (normalized; '' is the project list)."""
    return URL(f"{connection.url}{project}/" if project else str(connection.url), encoded=True)


async def _outcome(
    connection: Connection, answer: aiohttp.ClientResponse, *, conditional: bool
) -> Literal["body", "unchanged", "absent"]:
    index, status = connection.name, answer.status
    if status == 200:
        return "body"
    if status == 304 and conditional:
        return "unchanged"
    if status in (404, 410):
        return "absent"
    refusal = await refusal_of(
        connection, answer, f"answered {status}: credentials missing or refused"
    )
    if refusal is not None:
        raise refusal
    failure = connection.failure_of(answer)
    if failure is not None:
        raise failure
    raise UpstreamAnswerError(index, f"answered {status} for a page")


async def _bounded(
    connection: Connection, answer: aiohttp.ClientResponse, limit: int
) -> AsyncIterator[bytes]:
    """Yield the decoded body, at most `limit` bytes of it, and insist on its end."""
    index = connection.name
    decoder = decoder_of(index, answer.headers.get("Content-Encoding", ""))
    read = 0
    while chunk := await connection.read_some(answer):
        for piece in decoder.decode(chunk):
            read += len(piece)
            if read > limit:
                raise UpstreamAnswerError(index, "its page is larger than [limits] page_size")
            yield piece
            # Of a bomb one packet becomes a hundred pieces, and each takes a millisecond.
            await asyncio.sleep(0)
    decoder.finish()


def _chunked(answer: aiohttp.ClientResponse) -> bool:
    return "chunked" in answer.headers.get("Transfer-Encoding", "").lower()


def _validator(value: str | None) -> str | None:
    """Keep a validator that can be sent back as it is."""
    if value is None or len(value) > MAX_VALIDATOR or clean(value, MAX_VALIDATOR) != value:
        return None
    return value


def _serial(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
