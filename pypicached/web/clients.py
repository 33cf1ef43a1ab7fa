"""Who a client is, and whether it may connect, by its connection and X-Forwarded-For. Pure.

A proxy that is trusted appends the address that it was asked from, so the header is believed from
its right end, one hop for each trusted one: what a client wrote itself stands further left. What is
no address ends the walk at the last hop that is known. A client of a Unix socket runs on this host
(behind a proxy, that is the proxy): it counts as 127.0.0.1, and is called "unix".
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from pypicached.networks import Address, Network, parse_address

UNIX = "unix"
# Of a connection that is gone before anybody has looked; it is nobody's.
UNKNOWN = ""
# More proxies than this in a row are none; bounds what one request may cost.
MAX_HOPS = 16


class Client(NamedTuple):
    """One hop: its address as people write it, and what the settings say of it."""

    address: str
    trusted: bool
    admitted: bool


class Clients:
    """Judges by two lists of networks; without an `allowed` one everybody is admitted."""

    def __init__(self, *, trusted: Sequence[Network], allowed: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self._allowed = tuple(allowed)
        # Whether anybody is not admitted.
        self.limited = bool(allowed)

    def find(self, peer: object, forwarded: Sequence[str] = ()) -> Client:
        """Return the client at the far end of the trusted hops.

        `peer` is what getpeername(2) says: a tuple with an address first, text or bytes of a Unix
        socket, None of a connection that is gone. `forwarded` are all X-Forwarded-For headers.
        """
        hop = self._judge_peer(peer)
        if not hop.trusted or not forwarded:
            return hop
        for text in reversed(",".join(forwarded).rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            address = parse_address(text)
            if address is None:
                break
            hop = self._judge(str(address), address)
            if not hop.trusted:
                break
        return hop

    def _judge_peer(self, peer: object) -> Client:
        # A path that a Unix client has bound itself to may look like an address: only the kind of
        # the peer tells.
        if isinstance(peer, str | bytes):
            return self._judge(UNIX, IPv4Address("127.0.0.1"))
        address = parse_address(str(peer[0])) if isinstance(peer, tuple) else None
        if address is None:
            return Client(UNKNOWN, trusted=False, admitted=not self._allowed)
        return self._judge(str(address), address)

    def _judge(self, name: str, address: Address) -> Client:
        return Client(
            name,
            any(address in network for network in self._trusted),
            not self._allowed or any(address in network for network in self._allowed),
        )
