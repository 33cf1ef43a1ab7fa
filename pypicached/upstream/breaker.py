"""When a host of an index is asked, and when it is left alone for a while (rule 46).

A host that keeps failing is asked by one probe at a time, with growing pauses; everyone else is
told at once. One page that always fails is no failing host: it takes several different ones, with
nothing that succeeded in between. And what has failed already is not in the way of what has not:
each probes by itself, so that pages that always hang do not keep a host shut that is well.
Decisions only: no request is made here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

# How a request failed: no connection came about; one did and then said nothing, or broke off; an
# answer came that says that it cannot answer (5xx), or not so often (429).
Failure = Literal["unreachable", "silent", "answered", "busy"]

# So many different pages or files must have failed before the host itself is held to fail: a silent
# one costs each client a deadline; quick refusals cost nothing, and are more often about one page.
# What cannot be reached is so for all of them: there attempts count, of which each request has two.
NEEDED: dict[Failure, int] = {"unreachable": 2, "silent": 2, "answered": 5, "busy": 2}
# A host that answered something this short ago is not gone: of 32 requests that meet a bad node at
# the same moment none speaks for the host.
QUIET_SECONDS = 2.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# A probe that has not told anything for so long is not in the way of the next one.
PROBE_SECONDS = 5.0
# Subjects that are remembered to have failed.
MAX_SUBJECTS = 64


class Breaker:
    """One host's. Single-threaded. A clock that is set back ends a pause, and no more."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        # The only mutable state: what failed since the last success, the pause that runs, and since
        # when something that had failed before (True), or had not (False), probes.
        self._failed: set[str] = set()
        self._busy: set[str] = set()
        self._unreached = 0
        self._succeeded_at = float("-inf")
        self._pause_seconds = 0.0
        self._paused_at = 0.0
        self._probes: dict[bool, float] = {}

    @property
    def open(self) -> bool:
        """Whether the host is held to fail."""
        return self._pause_seconds > 0

    @property
    def pause_left(self) -> float:
        """Seconds until it may be asked again; 0 if it may be asked now."""
        passed = self._now() - self._paused_at
        return max(0.0, self._pause_seconds - passed) if self.open and passed >= 0 else 0.0

    def closed_to(self, subject: str) -> bool:
        """Whether this page or file may not be asked for now: a pause, or a probe of its kind."""
        if not self.open:
            return False
        since = self._probes.get(subject in self._failed, float("-inf"))
        return self.pause_left > 0 or 0 <= self._now() - since < PROBE_SECONDS

    def admit(self, subject: str) -> bool:
        """Let a request through that `closed_to` does not forbid; return whether it probes."""
        if self.open:
            self._probes[subject in self._failed] = self._now()
        return self.open

    def withdrawn(self, subject: str) -> None:
        """A probe ended without telling anything, its task was cancelled: the next one may ask."""
        self._probes.pop(subject in self._failed, None)

    def succeeded(self) -> bool:
        """An answer came; return whether the host was held to fail until now."""
        was_open = self.open
        self._failed.clear()
        self._busy.clear()
        self._probes.clear()
        self._unreached = 0
        self._succeeded_at = self._now()
        self._pause_seconds = 0.0
        return was_open

    def failed(
        self,
        failure: Failure,
        subject: str,
        *,
        probing: bool = False,
        ask_again: float | None = None,
    ) -> bool:
        """A request for `subject` failed; return whether the host is held to fail only from now on.

        `probing`: it was let through as a probe. `ask_again` are the seconds that the host itself
        asked for with a 429: believed once that is not about one page.
        """
        if self.open:
            # What was asked before the pause began says nothing new.
            if probing:
                self._probes.pop(subject in self._failed, None)
                self._remember(self._failed, subject)
                self._begin_pause(ask_again)
            return False
        if failure == "unreachable":
            self._unreached += 1
            evidence = self._unreached
        elif failure == "busy":
            self._remember(self._busy, subject)
            evidence = len(self._busy)
        else:
            self._remember(self._failed, subject)
            evidence = len(self._failed)
        quiet = failure == "busy" or not 0 <= self._now() - self._succeeded_at < QUIET_SECONDS
        if quiet and evidence >= NEEDED[failure]:
            self._failed |= self._busy
            self._begin_pause(ask_again)
        return self.open

    def _remember(self, subjects: set[str], subject: str) -> None:
        if len(subjects) < MAX_SUBJECTS:
            subjects.add(subject)

    def _begin_pause(self, ask_again: float | None) -> None:
        """Pause for twice as long as before, or as the host asked, but never for too long."""
        wanted = max(FIRST_PAUSE_SECONDS, 2 * self._pause_seconds, ask_again or 0.0)
        self._pause_seconds = min(wanted, LONGEST_PAUSE_SECONDS)
        self._paused_at = self._now()
