"""Content negotiation, ours and with upstream (RFC 9110 §12; CONFORMANCE.md rules 5 to 10).

Pure decisions on header values; statuses and `Vary` are not made here. Headers are hostile until
read: time is linear in their length, and no more than 64 ranges count.
"""

from __future__ import annotations

import re
from enum import Enum

# What we ask upstreams for: JSON says most; pip's order of the rest.
ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.01"
)

_MAX_RANGES = 64
# RFC 9110 §12.4.2, but for the number of digits, where clients are careless.
_QVALUE = re.compile(r"0(?:\.[0-9]{0,9})?|1(?:\.0{0,9})?")


class Format(Enum):
    """A representation of pages and lists; the value is its media type."""

    JSON = "application/vnd.pypi.simple.v1+json"
    HTML = "text/html"
    HTML_V1 = "application/vnd.pypi.simple.v1+html"

    @property
    def content_type(self) -> str:
        """The Content-Type to answer with; the types of PEP 691 define no charset."""
        return "text/html; charset=utf-8" if self is Format.HTML else self.value


_NAMES = {
    "application/vnd.pypi.simple.v1+json": Format.JSON,
    "application/vnd.pypi.simple.latest+json": Format.JSON,
    "application/vnd.pypi.simple.v1+html": Format.HTML_V1,
    "application/vnd.pypi.simple.latest+html": Format.HTML_V1,
    "text/html": Format.HTML,
}
_WILDCARDS = {
    Format.JSON: ("application/*", "*/*"),
    Format.HTML_V1: ("application/*", "*/*"),
    Format.HTML: ("text/*", "*/*"),
}
# On equal q: what the client named, JSON first; of what it did not name, HTML, as people expect.
_NAMED_ORDER = (Format.JSON, Format.HTML_V1, Format.HTML)
_UNNAMED_ORDER = (Format.HTML, Format.HTML_V1, Format.JSON)


def choose_format(accept: str | None, query_format: str | None) -> Format | None:
    """Return the format to answer with, None if none is acceptable (a 406).

    `accept` is the header or None; `query_format` the value of `?format=`, which wins (PEP 691).
    The most specific range decides on a format (RFC 9110 §12.5.1), the highest q between formats.
    """
    if query_format is not None:
        # Decoding a query turns the "+" of the media types into a space.
        name = query_format.partition(";")[0].strip().lower().replace(" ", "+")
        return _NAMES.get(name)
    if accept is None or not accept.strip():
        return Format.HTML
    ranges = _ranges(accept)
    named: dict[Format, float] = {}
    for name, q in ranges.items():
        if name in _NAMES:
            named[_NAMES[name]] = max(q, named.get(_NAMES[name], 0.0))
    order = [f for f in _NAMED_ORDER if f in named] + [f for f in _UNNAMED_ORDER if f not in named]
    weights = {f: named[f] if f in named else _wildcard(f, ranges) for f in order}
    best = max(order, key=lambda f: weights[f])
    return best if weights[best] > 0 else None


def _wildcard(format_: Format, ranges: dict[str, float]) -> float:
    """Return the q that wildcards give to a format that is not named."""
    return next((ranges[name] for name in _WILDCARDS[format_] if name in ranges), 0.0)


def choose_coding(
    accept_encoding: str | None, offered: tuple[str, ...] = ("zstd", "gzip", "identity")
) -> str | None:
    """Return the content coding to answer with, None if none is acceptable (RFC 9110 §12.5.3).

    `offered` is in our order of preference, which decides on equal q. Without the header, or with
    an empty one, it is `identity`; so it is if nothing else fits and nothing forbids it.
    """
    codings = _ranges(accept_encoding or "")
    if "x-gzip" in codings:  # RFC 9110 §8.4.1.3
        codings.setdefault("gzip", codings["x-gzip"])
    weights = {name: codings.get(name, codings.get("*", 0.0)) for name in offered}
    best = max(offered, key=lambda name: weights[name], default=None)
    if best is not None and weights[best] > 0:
        return best
    refused = codings.get("identity", codings.get("*", 1.0)) == 0
    return "identity" if "identity" in offered and not refused else None


def _ranges(header: str) -> dict[str, float]:
    """Return each range or coding with its q, the highest if it comes twice.

    Parameters but q are ignored, and so is an element whose q is none.
    """
    found: dict[str, float] = {}
    for element in header.split(",", _MAX_RANGES)[:_MAX_RANGES]:
        name, _, parameters = element.partition(";")
        name = name.strip().lower()
        q = _weight(parameters)
        if name and q is not None:
            found[name] = max(q, found.get(name, 0.0))
    return found


def _weight(parameters: str) -> float | None:
    """Return the q of an element, 1 if it has none, None if it is malformed."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            value = value.strip()
            return float(value) if _QVALUE.fullmatch(value) else None
    return 1.0
