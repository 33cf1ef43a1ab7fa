"""A store that speaks as much S3 as a daemon asks for, and misbehaves as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple

from aiohttp import web

# What stands for an answer to a GET: it gets the request and the right body.
Fault = Callable[[web.BaseRequest, bytes], Awaitable[web.StreamResponse]]


class Asked(NamedTuple):
    """A request for one object."""

    method: str
    sha256: str
    range: str


class FaultyStore:
    """One bucket, any name, path-style; no signature is looked at.

    `fault` answers GETs of objects that are there; `broken` answers all there is.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.deleted: set[str] = set()
        # Seconds since the epoch, of those that were not put or renewed just now.
        self.kept_at: dict[str, float] = {}
        self.asked: list[Asked] = []
        self.fault: Fault | None = None
        self.broken: Callable[[web.BaseRequest], Awaitable[web.StreamResponse] | None] | None = None
        self.url = ""

    def put(self, body: bytes) -> str:
        """Store a blob; return its digest."""
        sha256 = hashlib.sha256(body).hexdigest()
        self.objects[sha256] = body
        return sha256

    def count(self, method: str) -> int:
        """How many requests of that method there were."""
        return sum(asked.method == method for asked in self.asked)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        sha256 = request.path.rpartition("/")[2]
        self.asked.append(Asked(request.method, sha256, request.headers.get("Range", "")))
        body = await request.content.read()
        if self.broken is not None and (answer := self.broken(request)) is not None:
            return await answer
        if request.method in ("POST", "PUT"):
            return self._change(request, sha256, body)
        if request.path.strip("/") == "wheels":
            return web.Response()  # the bucket itself
        stored = self.objects.get(sha256)
        if stored is None:
            return error(404, "NoSuchKey")
        if request.method == "GET" and self.fault is not None:
            return await self.fault(request, stored)
        response = whole(request, stored)
        if sha256 in self.kept_at:
            put_at = datetime.fromtimestamp(self.kept_at[sha256], UTC)
            response.headers["Last-Modified"] = format_datetime(put_at, usegmt=True)
        return response

    def _change(self, request: web.BaseRequest, sha256: str, body: bytes) -> web.Response:
        if request.method == "POST":
            return self._delete(body.decode())
        if "x-amz-copy-source" not in request.headers:
            self.objects[sha256] = body
            return web.Response(headers={"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        if sha256 not in self.objects:
            return error(404, "NoSuchKey")
        self.kept_at.pop(sha256, None)
        text = '<CopyObjectResult><ETag>"x"</ETag></CopyObjectResult>'
        return web.Response(text=text, content_type="application/xml")

    def _delete(self, document: str) -> web.Response:
        for sha256 in [digest for digest in self.objects if digest in document]:
            del self.objects[sha256]
            self.deleted.add(sha256)
        return web.Response(text="<DeleteResult/>", content_type="application/xml")


def error(status: int, code: str) -> web.Response:
    """Return an error as S3 gives it."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>x</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


def start_of(request: web.BaseRequest) -> int:
    """Return where the range that was asked for begins."""
    return int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])


def head_of(request: web.BaseRequest, length: int) -> tuple[int, dict[str, str]]:
    """Return status and headers of an object of that length."""
    start = start_of(request)
    headers = {
        "Content-Length": str(length - start),
        "Last-Modified": format_datetime(datetime.now(UTC), usegmt=True),
        "ETag": '"x"',
    }
    if "Range" not in request.headers:
        return 200, headers
    return 206, headers | {"Content-Range": f"bytes {start}-{length - 1}/{length}"}


def whole(request: web.BaseRequest, body: bytes) -> web.Response:
    """Return an object, or the rest of it."""
    status, headers = head_of(request, len(body))
    return web.Response(status=status, headers=headers, body=body[start_of(request) :])


# ── faults of a GET ──────────────────────────────────────────────────────────────────────────


async def wrong(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
    """Other bytes, as many."""
    return whole(request, bytes(reversed(body)))


async def wrong_end(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
    """The last byte is another one."""
    return whole(request, body[:-1] + bytes([body[-1] ^ 1]))


async def shorter(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
    """An object with its end missing."""
    return whole(request, body[:-1000])


async def longer(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
    """An object with more at its end."""
    return whole(request, body + bytes(1000))


async def page(_request: web.BaseRequest, _body: bytes) -> web.StreamResponse:
    """What a proxy says in the store's place."""
    return web.Response(text="<html>Sign in</html>", content_type="text/html")


async def denied(_request: web.BaseRequest, _body: bytes) -> web.StreamResponse:
    """No right to read."""
    return error(403, "AccessDenied")


async def failing(_request: web.BaseRequest, _body: bytes) -> web.StreamResponse:
    """An error of the store's own."""
    return error(500, "InternalError")


async def silent(_request: web.BaseRequest, _body: bytes) -> web.StreamResponse:
    """No answer at all."""
    await asyncio.sleep(3600)
    raise AssertionError


def cut_after(octets: int, *, then: float = 0.0) -> Fault:
    """Break off after so many bytes, `then` seconds later."""

    async def fault(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        status, headers = head_of(request, len(body))
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        start = start_of(request)
        await response.write(body[start : start + octets])
        await asyncio.sleep(then)
        if request.transport is not None:
            request.transport.abort()
        return response

    return fault


def slow(octets: int, seconds: float) -> Fault:
    """Send so many bytes at a time, so far apart."""

    async def fault(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        status, headers = head_of(request, len(body))
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        for start in range(start_of(request), len(body), octets):
            await response.write(body[start : start + octets])
            await asyncio.sleep(seconds)
        return response

    return fault


@contextlib.asynccontextmanager
async def faulty_store() -> AsyncIterator[FaultyStore]:
    """Run such a store."""
    store = FaultyStore()
    # aiohttp takes a time-out of 0 for no bound at all.
    runner = web.ServerRunner(
        web.Server(store.handle, access_log=None, handler_cancellation=True), shutdown_timeout=0.1
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        store.url = f"http://{host}:{port}"
        yield store
    finally:
        await runner.cleanup()
