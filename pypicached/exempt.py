"""NO_PROXY: the hosts that are asked directly, though there is a proxy. Pure.

No standard says what it looks like. Ours: names, each with all that is below it, addresses and
networks, separated by commas; `*` is every host. Ports are not looked at.
"""

from __future__ import annotations

from pypicached.networks import parse_address, parse_network


def is_exempt(host: str, exempt: str) -> bool:
    """Whether a host is one of those that a NO_PROXY says."""
    parts = (part.strip().lower() for part in exempt.split(","))
    return any(_matches(host.lower(), part) for part in parts if part)


def _matches(host: str, exempt: str) -> bool:
    name = exempt.removeprefix("*").lstrip(".")
    if exempt == "*" or (name and (host == name or host.endswith(f".{name}"))):
        return True
    address = parse_address(host)
    try:
        return address is not None and address in parse_network(exempt)
    except ValueError:
        return False
