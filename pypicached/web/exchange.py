"""One request on its way: what handlers need to know of it, parsed once from the raw target.

Paths are taken from the raw target: decoding would fold `%2B` and `%2e%2e` into something else.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from pypicached import __version__
from pypicached.web.admission import Connection
from pypicached.web.agents import agent_of
from pypicached.web.clients import Client

SERVER = f"pypicached/{__version__}"

Headers = CIMultiDictProxy[str]
FindClient = Callable[[Connection, Headers], Client]


class Whole:
    """An answer whose body is at hand: it can be sent in one piece."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: CIMultiDict[str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def response(self) -> web.Response:
        """Return it as aiohttp wants it."""
        return web.Response(status=self.status, headers=self.headers, body=self.body)


class Asked:
    """What a request asks for, its id, and what is to be counted of it."""

    __slots__ = (
        "_client",
        "_find_client",
        "closing",
        "connection",
        "file_key",
        "headers",
        "id",
        "index",
        "kind",
        "method",
        "path",
        "query",
        "result",
        "up",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: Headers,
        request_id: str,
        connection: Connection,
        find_client: FindClient,
        *,
        closing: bool = False,
    ) -> None:
        self.method = method
        self.headers = headers
        self.id = request_id
        self.connection = connection
        self._find_client = find_client
        self._client: Client | None = None
        # The client should come back on another connection: the daemon is stopping; or it asked for
        # another protocol, and aiohttp may have dropped what it sent behind that (RFC 9110 §7.8).
        self.closing = closing or "Upgrade" in headers
        if not target.startswith("/"):
            # Absolute form (RFC 9112 §3.2.2), as sent to proxies: its authority is not our matter.
            _, _, rest = target.partition("://")
            target = "/" + rest.partition("/")[2]
        self.path, _, self.query = target.partition("?")
        # How many directories the target is below the root of this server, for relative links.
        self.up = "../" * (self.path.count("/") - 1)
        self.kind = "other"
        self.index = ""
        # Of a file, or a sidecar, that is asked for: the file's key (`simple.urls`).
        self.file_key = ""
        self.result = ""

    @property
    def bodiless(self) -> bool:
        """Whether only headers are wanted."""
        return self.method == "HEAD"

    @property
    def client(self) -> Client:
        """Who asks; looked up when somebody wants to know, as long as the connection is there."""
        if self._client is None:
            self._client = self._find_client(self.connection, self.headers)
        return self._client

    @property
    def agent(self) -> str:
        """Tool and version of the client, as it says."""
        return agent_of(self.headers.get("User-Agent"))

    def header(self, name: str) -> str | None:
        """Return a request header."""
        return self.headers.get(name)


class Exchange(Asked):
    """A request that aiohttp handles, and its answer on its way."""

    __slots__ = ("begun", "request")

    def __init__(
        self,
        request: web.BaseRequest,
        request_id: str,
        find_client: FindClient,
        *,
        closing: bool = False,
    ) -> None:
        connection = request.protocol
        assert isinstance(connection, Connection)
        super().__init__(
            request.method,
            request.raw_path,
            request.headers,
            request_id,
            connection,
            find_client,
            closing=closing,
        )
        self.request = request
        # The head of the answer has left: an error can only be told by breaking off.
        self.begun = False

    def sign(self, response: web.StreamResponse) -> None:
        """Put on what every answer carries."""
        response.headers["X-Request-Id"] = self.id
        response.headers["Server"] = SERVER
        if self.closing:
            response.force_close()

    async def prepare(self, response: web.StreamResponse) -> None:
        """Send the head of an answer whose body follows piece by piece."""
        self.sign(response)
        self.begun = True
        try:
            await response.prepare(self.request)
        except ConnectionError as error:
            raise ClientGoneError from error


class ClientGoneError(Exception):
    """The client closed the connection, or has not read for too long."""
