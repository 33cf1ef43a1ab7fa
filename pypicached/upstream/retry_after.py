"""Retry-After (RFC 9110 §10.2.3): how long an upstream asks not to be asked again. Pure."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

# No upstream talks us into longer silence than our own pauses are: one request then is no burden.
MOST_SECONDS = 30.0


def ask_again_in(value: str | None, now: float) -> float | None:
    """Return the seconds from `now` on (since the epoch), at most 30; None if nothing is said."""
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MOST_SECONDS) or None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000": RFC 5322 for an unknown zone; HTTP knows none but GMT
        moment = moment.replace(tzinfo=UTC)
    seconds = min(moment.timestamp() - now, MOST_SECONDS)
    return seconds if seconds > 0 else None
