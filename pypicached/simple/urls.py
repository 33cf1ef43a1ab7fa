"""File URLs: their canonical key, and the way to our link and back.

An upstream file `https://host/path?query` is published by us as `…/{host}/{path}`. Upstreams and
clients spell one and the same path in several ways (`+` or `%2B`), so look-ups go by a key in
which every segment has one spelling, while links keep upstream's own. What CONFORMANCE.md rule 64
forbids has no key. This module must not know where links of ours start.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from urllib.parse import quote_from_bytes, unquote_to_bytes, urljoin

MAX_PATH_BYTES = 2048

# RFC 3986 §3.3: pchar is unreserved / pct-encoded / sub-delims / ":" / "@".
_SUB_DELIMS = "!$&'()*+,;="
_PCHAR = r"A-Za-z0-9\-._~!$&'()*+,;=:@"
# The usual case: nothing encoded, nothing to encode, no dot segment. Its key is its own text.
_PLAIN_KEY = re.compile(
    rf"[a-z0-9][a-z0-9.-]*(?::[0-9]{{1,5}})?/(?:(?!\.\.?(?:/|\Z))[{_PCHAR}]+/)*"
    rf"(?!\.\.?\Z)[{_PCHAR}]+"
)
_PLAIN = re.compile(f"https?://({_PLAIN_KEY.pattern})")
# The beginning of such a URL, and all that may stand in one.
_ORIGIN = re.compile(r"(https?://)[a-z0-9][a-z0-9.-]*(?::[0-9]{1,5})?/")
_PLAIN_OCTETS = f"{string.ascii_letters}{string.digits}-._~{_SUB_DELIMS}:@/".encode()
# A registered name or an IPv6 literal, and a port. Other alphabets must come as punycode.
_HOST = re.compile(r"(?:[a-z0-9_][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
# A relative link whose only dots are leading "../"; the last group has no scheme and no query.
_CLIMB = re.compile(r"((?:\.\./)*)([^./?#:\\][^?#:\\]*(?:#.*)?)", re.DOTALL)
_UP = re.compile(r"(?:\.\./)+")
_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f/\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ILLEGAL_IN_PATH = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^{_PCHAR}/%]".encode())
_ILLEGAL_IN_QUERY = re.compile(rf"[^{_PCHAR}/?%]".encode())


def file_key(url: str) -> str | None:
    """Return the canonical `host[:port]/path` of an upstream file URL, for look-ups.

    Scheme, userinfo, query and fragment do not count. None if it is no http(s) URL, or if rule 64
    forbids its path.
    """
    plain = _PLAIN.fullmatch(url)
    if plain and len(plain[1]) <= MAX_PATH_BYTES:
        return plain[1]
    parts = _split(url)
    if parts is None or "%" in parts[1]:
        return None
    return _key(parts[1], parts[2])


def request_key(raw: str) -> str | None:
    """Return the key that `file_key` gives, from the still encoded `{host}/{path}` of a request."""
    if len(raw) <= MAX_PATH_BYTES and _PLAIN_KEY.fullmatch(raw):
        return raw
    if "?" in raw or "#" in raw:
        return None
    host, _, path = raw.partition("/")
    return _key(unquote_to_bytes(_octets(host)).decode("ascii", "replace"), path)


def filename_of(key: str) -> str:
    """Return the name of the file with this key, decoded."""
    return unquote_to_bytes(key.rpartition("/")[2]).decode("utf-8", "replace")


def link_path(url: str) -> str:
    """Return `{host}/{path}` for a link of ours; upstream's encoding is kept where it is legal.

    Anything that RFC 3986 does not allow in a path is percent-encoded, the brackets of an IPv6
    address too. A URL that is none of http(s) gives an empty string, which has no key.
    """
    plain = _PLAIN.fullmatch(url)
    if plain:
        return plain[1]
    parts = _split(url)
    if parts is None:
        return ""
    _, host, path, _ = parts
    return quote_from_bytes(_octets(host), safe=":") + "/" + _encode(_ILLEGAL_IN_PATH, path)


def plain_keys(urls: Sequence[str]) -> list[str] | None:
    """Return the keys of URLs that are all usual and of one origin, as most pages' are; else None.

    Judging all of them at once takes a tenth of the time of one by one. Such a key is also what
    `link_path` gives, and such a URL is fit to be kept as it is.
    """
    text = "\n".join(urls)
    origin = _ORIGIN.match(text)
    if origin is None:
        return None
    lines = len(urls) - 1
    usual = (
        text.isascii()
        and text.encode().translate(None, _PLAIN_OCTETS) == b"\n" * lines
        and text.count(f"\n{origin[0]}") == lines
        # Neither empty segments nor such as begin with a dot: whether those are dot segments, and
        # how long a path may be, is judged one by one.
        and text.count("//") == len(urls)
        and "/." not in text
        and "/\n" not in text
        and not text.endswith("/")
        and len(max(urls, key=len)) <= MAX_PATH_BYTES
    )
    cut = len(origin[1])
    return [url[cut:] for url in urls] if usual else None


def file_keys(urls: Sequence[str]) -> Sequence[str | None]:
    """Return what `file_key` does of each URL."""
    return plain_keys(urls) or [file_key(url) for url in urls]


def link_paths(urls: Sequence[str]) -> list[str]:
    """Return what `link_path` does of each URL."""
    return plain_keys(urls) or [link_path(url) for url in urls]


def place(url: str) -> tuple[str, str] | None:
    """Return `(URL, key)` of a file URL, fit to be kept and fetched; None where it has no key.

    Userinfo and fragment are taken off, and what no URL may hold is percent-encoded.
    """
    plain = _PLAIN.fullmatch(url)
    if plain and len(plain[1]) <= MAX_PATH_BYTES:
        return url, plain[1]
    key = file_key(url)
    parts = _split(url)
    if key is None or parts is None or _CONTROL.search(url):
        return None
    scheme, host, path, query = parts
    # An invalid escape in a path stays as upstream has it: it may be the only spelling it knows.
    kept = _encode(_ILLEGAL_IN_QUERY, path)
    return f"{scheme}://{host}/{kept}" + (_encode(_ILLEGAL_IN_QUERY, query) if query else ""), key


class Links:
    """Resolves the links of one page against its base URL (RFC 3986 §5); not for sharing."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._climbed: dict[str, str | None] = {}

    def climbed(self, hrefs: Sequence[str]) -> list[str]:
        """Return the absolute URLs of links that all climb alike, as on pages of ours; else none.

        Only where `plain_keys` finds the result usual, it is what `resolve` gives of each.
        """
        up = _UP.match(hrefs[0]) if hrefs else None
        directory = None if up is None else self._directory(up[0])
        if up is None or directory is None or not all(h.startswith(up[0]) for h in hrefs):
            return []
        cut = up.end()
        return [directory + href[cut:] for href in hrefs]

    def _directory(self, up: str) -> str | None:
        # Thousands of links of a page climb to one directory, and urljoin is slow.
        if up not in self._climbed:
            self._climbed[up] = _join(self._base, up or "./")
        return self._climbed[up]

    def resolve(self, href: str) -> str | None:
        """Return the absolute URL; None for a link that has control characters or makes no URL."""
        if href.startswith(("https://", "http://")):
            return href
        if not href.isprintable() and _CONTROL.search(href):
            return None  # urljoin would silently drop some of them
        climb = _CLIMB.fullmatch(href)
        if climb is None or "/." in climb[2] or "//" in climb[2]:
            return _join(self._base, href)
        directory = self._directory(climb[1])
        return None if directory is None else directory + climb[2]


def _join(base: str, href: str) -> str | None:
    """Return `urljoin`, or None where it finds a bad authority."""
    try:
        return urljoin(base, href)
    except ValueError:
        return None


def _split(url: str) -> tuple[str, str, str, str] | None:
    """Return scheme, host with port, path without its first slash, and query with its `?`."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "https"):
        return None
    rest = rest.partition("#")[0]
    rest, mark, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    return scheme, authority.rpartition("@")[2], path, mark + query


def _key(host: str, path: str) -> str | None:
    """Return the canonical key of a decoded host and an encoded path; None by rule 64."""
    host = host.lower()
    if _HOST.fullmatch(host) is None:
        return None
    segments = []
    for segment in _octets(path).split(b"/"):
        decoded = unquote_to_bytes(segment)
        if decoded in (b"", b".", b"..") or _FORBIDDEN.search(decoded):
            return None
        segments.append(quote_from_bytes(decoded, safe=_SUB_DELIMS + ":@"))
    key = host + "/" + "/".join(segments)
    return key if len(key) - len(host) <= MAX_PATH_BYTES else None


def _octets(text: str) -> bytes:
    """Return the bytes of a path; aiohttp keeps bytes that are no UTF-8 as lone surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b"\x00"  # no bytes of any request: refused by rule 64


def _encode(illegal: re.Pattern[bytes], text: str) -> str:
    """Percent-encode each byte that `illegal` finds."""
    return illegal.sub(lambda found: b"%%%02X" % found[0][0], _octets(text)).decode("ascii")
