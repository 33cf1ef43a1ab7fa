"""Distribution files and sidecars: hits, joins and misses; ranges, HEAD, conditions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from aiohttp import web
from multidict import CIMultiDict

from pypicached.cache.download import Miss
from pypicached.cache.files import Files
from pypicached.cache.pages import AGAIN_SECONDS
from pypicached.cache.sidecars import SIDECAR
from pypicached.cache.stored_files import FileKey, Hit
from pypicached.chain import behind
from pypicached.errors import (
    BadNameError,
    FileNotListedError,
    NoRoomError,
    OfflineError,
    PypicachedError,
    UpstreamError,
    UpstreamUnavailableError,
)
from pypicached.ledger import Audit, CachedFile, Result, Usage
from pypicached.simple.urls import request_key
from pypicached.web.exchange import Asked, Exchange, Whole
from pypicached.web.ranges import UnsatisfiableError, matches, parse_range, range_applies
from pypicached.web.redirects import Redirects
from pypicached.web.sending import (
    cut_off,
    send_growing,
    send_stored,
    write,
    write_growing,
)

YEAR_SECONDS = 365 * 86400
# A path that names its content: a digest of at least 32 hex digits as one segment, or split as
# PyPI splits it (`ab/cd/<60 digits>`); a name under it can never mean other bytes (rule 56).
CONTENT_PATH = re.compile(r"/[0-9a-f]{32,128}/|/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{28,124}/")
CONTENT_TYPES = {"file": "application/octet-stream", "metadata": "text/plain; charset=utf-8"}


class Terms(NamedTuple):
    """How files of one index are answered; `cold_deadline`: seconds to the first byte."""

    private: bool
    cold_deadline: float


class FileHandler:
    """The handler of `/files/{index}/{host}/{path}`.

    `terms` are by index, and replaced as one: a request holds on to those that it began with, and
    to how clients are sent to a shared store (`redirects`; None: all is sent from here).
    """

    def __init__(
        self,
        files: Files,
        usage: Usage,
        audit: Audit,
        terms: Mapping[str, Terms],
        redirects: Redirects | None = None,
    ) -> None:
        self._files = files
        self.redirects = redirects
        self._usage = usage
        self._audit = audit
        self.terms = terms

    async def handle(self, exchange: Exchange, index: str, tail: str) -> web.StreamResponse:
        """Answer one file. Raises what `web.errors` has a status for."""
        terms = self.terms.get(index)
        key = self._key(exchange, index, tail)
        if terms is None:
            raise FileNotListedError("there is no index of that name")
        redirects = self.redirects
        hit = self._files.stored.ready(key)
        if hit is not None and (hit.body is not None or redirects is None):
            return await self._send_hit(exchange, key, hit, terms)
        # What its page takes is a part of what a file's first byte may take.
        by = asyncio.get_running_loop().time() + terms.cold_deadline
        try:
            if redirects is not None and key.kind == "file":
                hit = hit or await self._files.stored.get(key)
                sent = await self._send_away(exchange, key, hit, terms, redirects)
                if sent is not None:
                    return sent
            if hit is not None:
                return await self._send_hit(exchange, key, hit, terms)
            if exchange.bodiless and key.kind == "file":
                return await self._head(exchange, key, by, terms)
            found = await self._files.open(key)
            if isinstance(found, Hit):
                return await self._send_hit(exchange, key, found, terms)
            return await self._send_miss(exchange, key, found, by, terms)
        except (UpstreamError, OfflineError):
            exchange.result = "errors"
            self._usage.count(key.kind, key.index, "errors")
            raise

    def at_hand(self, asked: Asked, index: str, tail: str) -> Whole | None:
        """Return a small stored file, if memory has its bytes.

        None for all that `handle` has to look at more closely. Raises what `handle` does.
        """
        terms = self.terms.get(index)
        key = self._key(asked, index, tail)
        hit = None if terms is None else self._files.stored.at_hand(key)
        return None if hit is None or terms is None else self._whole(asked, key, hit, terms)

    def _key(self, exchange: Asked, index: str, tail: str) -> FileKey:
        path = request_key(tail)
        if path is None:
            raise BadNameError("that is no path that an index can publish")
        sidecar = path.endswith(SIDECAR)
        exchange.kind = "metadata" if sidecar else "file"
        exchange.index = index
        exchange.file_key = path.removesuffix(SIDECAR)
        return FileKey(index, exchange.file_key, "metadata" if sidecar else "file")

    async def _send_away(
        self, exchange: Exchange, key: FileKey, hit: Hit | None, terms: Terms, redirects: Redirects
    ) -> web.Response | None:
        """Return a redirect to the shared store if it has the file, and it is not a small one."""
        if hit is not None and hit.body is not None:
            return None
        try:
            if hit is not None:
                project, filename, sha256 = hit.file.project, hit.file.filename, hit.file.sha256
            else:
                project, entry = await self._files.describe(key)
                filename, sha256 = entry.filename, entry.hashes.get("sha256", "")
            headers = await redirects.headers_for(
                sha256, exchange.request.method, private=terms.private
            )
        except BaseException:
            if hit is not None:
                os.close(hit.fd)
            raise
        if headers is None:
            return None
        if hit is not None:
            os.close(hit.fd)
        self._count(exchange, key, "hits", project, 0)
        self._usage.touch_file(key.index, key.path, key.kind, sha256)
        if not exchange.bodiless:
            self._note(exchange, key, project, filename)
        return web.Response(status=redirects.manner.status, headers=headers)

    # ── hits ─────────────────────────────────────────────────────────────────────────────────

    async def _send_hit(
        self, exchange: Exchange, key: FileKey, hit: Hit, terms: Terms
    ) -> web.StreamResponse:
        if hit.body is not None:
            return self._whole(exchange, key, hit, terms).response()
        file = hit.file
        try:
            headers, answer, sent = self._found(exchange, key, file, terms)
            response = web.StreamResponse(status=answer.status, headers=headers)
            await exchange.prepare(response)
            if sent:
                try:
                    with self._files.in_use(file.sha256):
                        await send_stored(exchange.request, hit.fd, answer.start, answer.stop)
                except OSError as error:
                    self._files.stored.broke(file, error)
                    cut_off(exchange.request)
            return response
        finally:
            os.close(hit.fd)

    def _whole(self, asked: Asked, key: FileKey, hit: Hit, terms: Terms) -> Whole:
        assert hit.body is not None
        headers, answer, sent = self._found(asked, key, hit.file, terms)
        return Whole(answer.status, headers, hit.body[answer.start : answer.stop] if sent else b"")

    def _found(
        self, asked: Asked, key: FileKey, file: CachedFile, terms: Terms
    ) -> tuple[CIMultiDict[str], Part, int]:
        """Count a hit; return the headers, which part is wanted, and how many bytes are sent."""
        headers = _headers(key, terms, f'"{file.sha256}"', "pypicached; hit")
        answer = conditional(asked, headers, file.size_bytes)
        sent = 0 if asked.bodiless or answer.status in (304, 416) else answer.length
        self._count(asked, key, "hits", file.project, sent)
        self._usage.touch_file(key.index, key.path, key.kind, file.sha256)
        if sent:
            self._note(asked, key, file.project, file.filename)
        return headers, answer, sent

    def _count(
        self, exchange: Asked, key: FileKey, result: Result, project: str, octets: int
    ) -> None:
        exchange.result = result
        self._usage.count(key.kind, key.index, result, project, octets)

    def _note(self, exchange: Asked, key: FileKey, project: str, filename: str) -> None:
        """Remember who is sent at least a byte of a file; a sidecar is no file (`who`)."""
        if key.kind == "file" and self._audit.on:
            client = exchange.client.address
            self._audit.fetched(client, exchange.agent, key.index, project, filename)

    # ── misses ───────────────────────────────────────────────────────────────────────────────

    async def _head(
        self, exchange: Exchange, key: FileKey, by: float, terms: Terms
    ) -> web.StreamResponse:
        """Answer HEAD without downloading anything (rule 55)."""
        hit = await self._files.stored.get(key)
        if hit is not None:
            return await self._send_hit(exchange, key, hit, terms)
        async with _first_byte(key, by):
            project, length, sha256 = await self._files.describe_length(key)
        etag = f'"{sha256}"' if sha256 else None
        headers = _headers(key, terms, etag, "pypicached; fwd=miss")
        if length is not None:
            headers["Content-Length"] = str(length)
        self._count(exchange, key, "misses", project, 0)
        return web.Response(headers=headers)

    async def _send_miss(
        self, exchange: Exchange, key: FileKey, miss: Miss, by: float, terms: Terms
    ) -> web.StreamResponse:
        download = miss.download
        if download.age >= terms.cold_deadline:
            by = min(by, asyncio.get_running_loop().time() + AGAIN_SECONDS)
        try:
            async with _first_byte(key, by):
                await download.wait_beyond(0)
            self._files.release(key, miss)
            result: Result = "misses" if miss.leading else "joins"
            shared = 0 if miss.leading or exchange.bodiless else download.length or 0
            self._count(exchange, key, result, miss.project, shared)
            status = f"pypicached; fwd=miss; {'stored' if miss.leading else 'collapsed'}"
            if download.shared:
                status += '; detail="shared store"'
            status = behind(download.told, status)
            sha256 = download.sha256 or download.source.expected.hashes.get("sha256")
            headers = _headers(key, terms, f'"{sha256}"' if sha256 else None, status)
            return await self._stream(exchange, key, miss, headers)
        except NoRoomError:
            self._count(exchange, key, "misses", miss.project, 0)
            return await self._send_through(exchange, key, miss, by, terms)
        finally:
            download.detach()

    async def _stream(
        self, exchange: Exchange, key: FileKey, miss: Miss, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        request, download = exchange.request, miss.download
        whole = download.length is None
        part = Part(200, 0, 0)
        if whole:
            headers.popall("Accept-Ranges", None)
        else:
            assert download.length is not None
            part = conditional(exchange, headers, download.length)
        response = web.StreamResponse(status=part.status, headers=headers)
        if whole and request.version >= (1, 1):
            response.enable_chunked_encoding()
        await exchange.prepare(response)
        if ((whole and download.releasable) or part.length) and not exchange.bodiless:
            self._note(exchange, key, miss.project, miss.download.filename)
        try:
            if whole and not exchange.bodiless:
                await write_growing(response, download)
            elif part.status in (200, 206) and not exchange.bodiless:
                await send_growing(request, download, part.start, part.stop)
        except (PypicachedError, OSError):
            cut_off(request)  # said in the log by the download's owner
        return response

    async def _send_through(
        self, exchange: Exchange, key: FileKey, miss: Miss, by: float, terms: Terms
    ) -> web.StreamResponse:
        """Stream a file that cannot be kept; whole, because nothing is there to take a range of."""
        through = self._files.pass_through(key, miss)
        async with contextlib.AsyncExitStack() as stack:
            async with _first_byte(key, by):
                chunks = await stack.enter_async_context(through.open())
                first = await anext(chunks, b"")
            self._files.release(key, miss)
            status = 'pypicached; fwd=miss; detail="no room to store"'
            headers = _headers(key, terms, None, status)
            del headers["Accept-Ranges"]
            if through.length is not None:
                headers["Content-Length"] = str(through.length)
            response = web.StreamResponse(headers=headers)
            if through.length is None and exchange.request.version >= (1, 1):
                response.enable_chunked_encoding()
            await exchange.prepare(response)
            try:
                if not exchange.bodiless:
                    if first:
                        self._note(exchange, key, miss.project, miss.download.filename)
                    await write(response, first)
                    async for chunk in chunks:
                        await write(response, chunk)
            except PypicachedError:
                cut_off(exchange.request)  # said in the log by whoever streams
        return response


def _headers(key: FileKey, terms: Terms, etag: str | None, cache_status: str) -> CIMultiDict[str]:
    scope = "private" if terms.private else "public"
    lasting = CONTENT_PATH.search(key.path) and key.kind == "file"
    age = f"max-age={YEAR_SECONDS}, immutable" if lasting else "max-age=600"
    headers = CIMultiDict(
        {
            "Content-Type": CONTENT_TYPES[key.kind],
            "Accept-Ranges": "bytes",
            "Cache-Control": f"{scope}, {age}",
            "Cache-Status": cache_status,
        }
    )
    if etag is not None:
        headers["ETag"] = etag
    return headers


@contextlib.asynccontextmanager
async def _first_byte(key: FileKey, by: float) -> AsyncIterator[None]:
    """Wait for a file's first byte until then (the loop's time), then tell the client to come back.

    A failure before it is a proper answer.
    """
    try:
        async with asyncio.timeout_at(by):
            yield
    except TimeoutError as error:
        raise UpstreamUnavailableError(key.index, "no first byte of the file in time") from error


class Part:
    """Which bytes a conditional or range request gets, and under which status."""

    __slots__ = ("start", "status", "stop")

    def __init__(self, status: int, start: int, stop: int) -> None:
        self.status = status
        self.start = start
        self.stop = stop

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.stop - self.start


def conditional(exchange: Asked, headers: CIMultiDict[str], length: int) -> Part:
    """Decide on If-None-Match, If-Range and Range; complete the headers accordingly."""
    etag = headers.get("ETag")
    if matches(exchange.header("If-None-Match"), etag):
        headers.popall("Content-Type", None)
        return Part(304, 0, 0)
    wanted = None
    if range_applies(exchange.header("If-Range"), etag) and not exchange.bodiless:
        try:
            wanted = parse_range(exchange.header("Range"), length)
        except UnsatisfiableError:
            headers["Content-Range"] = f"bytes */{length}"
            headers["Content-Length"] = "0"
            return Part(416, 0, 0)
    start, stop = wanted or (0, length)
    headers["Content-Length"] = str(stop - start)
    if wanted is None:
        return Part(200, start, stop)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{length}"
    return Part(206, start, stop)
