"""Addresses and networks: as people write them, and in the one form to compare them in. Pure.

An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is the IPv4 address that it stands for: a socket
that takes both kinds tells IPv4 clients that way. A zone (`%eth0`) is no part of an address.
"""

from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from pypicached.errors import quote

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

EXAMPLE = 'say e.g. "10.0.0.0/8", "192.0.2.7" or "fd00::/8"'
_MAPPED = IPv6Network("::ffff:0:0/96")
# The longest text of an IPv6 address; what is longer is none, and is not looked at.
_MAX_LENGTH = 45
# Some proxies add the client's port (RFC 7239 §6 has the brackets).
_WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}", re.ASCII)
_STAR = re.compile(r"((?:[0-9]{1,3}\.){1,3})\*(?:\.\*)*", re.ASCII)


def parse_address(text: str) -> Address | None:
    """Return the address that `text` is, with or without a port; None if it is none."""
    bare = text.partition("%")[0].strip()
    match = _WITH_PORT.fullmatch(bare)
    bare = (match[1] or match[2]) if match else bare
    if len(bare) > _MAX_LENGTH:
        return None
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return _unmapped(address)


def parse_network(text: str) -> Network:
    """Return the network (or the network of one address) that `text` is.

    ValueError says what is wrong, a semicolon, and what to write.
    """
    bare = text.strip()
    try:
        # A zone (RFC 4007 §11) would be compared, too: with it this is none.
        network = ipaddress.ip_network(bare.replace("%", " "))
    except ValueError:
        raise ValueError(_why_not(bare)) from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        inner = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        return IPv4Network((inner, network.prefixlen - 96))
    return network


def pack(address: Address) -> bytes:
    """Return 16 bytes that sort as addresses do; those of IPv4 are mapped ones."""
    mapped = isinstance(address, IPv4Address)
    return bytes(10) + b"\xff\xff" + address.packed if mapped else address.packed


def unpack(packed: bytes) -> Address:
    """Return the address that `pack` made these bytes of."""
    return _unmapped(IPv6Address(packed))


def ends_of(network: Network) -> tuple[bytes, bytes]:
    """Return the first and the last address of a network, packed."""
    return pack(network.network_address), pack(network.broadcast_address)


def _unmapped(address: Address) -> Address:
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if inner is None else inner


def _why_not(text: str) -> str:
    shown = quote(text)
    if "%" in text:
        return f"{shown} has a zone, which no client has here; {EXAMPLE}"
    try:
        wide = ipaddress.ip_network(text, strict=False)
    except ValueError:
        pass
    else:
        return f'{shown} is an address inside a network; say "{wide}", or the address alone'
    if text == "localhost":
        return f'{shown} is a name; say "127.0.0.0/8" and "::1"'
    star = _STAR.fullmatch(text)
    if star:
        octets = [*star[1].rstrip(".").split("."), "0", "0", "0"][:4]
        return f'{shown} is no network; say "{".".join(octets)}/{star[1].count(".") * 8}"'
    return f"{shown} is no network; {EXAMPLE}"
