"""The door of the public listener: finds out who a client is, and turns away who may not connect.

It tells the log of them at most once a minute. What is decided by which networks is `clients`.
Nobody gets in who has come from here, through other caches.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDictProxy

from pypicached.chain import LOOP_HEADER, Chain
from pypicached.errors import ClientRefusedError
from pypicached.logs import event
from pypicached.networks import parse_address
from pypicached.web.clients import Client, Clients

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 60.0
HEADER = "X-Forwarded-For"


class Connection(RequestHandler):
    """One connection of the public listener, which remembers who is at its other end."""

    __slots__ = ("client", "judged_by")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # None while nobody has asked, and for ever where a trusted proxy speaks for many.
        self.client: Client | None = None
        self.judged_by: Clients | None = None


class Admission:
    """Asked once per request, before anything else is done. Single-threaded."""

    def __init__(
        self, clients: Clients, chain: Chain, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._chain = chain
        self._now = now
        self._told_at: float | None = None
        self._untold = 0
        self.apply(clients)

    def apply(self, clients: Clients) -> None:
        """Judge by other networks, from the next request on, on connections that stand too."""
        self._clients = clients
        # Whether anybody may be turned away.
        self.limited = clients.limited

    def enter(self, headers: CIMultiDictProxy[str]) -> None:
        """Note which caches a request has passed. Raises LoopError if this daemon was one."""
        self._chain.enter(", ".join(headers.getall(LOOP_HEADER, ())))

    def find(self, connection: Connection, headers: CIMultiDictProxy[str]) -> Client:
        """Return the client of a request with these headers."""
        if connection.client is not None and connection.judged_by is self._clients:
            return connection.client
        transport = connection.transport
        peer = None if transport is None else transport.get_extra_info("peername")
        client = self._clients.find(peer)
        if client.trusted:
            return self._clients.find(peer, headers.getall(HEADER, ()))
        connection.client, connection.judged_by = client, self._clients
        return client

    def check(self, client: Client) -> None:
        """Raise ClientRefusedError if this client may not connect."""
        if client.admitted:
            return
        self._untold += 1
        self._tell(client.address)
        shown = client.address or "of an unknown address"
        raise ClientRefusedError(f"client {shown} may not use this cache ([server] allow_from)")

    def _tell(self, address: str) -> None:
        """Log the refusals since the last such line, unless that is less than a minute ago."""
        now = self._now()
        if self._told_at is not None and now - self._told_at < SILENCE_SECONDS:
            return
        self._told_at = now
        number, self._untold = self._untold, 0
        requests = "1 request" if number == 1 else f"{number} requests"
        text = f"refused {requests} of clients that [server] allow_from does not name"
        event(logger, logging.WARNING, text, client=address)


def describe_open(listeners: Sequence[str], private: Sequence[str]) -> str | None:
    """Say so where whoever reaches a listener reads indexes that have credentials. Pure.

    `listeners` are addresses as `status` shows them, of a daemon without `allow_from`.
    """
    beyond = [where for where in listeners if not _is_local(where)]
    if not beyond or not private:
        return None
    names = f"index{'es' if len(private) > 1 else ''} {', '.join(private)}"
    return (
        f"whoever reaches {', '.join(beyond)} reads the {names} with our credentials: say in "
        "[server] allow_from who may"
    )


def _is_local(listener: str) -> bool:
    if listener.startswith("unix:"):
        return True
    address = parse_address(urlsplit(listener).hostname or "")
    return address is not None and address.is_loopback
