"""Listening addresses: "HOST:PORT", "[IPV6]:PORT" and "unix:/path". Pure; resolves no name."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

# sockaddr_un.sun_path has 108 bytes, one of them for the final NUL (unix(7)).
_MAX_SOCKET_PATH_BYTES = 107
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)


def split_listen(text: str) -> tuple[str, int] | Path:
    """Return `(host, port)`, the host without brackets, or the path of a Unix socket.

    Port 0 lets the kernel choose. ValueError says what is wrong, a semicolon, and what to write.
    """
    if text.startswith("unix:"):
        path = Path(text.removeprefix("unix:"))
        check_socket_path(path)
        return path
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"has no port; {_suggest(text)}")
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65_535:
        raise ValueError(f"what follows its last colon is no port; {_suggest(text)}")
    if not host or host == "*":
        raise ValueError(f'has no host; say "127.0.0.1:{port}", or "0.0.0.0:{port}" for everybody')
    return _checked_host(host), int(port)


def find_own(url: str, listen: Iterable[str]) -> str | None:
    """Return the listening address at which a URL arrives on this host, or None.

    What a host's name stands for is not looked up, except for the one that is always the same.
    """
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for text in listen:
        where = split_listen(text)
        if isinstance(where, Path) or where[1] != port:
            continue
        own = "127.0.0.1" if where[0] == "localhost" else where[0]
        if own == host or (own in ("0.0.0.0", "::") and _is_loopback(host)):  # noqa: S104
            return text
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_socket_path(path: Path) -> None:
    """Raise ValueError if a Unix socket cannot be at `path`."""
    if not path.is_absolute():
        raise ValueError(f"{path} is not an absolute path")
    length = len(os.fsencode(path))
    if length > _MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"a socket path has at most {_MAX_SOCKET_PATH_BYTES} bytes; this one has {length}"
        )


def _checked_host(host: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare:
        return _checked_ipv6(host, bare)
    # An all-digit name with a wrong number in it was meant as an address.
    if re.fullmatch(r"[0-9.]+", bare, re.ASCII):
        _address(bare)
    elif host != bare or _HOST.fullmatch(bare) is None:
        raise ValueError('is no address; say e.g. "127.0.0.1:3143"')
    return bare


def _checked_ipv6(host: str, bare: str) -> str:
    _address(bare)
    if host == bare:
        raise ValueError("is ambiguous; put an IPv6 address into brackets: [::1]:3143")
    return bare


def _address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("is no IP address; say e.g. 127.0.0.1:3143 or [::1]:3143") from None


def _suggest(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) and int(text) <= 65_535:
        return f'say "127.0.0.1:{text}"'
    return 'say e.g. "127.0.0.1:3143"'
