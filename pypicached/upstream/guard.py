"""The address guard: which addresses an index may lead us to (CONFORMANCE.md rule 62).

It is asked for each address in the moment its socket is made, so that the address judged is the
one connected to, whatever a name server says from one look-up to the next. Public addresses are
open to all. Beyond them:

- What the operator wrote down is connected to: an index's own literal address, `allow_addresses`.
- Link-local, metadata and reserved addresses are open to nothing else.
- An index's own host may be on a private address: on a loopback one only if its name can be known
  only inside, or if it speaks TLS. Once its name has led to a public address, it may no longer:
  that is how DNS rebinding looks.
- Other hosts may be where the index is known to live: at its literal address, at `localhost`, or
  where a connection to its own host came about whose name is one for inside, or whose certificate
  proved it. What a name server says is no proof, and neither is an answer in clear.

Names behind an HTTP proxy are resolved by the proxy: there only literal addresses can be judged.
Nothing here looks up names or opens connections.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from yarl import URL

from pypicached.networks import Address, Network
from pypicached.upstream.addresses import (
    Kind,
    is_all,
    is_inside,
    is_localhost,
    kind_of,
    literal,
    meanings,
    plain,
    socket_address,
)

# Open to nobody who is not named by the operator: no index lives there by chance.
_NEVER: frozenset[Kind] = frozenset({"link-local", "reserved"})


class RefusedAddressError(OSError):
    """The guard refuses an address; an OSError, so that a name's other addresses are tried."""

    def __init__(self, address: Address, kind: Kind) -> None:
        # The same words for all: the HTTP client merges different ones into an error of its own.
        super().__init__(errno.EACCES, "refused by the address guard")
        self.address = address
        self.kind = kind


class Guard:
    """One index's. Single-threaded. Learns where the index lives, and forgets it with the process.

    `own` is the index's URL; `allowed` are the operator's exceptions, for all that it leads to.
    """

    def __init__(self, own: URL, allowed: Iterable[Network] = ()) -> None:
        self._url = own
        self._allowed = tuple(allowed)
        self._host = _host(own)
        self._literal = literal(self._host)
        self._inside = is_inside(self._host)
        # Where the index is known to live, by its URL or by `connected`, and whether its name has
        # led to a public address.
        self._homes: set[Kind] = set()
        self.has_learned = False
        self._was_public = False
        if self._literal is not None:
            self._homes.update(kind_of(one) for one in meanings(self._literal))
        elif is_localhost(self._host):
            self._homes.add("loopback")

    def is_own(self, url: URL) -> bool:
        """Whether a URL is at the index's own host: its own port, or any that proves itself."""
        if _host(url) != self._host:
            return False
        same = (url.scheme, url.port) == (self._url.scheme, self._url.port)
        return same or url.scheme == "https"

    @property
    def learnable(self) -> bool:
        """Whether a connection to the index's own URL would tell for the first time where it is."""
        unknown = not self._homes and not self._was_public and self._literal is None
        return unknown and (self._inside or self._url.scheme == "https")

    def check(self, text: str, *, own: bool, tls: bool) -> None:
        """Raise RefusedAddressError unless this may be connected to, now.

        `own`: for a URL of the index's own host; `tls`: what answers has to prove its name.
        """
        for address in meanings(socket_address(text)):
            kind = kind_of(address)
            self._was_public = self._was_public or (own and kind == "public")
            if not (self._is_open(address, kind) or (own and self._is_believed(kind, tls=tls))):
                raise RefusedAddressError(address, kind)

    def check_host(self, url: URL) -> None:
        """Raise RefusedAddressError for a URL that a proxy is to fetch, as far as it tells."""
        host = _host(url)
        address = literal(host)
        if address is not None:
            self.check(str(address), own=self.is_own(url), tls=url.scheme == "https")
        elif is_localhost(host) and host != self._host:
            self.check("127.0.0.1", own=False, tls=False)

    def connected(self, text: str, *, own: bool, tls: bool) -> None:
        """A connection came about, and its certificate is good where it has one: learn from it."""
        if own and (tls or self._inside):
            for address in meanings(socket_address(text)):
                kind = kind_of(address)
                if kind not in _NEVER and kind not in self._homes:
                    self._homes.add(kind)
                    self.has_learned = True

    def _is_open(self, address: Address, kind: Kind) -> bool:
        """Whether an address is open to all that the index leads to."""
        if kind == "public" or self._is_named(address):
            return True
        if kind in _NEVER:
            return any(address in network and is_all(network, kind) for network in self._allowed)
        return kind in self._homes or any(address in network for network in self._allowed)

    def _is_named(self, address: Address) -> bool:
        return self._literal is not None and address in meanings(self._literal)

    def _is_believed(self, kind: Kind, *, tls: bool) -> bool:
        """Whether the index's own name may have led here."""
        if kind in _NEVER:
            return False
        if self._inside:
            return True
        return not self._was_public and (tls or kind != "loopback")


def _host(url: URL) -> str:
    return plain(url.host or "")
