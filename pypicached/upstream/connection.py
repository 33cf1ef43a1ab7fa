"""One index's connections: sessions, credentials, redirects, and counting what is sent.

Each index has a connector of its own, so that a pooled connection that carries credentials never
answers for another index. Credentials go to the origin that they were configured for, and nowhere
else, whatever redirects say (RFC 9110 §15.4 leaves that to the client).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal

import aiohttp
import msgspec
from yarl import URL

from pypicached import __version__
from pypicached.errors import (
    OfflineError,
    UpstreamAnswerError,
    UpstreamBusyError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from pypicached.upstream.health import Health
from pypicached.upstream.hosts import Hosts, Turn
from pypicached.upstream.offline import Offline
from pypicached.upstream.reasons import mapped
from pypicached.upstream.resolver import Lookup, Resolver
from pypicached.upstream.retry_after import ask_again_in

# What a request is for; counters are kept by it.
Kind = Literal["page", "file", "metadata"]

USER_AGENT = f"pypicached/{__version__}"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
# aiohttp pauses the socket at twice this: one upstream body never holds more in memory.
READ_BUFFER_BYTES = 256 * 1024
# A probe reads as much, and a page whole that has less.
PROBE_BYTES = 1024 * 1024
# What a 429 without Retry-After asks for.
ASK_AGAIN_SECONDS = 1.0


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
        lookup: Lookup = socket.getaddrinfo,
        offline: Offline | None = None,
    ) -> None:
        self.name = name
        self.url = URL(url, encoded=True)
        self.limits = limits
        self.hosts = Hosts(name, self.url, now)
        self._offline = offline or Offline()
        self.health = Health(self.hosts, self._offline, now)
        self._now = now
        self._authorization = authorization
        self._reread = reread
        self._on_request = on_request
        self._head_seconds = limits.connect_seconds + limits.idle_seconds
        self._resolver = Resolver(limits.connect_seconds, lookup)
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
        # How many there may be is bounded by the turns of `hosts`.
        connector = aiohttp.TCPConnector(
            limit=0, ssl=tls, force_close=force_close, resolver=self._resolver
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
        within: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask `url`, following redirects; yield the answer, whatever its status.

        `fresh` dials a new connection: a kept-alive one would meet the same bad node again.
        `within` bounds all of it, the caller's reading included, in seconds. Raises
        UpstreamUnavailableError, UpstreamAnswerError; UpstreamPausedError and OfflineError if
        nothing was asked.
        """
        session = self._sessions[kind == "file", fresh]
        until = None if within is None else asyncio.get_running_loop().time() + within
        for _ in range(MAX_REDIRECTS + 1):
            self._check_online()
            # A page is brought when its end is; a file's host is well when it begins to answer.
            turn = self.hosts.of(url).turn(url, files=kind == "file", by_head=kind != "page")
            async with turn as told, self._until(until):
                self._check_online()  # it may have waited for its turn
                answer = await self._ask(session, kind, method, url, headers, decode, told)
                try:
                    if answer.status not in REDIRECTS:
                        yield answer
                        return
                    url = self._target(url, answer)
                finally:
                    # Back to the pool, unless a remainder was left unread: then it is closed.
                    answer.release()
        raise UpstreamAnswerError(self.name, f"redirected more than {MAX_REDIRECTS} times")

    @property
    def offline(self) -> bool:
        """Whether nothing is asked, by the operator's word."""
        return self._offline.on

    def _check_online(self) -> None:
        if self._offline.on:
            raise OfflineError("upstreams are not asked")

    @contextlib.asynccontextmanager
    async def _until(self, moment: float | None) -> AsyncIterator[None]:
        """Give up on an upstream that drips: others wait for the same answer."""
        try:
            async with asyncio.timeout_at(moment):
                yield
        except TimeoutError as error:
            raise UpstreamTimeoutError(self.name, "did not finish its answer in time") from error

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        kind: Kind,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        decode: bool,
        turn: Turn,
    ) -> aiohttp.ClientResponse:
        for attempt in (1, 2):
            sent_at = time.monotonic()
            try:
                # The client's own time-out begins anew with each byte, and a head may drip, too.
                with mapped(self.name):
                    async with asyncio.timeout(self._head_seconds):
                        answer = await session.request(
                            method,
                            url,
                            headers=self._with_credentials(url, headers),
                            allow_redirects=False,
                            auto_decompress=decode,
                        )
            except UpstreamError:
                self._on_request(kind, "error")
                raise
            self._on_request(kind, str(answer.status))
            if answer.status != 401 or attempt == 2 or not self._reread():
                break
            answer.release()
        seconds = time.monotonic() - sent_at
        turn.answered(seconds, self.failure_of(answer), had=answer.status < 400)
        return answer

    async def probe(self, url: URL) -> None:
        """Ask for something once more and read it, though not all of it; breaker and health hear.

        What is large enough has proved by then that it can be read.
        """
        headers = {"Accept-Encoding": "identity"}
        read = 0
        with contextlib.suppress(UpstreamError, OfflineError):
            async with self.request(
                "page", url, headers, decode=False, within=self._head_seconds
            ) as answer:
                while read < PROBE_BYTES and (data := await self.read_some(answer)):
                    read += len(data)
            if answer.status not in (401, 403):
                self.health.admitted()

    def failure_of(
        self, answer: aiohttp.ClientResponse, what: str = ""
    ) -> UpstreamUnavailableError | None:
        """Return the error of an answer that says "not now" (429, 5xx), None for any other.

        501 is no outage: such a host does not know the method (RFC 9110 §15.6.2).
        """
        status = answer.status
        if status != 429 and (status < 500 or status == 501):
            return None
        seconds = ask_again_in(answer.headers.get("Retry-After"), self._now())
        reason = f"answered {status}{what}"
        if status == 429:
            # RFC 6585 §4: meant for this client as such, whatever it asks for.
            return UpstreamBusyError(self.name, reason, retry_after=seconds or ASK_AGAIN_SECONDS)
        return UpstreamUnavailableError(self.name, reason, retry_after=seconds)

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
