"""Ranges and conditions of RFC 9110 §13 and §14, as pure decisions on header values."""

from __future__ import annotations

import re

# One range; several are allowed to be answered whole (RFC 9110 §14.2), and are.
# Numbers of any size are numbers; 1,000 digits are what int() takes in no time.
ONE_RANGE = re.compile(
    r"\s*bytes\s*=\s*(\d{0,1000})\s*-\s*(\d{0,1000})\s*", re.ASCII | re.IGNORECASE
)


class UnsatisfiableError(Exception):
    """The range lies beyond the file: 416 with its length (RFC 9110 §15.5.17)."""


def parse_range(value: str | None, length: int) -> tuple[int, int] | None:
    """Return (start, stop) of a single byte range, stop exclusive; None means the whole file.

    A malformed range, another unit or several ranges count as none. Raises UnsatisfiableError.
    """
    match = ONE_RANGE.fullmatch(value) if value else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        suffix = int(match[2])
        if suffix == 0 or length == 0:
            raise UnsatisfiableError
        return max(0, length - suffix), length
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    if start >= length:
        raise UnsatisfiableError
    return start, min(int(match[2]) + 1, length) if match[2] else length


def matches(if_none_match: str | None, etag: str | None) -> bool:
    """Whether If-None-Match holds `etag`, by weak comparison (RFC 9110 §13.1.2)."""
    if if_none_match is None or etag is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(part.strip().removeprefix("W/") == etag for part in if_none_match.split(","))


def range_applies(if_range: str | None, etag: str | None) -> bool:
    """Whether a Range may be honoured under If-Range: strong comparison only (§13.1.5).

    We send no Last-Modified, so a date never matches.
    """
    return if_range is None or (etag is not None and if_range.strip() == etag)
