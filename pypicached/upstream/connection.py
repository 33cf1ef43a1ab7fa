"""One index's connections: sessions, credentials, redirects, and counting what is sent.

Each index has a connector of its own, so that a pooled connection that carries credentials never
answers for another index. Credentials go to the origin that they were configured for, and nowhere
else, whatever redirects say (RFC 9110 §15.4 leaves that to the client).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal

import aiohttp
import msgspec
from yarl import URL

from pypicached import __version__
from pypicached.errors import UpstreamAnswerError, UpstreamError
from pypicached.upstream.health import Health
from pypicached.upstream.reasons import mapped

# What a request is for; counters are kept by it.
Kind = Literal["page", "file", "metadata"]

USER_AGENT = f"pypicached/{__version__}"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
# Requests under way at once towards one host; more wait for their turn.
CONNECTIONS_PER_HOST = 32
# aiohttp pauses the socket at twice this: one upstream body never holds more in memory.
READ_BUFFER_BYTES = 256 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds towards one index: seconds, and bytes after decoding."""

    connect_seconds: float = 5.0
    idle_seconds: float = 30.0
    page_bytes: int = 128 * 1024 * 1024
    metadata_bytes: int = 8 * 1024 * 1024


class Connection:
    """How one index is reached. Safe for any number of tasks of one event loop.

    `authorization` gives the value of the Authorization header, or None; `reread` reads secrets
    anew and tells whether they changed (asked after a 401). `on_request(kind, outcome)` is told of
    each request that really leaves: outcome is a status code or "error".
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        limits: Limits,
        now: Callable[[], float] = time.time,
        authorization: Callable[[], str | None] = lambda: None,
        reread: Callable[[], bool] = lambda: False,
        on_request: Callable[[Kind, str], None] = lambda _kind, _outcome: None,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self.name = name
        self.url = URL(url, encoded=True)
        self.limits = limits
        self.health = Health(name, now)
        self._authorization = authorization
        self._reread = reread
        self._on_request = on_request
        # Pages and sidecars have connections of their own: slow files must not keep them waiting.
        self._sessions = {
            (files, fresh): self._session(tls, force_close=fresh)
            for files in (False, True)
            for fresh in (False, True)
        }

    @property
    def private(self) -> bool:
        """Whether this index is asked with credentials."""
        return self._authorization() is not None

    def _session(self, tls: ssl.SSLContext | bool, *, force_close: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=CONNECTIONS_PER_HOST, ssl=tls, force_close=force_close
        )
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self.limits.connect_seconds,
            sock_read=self.limits.idle_seconds,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            headers={"User-Agent": USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
            read_bufsize=READ_BUFFER_BYTES,
        )

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    async def read_some(self, answer: aiohttp.ClientResponse) -> bytes:
        """Return what has arrived of a body, at least one byte; empty at its clean end.

        Only reads are mapped to our errors: what the reader's own work raises is its own.
        """
        with mapped(self.name):
            return await answer.content.readany()

    @contextlib.asynccontextmanager
    async def request(
        self,
        kind: Kind,
        url: URL,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        decode: bool,
        fresh: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask `url`, following redirects; yield the answer, whatever its status.

        `fresh` dials a new connection: a kept-alive one would meet the same bad node again.
        Raises UpstreamUnavailableError, UpstreamAnswerError.
        """
        session = self._sessions[kind == "file", fresh]
        for _ in range(MAX_REDIRECTS + 1):
            sent_at = time.monotonic()
            answer = await self._ask(session, kind, method, url, headers, decode)
            try:
                if answer.status not in REDIRECTS:
                    if self._tells(kind):
                        self._observe(answer.status, time.monotonic() - sent_at)
                    yield answer
                    return
                url = self._target(url, answer)
            finally:
                # Back to the pool, unless a remainder was left unread: then it is closed.
                answer.release()
        raise UpstreamAnswerError(self.name, f"redirected more than {MAX_REDIRECTS} times")

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        kind: Kind,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        decode: bool,
    ) -> aiohttp.ClientResponse:
        for attempt in (1, 2):
            try:
                with mapped(self.name):
                    answer = await session.request(
                        method,
                        url,
                        headers=self._with_credentials(url, headers),
                        allow_redirects=False,
                        auto_decompress=decode,
                    )
            except UpstreamError as error:
                self._on_request(kind, "error")
                if self._tells(kind):
                    self.health.failed(error.reason)
                raise
            self._on_request(kind, str(answer.status))
            if answer.status != 401 or attempt == 2 or not self._reread():
                break
            answer.release()
        return answer

    def _with_credentials(self, url: URL, headers: Mapping[str, str]) -> dict[str, str]:
        merged = dict(headers)
        if url.origin() == self.url.origin():
            authorization = self._authorization()
            if authorization is not None:
                merged["Authorization"] = authorization
        return merged

    def _target(self, url: URL, answer: aiohttp.ClientResponse) -> URL:
        location = answer.headers.get("Location", "")
        try:
            target = url.join(URL(location, encoded=True)).with_fragment(None)
            fit = location and target.scheme in ("http", "https") and target.host
            target = target.with_user(None) if fit else target
        except ValueError as error:
            raise UpstreamAnswerError(self.name, "redirected to what is no URL") from error
        if not fit:
            raise UpstreamAnswerError(self.name, "redirected to what is no http address")
        return target

    def _tells(self, kind: Kind) -> bool:
        """Whether an answer speaks of the index: files may be gone, or on other hosts."""
        return kind == "page"

    def _observe(self, status: int, seconds: float) -> None:
        if status in (401, 403):
            self.health.failed(f"answered {status}: credentials missing or refused")
        elif status == 429 or (status >= 500 and status != 501):
            self.health.failed(f"answered {status}")
        else:
            self.health.succeeded(seconds)
