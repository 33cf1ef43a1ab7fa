"""What the cache tells those who count: one small set of callbacks, given by `daemon`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import msgspec

LAST_FAILURES = 10


class SeenFailure(msgspec.Struct, frozen=True):
    """Something that went wrong with one file or page, for `status`."""

    at: float
    what: str
    reason: str


class Observations:
    """Counters that do not belong to one request, and the last failures."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.failures: deque[SeenFailure] = deque(maxlen=LAST_FAILURES)
        self.verification_failures = 0
        self.passed_through = 0
        self.last_no_room: tuple[float, str] | None = None

    def failed(self, what: str, reason: str) -> None:
        """A download or page failed."""
        self.failures.append(SeenFailure(self._now(), what, reason))

    def no_room(self, reason: str) -> None:
        """A file was streamed through because it could not be kept."""
        self.passed_through += 1
        self.last_no_room = (self._now(), reason)
