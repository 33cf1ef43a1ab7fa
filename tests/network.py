"""A network of the test's own: which addresses names have, and where dialled addresses end up.

The daemon's look-ups and sockets are its true edge. Here names have the addresses that the test
gives them, and every socket leads to loopback, so that the daemon believes to live in a wide world
of which nothing is ever asked.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

import pytest

from pypicached import reach
from pypicached.upstream import Reach

PUBLIC = "8.8.8.8"


class Network:
    """`names` maps a name to its addresses, or to a list of answers for one look-up after another.

    `dialled` are the addresses that were connected to. Where they lead on loopback is their port.
    """

    def __init__(self) -> None:
        self.names: dict[str, str | list[str]] = {}
        self.dialled: list[str] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let daemons that start from now on live in this network."""
        partial_reach = partial(Reach, lookup=self.look_up, make_socket=self.make_socket)
        monkeypatch.setattr(reach, "Reach", partial_reach)

    def look_up(self, host: str, port: int, *_: int) -> list[tuple[Any, ...]]:
        """Answer as socket.getaddrinfo does, for the names given and for odd numbers."""
        known = self.names.get(host.rstrip(".").lower())
        if isinstance(known, list):
            known = known.pop(0) if len(known) > 1 else known[0]
        if known is None:
            # Spellings of addresses, which the C library knows; no name server is asked.
            return list(socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in known.split()]

    def make_socket(self, *how: int) -> socket.socket:
        """Return a socket that believes to connect to where it is told."""
        return _Socket(self, *how)


class _Socket(socket.socket):
    __slots__ = ("_network", "_peer")

    def __init__(self, network: Network, family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self._network = network
        self._peer: Any = None

    def connect(self, address: Any) -> None:
        """Connect to the port on loopback, whatever the address."""
        self._peer = address
        self._network.dialled.append(address[0])
        super().connect(("127.0.0.1" if self.family == socket.AF_INET else "::1", address[1]))

    def getpeername(self) -> Any:
        """Return the address that was asked for."""
        return self._peer
