"""What kind of place an IP address is, however it is spelled, and which names tell it. Pure.

The kinds follow the special-purpose registries (RFC 6890 and its updates): `public`, `private`
(RFC 1918, RFC 4193), `shared` (behind a provider's NAT, RFC 6598; benchmarks), `documentation`
(RFC 5737, RFC 3849: closed networks use them as if they were private), `loopback`, `link-local`
(RFC 3927, RFC 4291, and the addresses at which clouds hand out credentials), and `reserved` (no
host of anybody's: unspecified, multicast, future use). No look-up and no socket is made here.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network
from typing import Literal

from pypicached.networks import Address, Network

Kind = Literal["public", "private", "shared", "documentation", "loopback", "link-local", "reserved"]

# First match wins, so what is more particular stands first.
_BLOCKS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (
        "link-local",
        (
            "169.254.0.0/16",
            "100.100.100.200/32",  # metadata of Alibaba's cloud, inside the shared block
            "168.63.129.16/32",  # the host of an Azure machine, a public number
            "192.0.0.192/32",  # metadata of Oracle's classic cloud
            "fe80::/10",
            "fd00:ec2::/32",  # services of an Amazon host: metadata is ::254
            "fd20:ce::254/128",  # metadata of Google's cloud
        ),
    ),
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("shared", ("100.64.0.0/10", "198.18.0.0/15")),
    (
        "private",
        # RFC 3879: site-local addresses; RFC 8215: a network's own translation prefix.
        (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fc00::/7",
            "fec0::/10",
            "64:ff9b:1::/48",
        ),
    ),
    (
        "documentation",
        (
            "192.0.2.0/24",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "2001:db8::/32",
            "3fff::/20",  # RFC 9637
        ),
    ),
    (
        "reserved",
        (
            "0.0.0.0/8",  # Linux connects to this host
            "192.0.0.0/24",
            "192.88.99.0/24",
            "224.0.0.0/3",
            "2001::/23",
        ),
    ),
    # RFC 4291 §2.4: so far only this eighth of IPv6 is given out.
    ("public", ("0.0.0.0/0", "2000::/3")),
    ("reserved", ("::/0",)),
)
_TABLE: tuple[tuple[Network, Kind], ...] = tuple(
    (ip_network(block), kind) for kind, blocks in _BLOCKS for block in blocks
)
# IPv6 whose last 32 bits are an IPv4 address: compatible and mapped (RFC 4291 §2.5.5), translated
# (RFC 2765 §2.1), NAT64 (RFC 6052 §2.1).
_EMBEDDING = tuple(
    IPv6Network(block) for block in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
_SIX_TO_FOUR = IPv6Network("2002::/16")  # RFC 3056 §2
_TEREDO = IPv6Network("2001::/32")  # RFC 4380 §4
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})  # RFC 5214 §6.1

# Names that no public name server answers for, so that nobody outside can say what they are: one
# label, RFC 6761, RFC 6762, RFC 8375, `internal` (reserved by ICANN), and what RFC 6762 appendix G
# says is in use for private networks.
_INSIDE = frozenset(
    {"localhost", "test", "example", "invalid", "local", "internal"}
    | {"intranet", "private", "corp", "home", "lan"}
)
# What inet_aton(3) takes as a number: decimal, octal, hexadecimal.
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}")


def kind_of(address: Address) -> Kind:
    """Return what an address is by itself; what it may stand for is for `meanings`."""
    return next(kind for network, kind in _TABLE if address in network)


def is_all(network: Network, kind: Kind) -> bool:
    """Whether a network lies within one block of a kind: that kind is what it is written for."""
    blocks = (block for block, its_kind in _TABLE if its_kind == kind)
    return any(_holds(block, network) for block in blocks)


def _holds(block: Network, network: Network) -> bool:
    return (
        block.version == network.version
        and network.network_address in block
        and network.broadcast_address in block
    )


def meanings(address: Address) -> Sequence[Address]:
    """Return the addresses that packets to `address` may end at: those it embeds, else itself."""
    if isinstance(address, IPv4Address):
        return (address,)
    number = int(address)
    if any(address in network for network in _EMBEDDING) and number > 1:
        return (IPv4Address(number & 0xFFFF_FFFF),)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & 0xFFFF_FFFF),)
    if address in _TEREDO:
        # The relay's server, and the client with every bit turned over.
        server, client = number >> 64 & 0xFFFF_FFFF, ~number & 0xFFFF_FFFF
        return (IPv4Address(server), IPv4Address(client))
    if number >> 32 & 0xFFFF_FFFF in _ISATAP:
        return (address, IPv4Address(number & 0xFFFF_FFFF))
    return (address,)


def socket_address(text: str) -> Address:
    """Return an address as a socket has it, without its scope id. Raises ValueError."""
    return ip_address(text.partition("%")[0])


def literal(host: str) -> Address | None:
    """Return the address that a URL's host is, in any spelling that a C library takes; or None.

    `2130706433`, `0177.0.0.1`, `0x7f.1`, `127.1.` and `[::1%lo]` are addresses too (inet_aton(3)).
    """
    bare = plain(host).strip("[]")
    try:
        return socket_address(bare)
    except ValueError:
        pass
    if _NUMBERS.fullmatch(bare) is None:
        return None
    try:
        return IPv4Address(socket.inet_aton(bare))
    except OSError:
        return None


def is_localhost(host: str) -> bool:
    """Whether a name is this host by definition (RFC 6761 §6.3)."""
    return _labels(host)[-1] == "localhost"


def is_inside(host: str) -> bool:
    """Whether a name can only be known inside: no public name server answers for it."""
    labels = _labels(host)
    return len(labels) == 1 or labels[-1] in _INSIDE or labels[-2:] == ["home", "arpa"]


def plain(host: str) -> str:
    """Return a host in one spelling: what IDNA folds to digits are digits (RFC 3490 §3.1)."""
    folded = unicodedata.normalize("NFKC", host).replace("\N{IDEOGRAPHIC FULL STOP}", ".")
    return folded.rstrip(".").lower()


def _labels(host: str) -> list[str]:
    return plain(host).split(".")
