"""URLs: of an index, with the credentials that people put into it, and of other places. Pure.

No message quotes the URL as it was given: it may hold a password.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import msgspec

from pypicached.settings.secret import Secret, is_clean
from pypicached.settings.values import BadValueError, name_type

# The product's default upstream; the only place that names PyPI's public address.
PYPI_URL = "https://pypi.org/simple/"
# Unreserved and reserved characters of RFC 3986 §2.2-2.3 and the percent sign: nothing to encode.
_ENCODED = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")


class IndexUrl(msgspec.Struct, frozen=True):
    """A Simple API root that ends in a slash, and the credentials that stood in it."""

    url: str
    username: str | None = None
    password: Secret | None = None


def parse_index_url(value: object) -> IndexUrl:
    """Return the root without its `user:password@`; BadValueError if it is no index URL."""
    if not isinstance(value, str):
        raise BadValueError(f"must be text in quotes, not {name_type(value)}")
    text = value.strip()
    parts, port = _split(text)
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise BadValueError("an index URL has no query and no fragment", "leave them off")
    # Only now, and without the credentials, so that they may hold any character.
    address = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    if _ENCODED.fullmatch(address) is None:
        raise BadValueError("has characters that a URL cannot have", "percent-encode them")
    username, password = _credentials(parts)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    netloc = host if port is None else f"{host}:{port}"
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    if "//" in path:
        raise BadValueError("has two slashes in a row in its path", "write a single one")
    url = urlunsplit((parts.scheme, netloc, path, "", ""))
    _refuse_site_root(url)
    return IndexUrl(url, username, password)


def parse_plain_url(value: object, _base: Path) -> str:
    """Accept an http or https URL that is only a place; it is returned without a final slash."""
    if not isinstance(value, str):
        raise BadValueError(f"must be text in quotes, not {name_type(value)}")
    text = value.strip()
    parts, _ = _split(text)
    if parts.username is not None or parts.password is not None:
        raise BadValueError("has credentials, which do not belong there", "leave them off")
    if "?" in text or "#" in text:
        raise BadValueError("has a query or a fragment", "leave it off")
    if _ENCODED.fullmatch(text) is None:
        raise BadValueError("has characters that a URL cannot have", "percent-encode them")
    return text.rstrip("/")


def _split(text: str) -> tuple[SplitResult, int | None]:
    # urlsplit silently drops tabs and line ends (WHATWG); a URL with one is a slip, or worse.
    if not is_clean(text):
        raise BadValueError("has control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise BadValueError("is no URL: its host or port is malformed") from None
    if parts.scheme not in {"http", "https"}:
        raise BadValueError("must begin with https:// or http://")
    if not parts.hostname:
        raise BadValueError("has no host")
    return parts, port


def _credentials(parts: SplitResult) -> tuple[str | None, Secret | None]:
    """Return user name and password, decoded; a lone user name has an empty password."""
    if parts.username is None:
        return None, None
    username, password = unquote(parts.username), unquote(parts.password or "")
    if not username or ":" in username or not is_clean(username + password):
        raise BadValueError("the user:password@ in it is malformed", "percent-encode its parts")
    return username, Secret(password)


def _refuse_site_root(url: str) -> None:
    """Refuse PyPI's site where its Simple API was meant: each page would be a 404."""
    mine, theirs = urlsplit(url), urlsplit(PYPI_URL)
    if mine.hostname == theirs.hostname and mine.path in {"/", "/pypi/"}:
        raise BadValueError("is PyPI's site, not its Simple API", f'write "{PYPI_URL}"')


def is_exposed(url: str) -> bool:
    """Tell whether credentials for `url` cross a network in clear: plain HTTP, not loopback."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True
