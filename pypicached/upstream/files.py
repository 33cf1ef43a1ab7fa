"""File bodies as an index's file host sends them: raw, from an offset, and what it says of them."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import msgspec
from yarl import URL

from pypicached.chain import told_by
from pypicached.errors import (
    FileGoneError,
    UpstreamAnswerError,
    UpstreamDeniedError,
    UpstreamUnavailableError,
)
from pypicached.upstream.connection import Connection, Kind, MayAsk
from pypicached.upstream.pace import Paced
from pypicached.upstream.refusals import refusal_of

# RFC 9110 §14.4: `bytes first-last/complete`, complete may be `*`.
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)


class FileStream(msgspec.Struct, frozen=True, kw_only=True):
    """A body on its way. `start` is where its first byte belongs; `length` is the whole file's.

    `validator` is a strong ETag or nothing: only that may go into If-Range (RFC 9110 §13.1.5).
    `told` is what caches on the way say of it (`chain.told_by`).
    """

    start: int
    length: int | None
    validator: str | None
    content_encoding: str
    # Returns what has arrived, at least one byte; empty at the clean end of the body.
    read_some: Callable[[], Awaitable[bytes]]
    told: str = ""


@contextlib.asynccontextmanager
async def open_file(
    connection: Connection,
    kind: Kind,
    url: str,
    *,
    may_ask: MayAsk,
    offset: int = 0,
    validator: str | None = None,
    fresh: bool = False,
) -> AsyncIterator[FileStream]:
    """Open the body of `url` from `offset`.

    The answer may start at 0 all the same (a 200 for a range request): look at `start`.
    Raises FileGoneError (404, 410), UpstreamDeniedError, UpstreamRefusedError,
    UpstreamUnavailableError, UpstreamAnswerError, and what `may_ask` raises; exceptions while the
    body is read are UpstreamUnavailableError.
    """
    # Stored and hashed raw, so no coding on the way (rule 51).
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    async with connection.request(
        kind, URL(url, encoded=True), headers, decode=False, fresh=fresh, may_ask=may_ask
    ) as answer:
        yield await _stream(connection, answer, offset)


class RangesRefusedError(UpstreamAnswerError):
    """Upstream does not answer ranges of this file; the whole of it is the only way."""


class Part(msgspec.Struct, frozen=True):
    """Some bytes of a file: `data` from `start` on, of `length` in all."""

    start: int
    data: bytes
    length: int
    validator: str | None


async def fetch_part(
    connection: Connection,
    kind: Kind,
    url: str,
    *,
    may_ask: MayAsk,
    offset: int | None,
    count: int,
    validator: str | None = None,
) -> Part:
    """Return `count` bytes from `offset` on, or the last ones (RFC 9110 §14.1.2); fewer at the end.

    Raises RangesRefusedError where upstream sends anything but exactly that, and what `open_file`
    raises.
    """
    wanted = f"bytes=-{count}" if offset is None else f"bytes={offset}-{offset + count - 1}"
    headers = {"Accept-Encoding": "identity", "Range": wanted}
    if validator:
        headers["If-Range"] = validator
    async with connection.request(
        kind, URL(url, encoded=True), headers, decode=False, may_ask=may_ask
    ) as answer:
        if answer.status in (200, 416, 501):
            raise RangesRefusedError(connection.name, "does not answer ranges")
        await _check_status(connection, answer)
        start, length = _part(connection.name, answer, offset, count)
        data = await _read_exactly(connection, answer, min(count, length - start))
        return Part(start, data, length, _validator(answer))


def _part(
    index: str, answer: aiohttp.ClientResponse, offset: int | None, count: int
) -> tuple[int, int]:
    """Return (start, whole length) of a 206 that is the range asked for, of the file itself."""
    match = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None or match[3] == "*" or _coding(answer) not in ("", "identity"):
        raise RangesRefusedError(index, "answered with another range than asked for")
    first, last, length = (int(number) for number in match.groups())
    start = max(0, length - count) if offset is None else offset
    if (first, last + 1) != (start, min(start + count, length)):
        raise RangesRefusedError(index, "answered with another range than asked for")
    return start, length


async def _read_exactly(
    connection: Connection, answer: aiohttp.ClientResponse, count: int
) -> bytes:
    data = bytearray()
    while len(data) < count and (chunk := await connection.read_some(answer)):
        data += chunk
    if len(data) != count:
        raise UpstreamUnavailableError(connection.name, "broke off its answer")
    return bytes(data)


async def head_length(
    connection: Connection, kind: Kind, url: str, *, may_ask: MayAsk
) -> int | None:
    """Ask how long a file is, without its body; None if upstream does not say."""
    with contextlib.suppress(UpstreamAnswerError, UpstreamDeniedError):
        length = await _head_length(connection, kind, url, may_ask)
        if length is not None:
            return length
    # Signed URLs are for one method, GET, and some hosts know no other (rule 55).
    try:
        return (await fetch_part(connection, kind, url, may_ask=may_ask, offset=0, count=1)).length
    except RangesRefusedError:
        return None


async def _head_length(connection: Connection, kind: Kind, url: str, may_ask: MayAsk) -> int | None:
    headers = {"Accept-Encoding": "identity"}
    async with connection.request(
        kind, URL(url, encoded=True), headers, method="HEAD", decode=False, may_ask=may_ask
    ) as answer:
        if answer.status == 501:
            return None  # RFC 9110 §15.6.2: it knows no HEAD, which is no outage
        await _check_status(connection, answer)
        # The length of an encoded body is not the file's (rule 51).
        plain = answer.status == 200 and _coding(answer) in ("", "identity")
        return _length(answer) if plain else None


async def _stream(
    connection: Connection, answer: aiohttp.ClientResponse, offset: int
) -> FileStream:
    index = connection.name
    await _check_status(connection, answer)
    start, length = 0, _length(answer)
    if answer.status == 206:
        start, length = _range(index, answer, offset)
    return FileStream(
        start=start,
        length=length,
        validator=_validator(answer),
        content_encoding=_coding(answer),
        read_some=Paced(index, functools.partial(connection.read_some, answer)).read_some,
        told=told_by(answer.headers),
    )


async def _check_status(connection: Connection, answer: aiohttp.ClientResponse) -> None:
    index, status = connection.name, answer.status
    if status in (200, 206):
        return
    failure = connection.failure_of(answer, " for a file")
    if failure is not None:
        raise failure
    if status in (404, 410):
        raise FileGoneError(index, f"answered {status} for a file that its page lists")
    refusal = await refusal_of(connection, answer, f"answered {status} for a file")
    if refusal is not None:
        raise refusal
    raise UpstreamAnswerError(index, f"answered {status} for a file")


def _validator(answer: aiohttp.ClientResponse) -> str | None:
    """Return the strong ETag, if there is one (RFC 9110 §8.8.3)."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else None


def _coding(answer: aiohttp.ClientResponse) -> str:
    return answer.headers.get("Content-Encoding", "").strip().lower()


def _length(answer: aiohttp.ClientResponse) -> int | None:
    value = answer.headers.get("Content-Length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def _range(index: str, answer: aiohttp.ClientResponse, offset: int) -> tuple[int, int | None]:
    """Return (start, whole length) of a 206; a partial answer never passes for a whole one."""
    match = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != offset or offset == 0:
        raise UpstreamAnswerError(index, "answered with another range than asked for")
    return offset, None if match[3] == "*" else int(match[3])
