"""What all messages have in common: moments, errors, and how far long work is."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


def iso(moment: float) -> str:
    """Return a moment (seconds since the epoch) as ISO 8601 in UTC, to the second."""
    # Four times as fast as strftime, which shows where a million are asked for.
    return f"{datetime.fromtimestamp(int(moment), UTC).isoformat()[:19]}Z"


class ErrorAnswer(msgspec.Struct):
    """What went wrong, in one sentence."""

    error: str


class DownloadStatus(msgspec.Struct):
    """One running download; `size_bytes` is None while unknown."""

    filename: str
    written_bytes: int
    size_bytes: int | None
    readers: int


class Progress(msgspec.Struct, omit_defaults=True):
    """How far long work is; `total` is None while unknown, `bytes` what was read or written."""

    done: int
    total: int | None
    text: str = ""
    bytes: int | None = None
    # What is on its way meanwhile.
    downloads: list[DownloadStatus] = []
