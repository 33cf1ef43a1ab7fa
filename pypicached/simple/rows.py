"""What the parsers of both formats share: the error, the bounds, and which rows are usable.

Owns the rules by which a row of an upstream page is kept or left out (PRODUCT.md section 6,
CONFORMANCE.md rules 13, 27, 64). It must not know how JSON or HTML are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pypicached.errors import PypicachedError
from pypicached.simple.model import ProjectStatus
from pypicached.simple.urls import Links, place, plain_keys

# The largest known project pages have some tens of thousands (CONFORMANCE.md rule 66).
MAX_FILES = 200_000
_MAX_FILENAME = 255  # NAME_MAX of the file systems that clients download to
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_DIGEST = re.compile(r"[0-9a-f]+")
_DIGEST_OCTETS = b"0123456789abcdef"
_STATUSES: dict[str, ProjectStatus] = {
    "active": "active",
    "archived": "archived",
    "quarantined": "quarantined",
    "deprecated": "deprecated",
}


class ParseError(PypicachedError):
    """What upstream answered is no index page; `reason` is ours, ASCII, under 80 characters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FileRows:
    """Decides which rows of a page are kept; counts what is left out. For one page only."""

    def __init__(self, base: str) -> None:
        self.dropped = 0
        self._links = Links(base)
        self._keys: set[str] = set()

    def place(self, filenames: Sequence[str], hrefs: Sequence[str]) -> Sequence[str | None]:
        """Return the URL to keep for each row; None, and counted, if the row is to be left out.

        Left out: an unusable file name, no http(s) URL, a path against rule 64, and a URL whose
        key an earlier row has (DESIGN.md: the first wins).
        """
        urls, keys = hrefs, plain_keys(hrefs)
        if keys is None:
            urls = self._links.climbed(hrefs)
            keys = plain_keys(urls)
        if keys is None:
            urls = [self._links.resolve(href) or "" for href in hrefs]
            keys = plain_keys(urls)
        if keys is not None and are_usable(filenames) and self._are_new(keys):
            return urls
        return [self._place(*row) for row in zip(filenames, urls, strict=True)]

    def _are_new(self, keys: list[str]) -> bool:
        """Remember the keys of rows if neither they nor earlier ones have one of them twice."""
        new = set(keys)
        if len(new) < len(keys) or not new.isdisjoint(self._keys):
            return False
        self._keys |= new
        return True

    def _place(self, filename: str, url: str) -> str | None:
        if is_usable(filename):
            placed = place(url)
            if placed is not None and placed[1] not in self._keys:
                self._keys.add(placed[1])
                return placed[0]
        self.dropped += 1
        return None


def is_usable(filename: str) -> bool:
    """Tell whether a client could save a file under this name."""
    return (
        0 < len(filename) <= _MAX_FILENAME
        and filename.isprintable()
        and "/" not in filename
        and "\\" not in filename
        and filename not in (".", "..")
    )


def are_usable(filenames: Sequence[str]) -> bool:
    """Tell cheaply that all of them are usable; a no only means that each has to be judged."""
    text = " ".join(filenames)
    return (
        text.isprintable()
        and "/" not in text
        and "\\" not in text
        and {"", ".", ".."}.isdisjoint(filenames)
        and len(max(filenames, key=len, default="")) <= _MAX_FILENAME
    )


def check_count(rows: int) -> None:
    """Raise `ParseError` for a page with more rows than any project has files."""
    if rows > MAX_FILES:
        raise ParseError(f"page lists more than {MAX_FILES} files")


def check_version(claim: str) -> str:
    """Return the claimed API version if it is one of major version 1 (rule 13).

    Raises `ParseError` for others: PEP 629 forbids going on with an unknown major version.
    """
    version = _VERSION.fullmatch(claim.strip())
    if version is None:
        raise ParseError("page has an unreadable API version")
    if int(version[1]) != 1:
        raise ParseError("page speaks another major API version than 1")
    return version[0]


def digests(claimed: dict[str, str]) -> dict[str, str]:
    """Return the digests that are hexadecimal, in lower case; others can match no file."""
    for algorithm, value in claimed.items():
        if not algorithm or _DIGEST.fullmatch(value) is None:
            lower = {a: v.lower() for a, v in claimed.items() if a}
            return {a: v for a, v in lower.items() if _DIGEST.fullmatch(v)}
    return claimed  # as nearly all are: no copy


def are_digests(claims: Sequence[dict[str, str]]) -> bool:
    """Tell cheaply that `digests` changes none of them; a no means that each has to be judged."""
    values = [value for claimed in claims for value in claimed.values()]
    text = "".join(values)
    return (
        all(values)
        and text.isascii()
        and not text.encode().translate(None, _DIGEST_OCTETS)
        and not any("" in claimed for claimed in claims)
    )


def provenance(url: str | None) -> str | None:
    """Return a provenance URL if it is an absolute https one, else None (rule 25)."""
    if url and url.startswith("https://") and url.isprintable():
        return url
    return None


def status(marker: str | None) -> ProjectStatus | None:
    """Return the project status marker (PEP 792); an unknown one is None."""
    return _STATUSES.get(marker) if marker else None
