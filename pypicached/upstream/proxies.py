"""Which HTTP proxy a URL is asked through. Pure: what the environment says is handed in.

The HTTP client's own way is not used. It reads the environment and `~/.netrc` again with each
request, and gives a host's netrc entry to whatever page or redirect leads there.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from yarl import URL

from pypicached.exempt import is_exempt


class Proxy(msgspec.Struct, frozen=True):
    """A proxy by its URL, and the value of its Proxy-Authorization header (RFC 9110 §11.7.2)."""

    url: URL
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.url})"


class Proxies:
    """The proxies of one index: by scheme of what is asked, but for hosts that are `exempt`.

    `exempt` has the form of NO_PROXY.
    """

    def __init__(self, by_scheme: Mapping[str, Proxy] | None = None, exempt: str = "") -> None:
        self._by_scheme = dict(by_scheme or {})
        self._exempt = exempt

    def of(self, url: URL) -> Proxy | None:
        """Return the proxy for a URL, None if it is asked directly."""
        proxy = self._by_scheme.get(url.scheme)
        return None if proxy is None or is_exempt(url.host or "", self._exempt) else proxy
