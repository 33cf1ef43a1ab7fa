"""One index's connections: sessions, credentials, redirects, and counting what is sent.

Each index has a connector of its own, so that a pooled connection that carries credentials never
answers for another index. Credentials go to the origin that they were configured for, and nowhere
else, whatever redirects say (RFC 9110 §15.4 leaves that to the client).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from pypicached.chain import Chain, begin_anew
from pypicached.errors import (
    AddressRefusedError,
    NotFoundError,
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
from pypicached.upstream.retry_after import ask_again_in
from pypicached.upstream.sessions import Reach, Sessions

# What a request is for; counters are kept by it.
Kind = Literal["page", "file", "metadata"]
# Called in the last moment before a request is sent: raises where it is not to be by now, and
# returns whether a probe may ask for the same later.
MayAsk = Callable[[], bool]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
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


class _Asked(NamedTuple):
    """What does not change from one hop of a request to the next."""

    kind: Kind
    method: str
    headers: Mapping[str, str]
    decode: bool
    fresh: bool
    may_ask: MayAsk


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
        reach: Reach | None = None,
        offline: Offline | None = None,
        chain: Chain | None = None,
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
        self._chain = chain or Chain()
        self._closed = False
        self._head_seconds = limits.connect_seconds + limits.idle_seconds
        self._homing = asyncio.Lock()
        self._sessions = Sessions(
            self.url,
            reach or Reach(),
            connect_seconds=limits.connect_seconds,
            idle_seconds=limits.idle_seconds,
        )

    @property
    def private(self) -> bool:
        """Whether this index is asked with credentials."""
        return self._authorization() is not None

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return any(host.active for host in self.hosts)

    async def close(self) -> None:
        """Close every connection; from then on nothing is asked."""
        self._closed = True
        await self._sessions.close()

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
        may_ask: MayAsk = lambda: True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask `url`, following redirects; yield the answer, whatever its status.

        `fresh` dials a new connection: a kept-alive one would meet the same bad node again.
        `within` bounds all of it, the caller's reading included, in seconds. `may_ask` is called
        when it is this request's turn. Raises UpstreamUnavailableError, UpstreamAnswerError;
        UpstreamPausedError, OfflineError and what `may_ask` raises if nothing was asked.
        """
        asked = _Asked(kind, method, headers, decode, fresh, may_ask)
        until = None if within is None else asyncio.get_running_loop().time() + within
        for _ in range(MAX_REDIRECTS + 1):
            self._check_open()
            # A page is brought when its end is; a file's host is well when it begins to answer.
            turn = self.hosts.of(url).turn(url, files=kind == "file", by_head=kind != "page")
            async with turn as told, self._until(until):
                self._check_open()  # it may have waited for its turn
                answer = await self._ask(asked, url, told)
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

    def _check_open(self) -> None:
        if self._offline.on:
            raise OfflineError("upstreams are not asked")
        if self._closed:
            raise UpstreamUnavailableError(self.name, "its settings have changed")

    @contextlib.asynccontextmanager
    async def _until(self, moment: float | None) -> AsyncIterator[None]:
        """Give up on an upstream that drips: others wait for the same answer."""
        try:
            async with asyncio.timeout_at(moment):
                yield
        except TimeoutError as error:
            raise UpstreamTimeoutError(self.name, "did not finish its answer in time") from error

    async def _ask(self, asked: _Asked, url: URL, turn: Turn) -> aiohttp.ClientResponse:
        kind = asked.kind
        for attempt in (1, 2):
            if not asked.may_ask():
                turn.keep_from_probes()
            sent_at = time.monotonic()
            try:
                answer = await self._send(asked, url)
            except AddressRefusedError:
                # The first file after a start may be on a private host, before any page was asked.
                if attempt == 2 or not await self._find_home(url):
                    raise
                continue
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

    async def _send(self, asked: _Asked, url: URL) -> aiohttp.ClientResponse:
        # The client's own time-out begins anew with each byte, and a head may drip, too.
        with mapped(self.name):
            async with asyncio.timeout(self._head_seconds):
                return await self._sessions.send(
                    asked.method,
                    url,
                    self._with_credentials(url, {**asked.headers, **self._chain.headers()}),
                    files=asked.kind == "file",
                    fresh=asked.fresh,
                    decode=asked.decode,
                )

    async def _find_home(self, url: URL) -> bool:
        """Connect to the index itself, so that the guard learns where it lives.

        `url` was refused; returns whether it is worth asking for once more. Nothing is sent where
        that would not tell, or is known already.
        """
        guard = self._sessions.guard
        if guard.is_own(url):
            return False
        async with self._homing:
            if guard.learnable and self._sessions.goes_directly(self.url):
                headers = {"Accept-Encoding": "identity"}
                with contextlib.suppress(UpstreamError):
                    async with self.request("page", self.url, headers, method="HEAD", decode=False):
                        pass
        return guard.has_learned

    async def probe(self, url: URL) -> None:
        """Ask for something once more and read it, though not all of it; breaker and health hear.

        What is large enough has proved by then that it can be read.
        """
        # Its task was begun by some request, of which others know nothing.
        begin_anew()
        headers = {"Accept-Encoding": "identity"}
        read = 0
        host = self.hosts.of(url)
        epoch = host.epoch

        def may_ask() -> bool:
            if host.epoch != epoch:
                raise NotFoundError("what was asked is not to be asked again")
            return True

        with contextlib.suppress(UpstreamError, OfflineError, NotFoundError):
            async with self.request(
                "page", url, headers, decode=False, within=self._head_seconds, may_ask=may_ask
            ) as answer:
                while read < PROBE_BYTES and (data := await self.read_some(answer)):
                    read += len(data)
            if answer.status not in (401, 403):
                self.health.admitted()

    def failure_of(
        self, answer: aiohttp.ClientResponse, what: str = ""
    ) -> UpstreamUnavailableError | None:
        """Return the error of an answer that says "not now" (429, 5xx), None for any other.

        501 is no outage: such a host does not know the method (RFC 9110 §15.6.2); nor is 508.
        """
        status = answer.status
        if status != 429 and (status < 500 or status in (501, 508)):
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
