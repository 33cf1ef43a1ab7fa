"""Whether a shared store is asked: one that keeps failing is left alone, but for a probe.

Decisions only: no request is made here. Absence is an answer, and so no failure.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from pypicached.errors import BlobMissingError, StoreError, StoreUnavailableError
from pypicached.logs import event

logger = logging.getLogger(__name__)

# With nothing between them that succeeded: of a store that answers a third of all requests with an
# error, most others are worth asking.
NEEDED = 3
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0


class Health:
    """One store's, or that of writing to it. Single-threaded."""

    def __init__(
        self,
        *,
        meanwhile: str = "files come from upstream until it answers",
        again: str = "the shared store answers again",
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # What is done as long as it fails.
        self._meanwhile = meanwhile
        self._again = again
        self._now = now
        self._clock = clock
        self._failures = 0
        self._pause_seconds = 0.0
        self._asked_again_at = 0.0
        # Since when it fails, in seconds since the epoch, and why; None and "" while it does not.
        self.since: float | None = None
        self.reason = ""

    @property
    def failing(self) -> bool:
        """Whether it is held to fail."""
        return self._failures >= NEEDED

    def allows(self) -> bool:
        """Whether it may be asked now; while it fails, one probe at a time."""
        if not self.failing:
            return True
        now = self._clock()
        if now < self._asked_again_at:
            return False
        self._asked_again_at = now + self._pause_seconds
        return True

    def succeeded(self) -> None:
        """It answered."""
        if self.failing:
            event(logger, logging.WARNING, self._again)
        self._failures = 0
        self._pause_seconds = 0.0
        self.since, self.reason = None, ""

    def failed(self, error: StoreError) -> None:
        """It did not do what was asked of it; that it has no such blob is an answer."""
        if isinstance(error, BlobMissingError):
            self.succeeded()
            return
        self._failures += 1
        if self.since is None:
            self.since = self._now()
        self.reason = error.reason
        if not self.failing:
            return
        if not self._pause_seconds:
            text = f"the shared store {error.reason}: {self._meanwhile}"
            event(logger, logging.ERROR, text)
        # What refuses us does so until somebody has changed something.
        waits = isinstance(error, StoreUnavailableError)
        longer = max(FIRST_PAUSE_SECONDS, self._pause_seconds * 2)
        self._pause_seconds = min(longer, LONGEST_PAUSE_SECONDS) if waits else LONGEST_PAUSE_SECONDS
        self._asked_again_at = self._clock() + self._pause_seconds
