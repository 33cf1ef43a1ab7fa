"""What we know of an upstream from its last answers; for `status`, metrics and one log line."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pypicached.logs import event

logger = logging.getLogger(__name__)

# An index that needs longer than this for an answer's head is called slow.
SLOW_SECONDS = 2.0


class Health:
    """State of one index: "unused", "ok", "slow" or "failing", and since when.

    A change of state is one log line, however many requests see it.
    """

    def __init__(self, index: str, now: Callable[[], float]) -> None:
        self.index = index
        self.state = "unused"
        self.since: float | None = None
        self.last_error: str | None = None
        self.last_error_at: float | None = None
        self._now = now

    def succeeded(self, seconds: float) -> None:
        """An answer came, its head after `seconds`."""
        self._enter("slow" if seconds > SLOW_SECONDS else "ok")

    def failed(self, reason: str) -> None:
        """No usable answer came; `reason` is one of our own phrases."""
        self.last_error = reason
        self.last_error_at = self._now()
        self._enter("failing")

    def _enter(self, state: str) -> None:
        if state == self.state:
            return
        before, since = self.state, self.since
        self.state, self.since = state, self._now()
        if state == "failing":
            event(
                logger,
                logging.WARNING,
                f"index {self.index} is failing: {self.last_error}",
                index=self.index,
            )
        elif before == "failing" and since is not None:
            event(
                logger,
                logging.WARNING,
                f"index {self.index} answers again after {self.since - since:.0f} s",
                index=self.index,
            )
