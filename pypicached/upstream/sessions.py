"""The HTTP client's sessions of one index: which connections may answer for which URL.

What differs in trust or purpose never shares a connection: pages and files, the index's own host
and others, what is asked directly and through a proxy. The address guard sits where sockets are
made; towards a proxy, which is the operator's word, it can only judge the URL.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace
from yarl import URL

from pypicached import __version__
from pypicached.networks import Network
from pypicached.upstream.guard import Guard
from pypicached.upstream.interim import bound_interim
from pypicached.upstream.proxies import Proxies
from pypicached.upstream.resolver import Lookup, Resolver

USER_AGENT = f"pypicached/{__version__}"
# aiohttp pauses the socket at twice this: one upstream body never holds more in memory.
READ_BUFFER_BYTES = 256 * 1024

# What makes a socket: family, type, protocol.
MakeSocket = Callable[[int, int, int], socket.socket]


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """By what an index and its files are reached; the last two are the network itself.

    `tls` is for everybody, `own_tls` (with a client certificate) for the index's own origin;
    `allow_addresses` are the exceptions of the address guard.
    """

    tls: ssl.SSLContext | bool = True
    own_tls: ssl.SSLContext | bool = True
    proxies: Proxies = Proxies()
    allow_addresses: tuple[Network, ...] = ()
    lookup: Lookup = socket.getaddrinfo
    make_socket: MakeSocket = socket.socket


class _Way(NamedTuple):
    """What tells one session from another."""

    files: bool
    # Dials anew for each request: a kept-alive connection would meet the same bad node again.
    fresh: bool
    proxied: bool
    # At the index's own host, as the guard sees it, and at the very origin of its credentials.
    own_host: bool
    own_origin: bool
    tls: bool


class Sessions:
    """Opened as they are needed; closed together. Used by one event loop."""

    def __init__(
        self, own: URL, reach: Reach, *, connect_seconds: float, idle_seconds: float
    ) -> None:
        self._origin = own.origin()
        self._reach = reach
        self.guard = Guard(own, reach.allow_addresses)
        self._resolver = Resolver(connect_seconds, reach.lookup)
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_seconds, sock_read=idle_seconds
        )
        self._opened: dict[_Way, aiohttp.ClientSession] = {}

    async def send(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        *,
        files: bool,
        fresh: bool,
        decode: bool,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the head of its answer; redirects are not followed.

        Raises what the HTTP client raises, and RefusedAddressError.
        """
        proxy = self._reach.proxies.of(url)
        sent, more = dict(headers), dict[str, Any]()
        if proxy is not None:
            self.guard.check_host(url)
            more["proxy"] = proxy.url
            # Inside TLS it would reach the index: then it belongs to the CONNECT request.
            told = more.setdefault("proxy_headers", {}) if url.scheme == "https" else sent
            if proxy.authorization is not None:
                told["Proxy-Authorization"] = proxy.authorization
        session = self._session(url, files=files, fresh=fresh, proxied=proxy is not None)
        return await session.request(
            method, url, headers=sent, allow_redirects=False, auto_decompress=decode, **more
        )

    def goes_directly(self, url: URL) -> bool:
        """Whether a URL is asked without a proxy."""
        return self._reach.proxies.of(url) is None

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(session.close() for session in self._opened.values()))

    def _session(
        self, url: URL, *, files: bool, fresh: bool, proxied: bool
    ) -> aiohttp.ClientSession:
        way = _Way(
            files,
            fresh,
            proxied,
            self.guard.is_own(url),
            url.origin() == self._origin,
            url.scheme == "https",
        )
        if way not in self._opened:
            self._opened[way] = self._open(way)
        return self._opened[way]

    def _open(self, way: _Way) -> aiohttp.ClientSession:
        # How many connections there may be is bounded by the turns of `hosts`.
        connector = _Connector(
            None if way.proxied else self.guard,
            way,
            limit=0,
            ssl=self._reach.own_tls if way.own_origin else self._reach.tls,
            force_close=way.fresh,
            resolver=self._resolver,
            make_socket=self._reach.make_socket,
        )
        return aiohttp.ClientSession(
            connector=bound_interim(connector),
            timeout=self._timeout,
            headers={"User-Agent": USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # see `proxies`
            read_bufsize=READ_BUFFER_BYTES,
        )


class _Connector(aiohttp.TCPConnector):
    """Asks the guard for each address, and tells it what came about; None: towards a proxy."""

    def __init__(
        self, guard: Guard | None, way: _Way, *, make_socket: MakeSocket, **options: Any
    ) -> None:
        # Called for every address, those that stand in a URL as such too.
        super().__init__(socket_factory=self._socket_for, **options)
        self._guard = guard
        self._way = way
        self._make_socket = make_socket

    def _socket_for(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if self._guard is not None:
            self._guard.check(address[0], own=self._way.own_host, tls=self._way.tls)
        return self._make_socket(family, kind, protocol)

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        transport = connection.transport
        peer = None if transport is None else transport.get_extra_info("peername")
        if self._guard is not None and peer:
            self._guard.connected(peer[0], own=self._way.own_host, tls=self._way.tls)
        return connection
