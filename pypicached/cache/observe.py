"""What the cache tells those who count: one small set of callbacks, given by `daemon`."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

import msgspec

from pypicached.errors import (
    NoRoomError,
    OfflineError,
    PypicachedError,
    UpstreamPausedError,
    VerificationError,
)
from pypicached.logs import event

logger = logging.getLogger(__name__)

LAST_FAILURES = 10
# Names in one log line.
MAX_TOLD = 5


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
        self.damaged_files = 0
        self.removed_files = 0
        self.passed_through = 0
        self.last_no_room: tuple[float, str] | None = None

    def failed(self, what: str, reason: str) -> None:
        """A download or page failed; the same failure again takes the place of the one before."""
        again = [f for f in self.failures if (f.what, f.reason) == (what, reason)]
        for failure in again:
            self.failures.remove(failure)
        self.failures.append(SeenFailure(self._now(), what, reason))

    def download_failed(self, filename: str, error: PypicachedError) -> None:
        """A file was not received, or not kept: counted, logged, remembered.

        Not where upstream was not even asked: what keeps it from that is known.
        """
        level = logging.WARNING
        if isinstance(error, (UpstreamPausedError, OfflineError)):
            return
        if isinstance(error, NoRoomError):
            self.no_room(f"{filename}: {error}")
        elif isinstance(error, VerificationError):
            level = logging.ERROR
            self.verification_failures += 1
        self.failed(filename, str(error))
        event(logger, level, f"download of {filename}: {error}")

    def damaged(self, filename: str, problem: str) -> None:
        """A stored file is not what was kept: counted, logged, remembered."""
        self.damaged_files += 1
        reason = f"its stored bytes cannot be used: {problem}"
        self.failed(filename, reason)
        event(logger, logging.ERROR, f"{filename}: {reason}; it is fetched again when asked for")

    def removed(self, index: str, project: str, filenames: list[str]) -> None:
        """An index lists cached files no more: counted and logged; the ledger remembers them."""
        self.removed_files += len(filenames)
        more = f" and {len(filenames) - MAX_TOLD} more" if len(filenames) > MAX_TOLD else ""
        told = ", ".join(filenames[:MAX_TOLD]) + more
        text = f"index {index} lists cached files of {project} no more: {told}"
        event(logger, logging.WARNING, text, index=index, project=project)

    def no_room(self, reason: str) -> None:
        """A file was streamed through because it could not be kept."""
        self.passed_through += 1
        self.last_no_room = (self._now(), reason)
