"""Where a file's bytes come from: its index, or ourselves where we made it.

Some indexes sign the URLs on their pages for a while only (object stores: a query with a signature
and its end). A page that we keep for longer than that lists URLs that are refused with 403; then
the page is asked once more for the file's current one.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import msgspec

from pypicached.cache.digests import Expected
from pypicached.errors import UpstreamDeniedError
from pypicached.ledger import Kind
from pypicached.upstream import Connection, FileStream, MayAsk, open_file

T = TypeVar("T")


class Source(msgspec.Struct, frozen=True):
    """Where a file comes from, and what its index said of it; `made` is instead of asking there.

    `renew` asks the file's page for its URL once more; `may_ask` is asked before each request.
    """

    connection: Connection
    kind: Kind
    url: str
    expected: Expected
    may_ask: MayAsk
    made: bytes | None = None
    renew: Callable[[], Awaitable[str]] | None = None

    async def ask(self, request: Callable[[str], Awaitable[T]]) -> T:
        """Return `request(url)`; where a signed URL is refused, with the one its page has now.

        Raises what `request` and `renew` raise.
        """
        try:
            return await request(self.url)
        except UpstreamDeniedError:
            if self.renew is None or "?" not in self.url:
                raise
            url = await self.renew()
            if url == self.url:
                raise
        return await request(url)

    def open(
        self, *, offset: int = 0, validator: str | None = None, fresh: bool = False
    ) -> AbstractAsyncContextManager[FileStream]:
        """Open the body, as `upstream.open_file` does."""
        if self.made is not None:
            return _stream_of(self.made)
        return self._open(offset, validator, fresh=fresh)

    @contextlib.asynccontextmanager
    async def _open(
        self, offset: int, validator: str | None, *, fresh: bool
    ) -> AsyncIterator[FileStream]:
        async with contextlib.AsyncExitStack() as stack:

            def enter(url: str) -> Awaitable[FileStream]:
                opened = open_file(
                    self.connection,
                    self.kind,
                    url,
                    may_ask=self.may_ask,
                    offset=offset,
                    validator=validator,
                    fresh=fresh,
                )
                return stack.enter_async_context(opened)

            yield await self.ask(enter)


@contextlib.asynccontextmanager
async def _stream_of(data: bytes) -> AsyncIterator[FileStream]:
    """Yield bytes of ours as if an upstream sent them."""
    pieces = [data]

    async def read_some() -> bytes:
        return pieces.pop() if pieces else b""

    yield FileStream(
        start=0, length=len(data), validator=None, content_encoding="", read_some=read_some
    )
