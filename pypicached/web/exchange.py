"""One request on its way: what handlers need to know of it, parsed once from the raw target.

Paths are taken from the raw target: decoding would fold `%2B` and `%2e%2e` into something else.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from pypicached import __version__
from pypicached.web.agents import agent_of
from pypicached.web.clients import Client

SERVER = f"pypicached/{__version__}"


class Exchange:
    """A request, its target, its id, and what is to be counted of it."""

    __slots__ = (
        "_client",
        "_find_client",
        "begun",
        "closing",
        "file_key",
        "id",
        "index",
        "kind",
        "path",
        "query",
        "request",
        "result",
        "up",
    )

    def __init__(
        self,
        request: web.BaseRequest,
        request_id: str,
        find_client: Callable[[web.BaseRequest], Client],
        *,
        closing: bool = False,
    ) -> None:
        self.request = request
        self.id = request_id
        self._find_client = find_client
        self._client: Client | None = None
        # The client should come back on another connection: the daemon is stopping; or it asked for
        # another protocol, and aiohttp may have dropped what it sent behind that (RFC 9110 §7.8).
        self.closing = closing or "Upgrade" in request.headers
        # The head of the answer has left: an error can only be told by breaking off.
        self.begun = False
        target = request.raw_path
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
        return self.request.method == "HEAD"

    @property
    def client(self) -> Client:
        """Who asks; looked up when somebody wants to know, as long as the connection is there."""
        if self._client is None:
            self._client = self._find_client(self.request)
        return self._client

    @property
    def agent(self) -> str:
        """Tool and version of the client, as it says."""
        return agent_of(self.request.headers.get("User-Agent"))

    def header(self, name: str) -> str | None:
        """Return a request header."""
        return self.request.headers.get(name)

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
