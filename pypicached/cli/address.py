"""The address that clients are given, taken apart; and whether a proxy stands in the way. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

DEFAULT_BASE = "http://127.0.0.1:3143"
# A listener on every address is reached from its own host by the loopback of that family.
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1", "*": "127.0.0.1"}  # noqa: S104


@dataclass(frozen=True)
class Address:
    """Where an index is: `host` without brackets, `path` ends with "/simple/"."""

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def netloc(self) -> str:
        """Host and port as they stand in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def index_url(self) -> str:
        """The Simple API's root, with its closing slash."""
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def unnamed_port(self) -> str:
        """What to say where a URL leaves the port out, and so means another than ours; else ""."""
        if self.port is not None:
            return ""
        port = 80 if self.scheme == "http" else 443
        return f"port {port}, as the URL names none; pypicached's is 3143"

    @property
    def is_loopback(self) -> bool:
        """Whether clients on this very host only can use it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def needs_trust(self) -> bool:
        """Whether pip and PDM refuse it until told to trust it: plain HTTP beyond loopback."""
        return self.scheme == "http" and not self.is_loopback

    def at(self, host: str) -> Address:
        """Return the same place by another name of its host."""
        return Address(self.scheme, host, self.port, self.path)


def parse_address(url: str) -> Address:
    """Return the address for a base URL or an index URL; ValueError with a reason."""
    text = url if "://" in url else f"http://{url}"
    if not text.isascii() or not text.isprintable() or any(c in text for c in " \"'`$\\<>"):
        raise ValueError("has characters that no URL has")
    if re.match(r"https?:(?!//)", url, re.IGNORECASE):
        raise ValueError("has no // behind its http:")
    parts, port = _split(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError("is neither http nor https")
    if "@" in parts.netloc:
        raise ValueError("has credentials in it; a command line can be read by everybody")
    if not parts.hostname or parts.query or parts.fragment:
        raise ValueError("needs a host, and neither query nor fragment")
    path = parts.path.rstrip("/")
    if not path.endswith("/simple"):
        path += "/simple"
    return Address(parts.scheme, parts.hostname, port, f"{path}/")


def _split(text: str) -> tuple[SplitResult, int | None]:
    """Return a URL's parts and its port; ValueError in words for what urlsplit refuses in its."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("has brackets that hold no IPv6 address") from None
    if "[" not in parts.netloc and parts.netloc.count(":") > 1 and "@" not in parts.netloc:
        raise ValueError("has an IPv6 address without brackets, as in http://[::1]:3143/")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("has a port that is none")
    return parts, port


def parse_listener(listener: str) -> Address | None:
    """Return where a client on this host reaches a listener; None for a Unix socket."""
    if listener.startswith(("unix:", "/")):
        return None
    try:
        address = parse_address(listener)
    except ValueError:
        return None
    return address.at(_WILDCARDS.get(address.host, address.host))


def proxy_in_the_way(address: Address, env: Mapping[str, str]) -> str | None:
    """Return the name of the variable whose proxy would be asked for this address, or None."""
    names = [f"{address.scheme}_proxy", "all_proxy"]
    found = [name for base in names for name in (base, base.upper()) if env.get(name)]
    if not found or _is_exempt(address, env.get("no_proxy") or env.get("NO_PROXY") or ""):
        return None
    return found[0]


def _is_exempt(address: Address, no_proxy: str) -> bool:
    """Match as every client does: by name, suffix or "*"; networks and ports only some understand.

    (Seen: PDM takes no network, uv, pip, Poetry and Pipenv no address with a port.)
    """
    names = [name.strip().lower().lstrip(".") for name in no_proxy.split(",")]
    return any(name in ("*", address.host) or _is_below(address.host, name) for name in names)


def _is_below(host: str, name: str) -> bool:
    return bool(name) and host.endswith(f".{name}")


def no_proxy_line(address: Address, env: Mapping[str, str]) -> str:
    """Return the shell line that exempts the address, in the spelling that wins."""
    # Where both are set, the lower-case one is read.
    name = "no_proxy" if env.get("no_proxy") else "NO_PROXY"
    return f'export {name}="${{{name}:+${name},}}{address.host}"'
