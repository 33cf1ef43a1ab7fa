"""A store that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from tests.s3.servers import Endpoint

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Asked(NamedTuple):
    """A request; `path` with its query, as it was sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class OddStore:
    """Answers with `answer`, which a test sets; by default everything is well and empty."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Answer = _nothing
        self.endpoint = Endpoint("")

    @property
    def methods(self) -> list[str]:
        """The methods of the requests so far."""
        return [one.method for one in self.asked]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Note a request and answer it."""
        # `read` of the request has a bound.
        body = await request.content.read()
        self.asked.append(Asked(request.method, request.path_qs, dict(request.headers), body))
        return await self.answer(request)  # type: ignore[arg-type]


async def _nothing(_request: web.Request) -> web.StreamResponse:
    return web.Response()


def error(status: int, code: str) -> web.Response:
    """Return an answer of S3 with an error (its "Error responses")."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>x</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


def always(make: Callable[[], web.StreamResponse]) -> Answer:
    """Return what gives every request a new answer of this kind."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return make()

    return answer


@contextlib.asynccontextmanager
async def odd_store() -> AsyncIterator[OddStore]:
    """Run such a store."""
    store = OddStore()
    # aiohttp takes 0 for no bound at all.
    runner = web.ServerRunner(web.Server(store.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        store.endpoint = Endpoint(f"http://{host}:{port}")
        yield store
    finally:
        await runner.cleanup()
