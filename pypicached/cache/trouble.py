"""Telling the log of what keeps failing: once per kind and minute, not once per request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from pypicached.logs import event

SILENCE_SECONDS = 60.0


class Trouble:
    """One thing that may keep failing. Single-threaded."""

    def __init__(
        self, logger: logging.Logger, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._now = now
        self._told = ("", 0.0)

    def tell(self, text: str) -> None:
        """Log an error, unless it was the last one told and that was less than a minute ago."""
        now = self._now()
        last, at = self._told
        if text == last and now - at < SILENCE_SECONDS:
            return
        self._told = (text, now)
        event(self._logger, logging.ERROR, text)
