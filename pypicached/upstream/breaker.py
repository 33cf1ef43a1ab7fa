"""When a host of an index is asked, and when it is left alone for a while (rule 46).

A host that keeps failing is asked by one probe at a time, with growing pauses; everyone else is
told at once. One page that always fails is no failing host: it takes several different ones, with
nothing that succeeded in between. Decisions only: no request is made here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

# How a request failed: no connection came about; one did and then said nothing, or broke off; or an
# answer came that says that it cannot answer (429, 5xx).
Failure = Literal["unreachable", "silent", "answered"]

# So many different pages or files must have failed before the host itself is held to fail: a silent
# one costs each client a deadline; quick refusals cost nothing, and are more often about one page.
# What cannot be reached is so for all of them: there attempts count, of which each request has two.
NEEDED: dict[Failure, int] = {"unreachable": 2, "silent": 2, "answered": 5}
# A host that answered something this short ago is not gone: of 32 requests that meet a bad node at
# the same moment none speaks for the host.
QUIET_SECONDS = 2.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0


class Breaker:
    """One host's. Single-threaded. A clock that is set back ends a pause, and no more."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        # The only mutable state: what failed since the last success, and the pause that runs.
        self._failed: set[str] = set()
        self._unreached = 0
        self._succeeded_at = float("-inf")
        self._pause_seconds = 0.0
        self._paused_at = 0.0
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether the host is held to fail."""
        return self._pause_seconds > 0

    @property
    def pause_left(self) -> float:
        """Seconds until it may be asked again; 0 if it may be asked now."""
        passed = self._now() - self._paused_at
        return max(0.0, self._pause_seconds - passed) if self.open and passed >= 0 else 0.0

    @property
    def closed_to_all(self) -> bool:
        """Whether nobody may ask now: a pause runs, or a probe is under way."""
        return self.open and (self._probing or self.pause_left > 0)

    def admit(self) -> bool:
        """Let one request through that `closed_to_all` does not forbid; return whether it probes.

        A probe that has ended without a word, because its task was cancelled, is `withdrawn`.
        """
        if self.open:
            self._probing = True
        return self.open

    def withdrawn(self) -> None:
        """The probe ended without telling anything: the next one may ask."""
        self._probing = False

    def succeeded(self) -> bool:
        """An answer came; return whether the host was held to fail until now."""
        was_open = self.open
        self._failed.clear()
        self._unreached = 0
        self._succeeded_at = self._now()
        self._pause_seconds = 0.0
        self._probing = False
        return was_open

    def failed(self, failure: Failure, subject: str, *, ask_again: float | None = None) -> bool:
        """A request for `subject` failed; return whether the host is held to fail only from now on.

        `ask_again` are the seconds that the host itself asked for with a 429: that is meant for
        all requests, and believed at once.
        """
        was_open = self.open
        if failure == "unreachable":
            self._unreached += 1
        elif len(self._failed) < max(NEEDED.values()):
            self._failed.add(subject)
        evidence = self._unreached if failure == "unreachable" else len(self._failed)
        quiet = not 0 <= self._now() - self._succeeded_at < QUIET_SECONDS
        if was_open or ask_again is not None or (quiet and evidence >= NEEDED[failure]):
            self._begin_pause(ask_again)
        return self.open and not was_open

    def _begin_pause(self, ask_again: float | None) -> None:
        """Pause for twice as long as before, or as the host asked, but never for too long."""
        if self.pause_left > 0 and ask_again is None:
            return  # a request from before the pause, which says nothing new
        wanted = max(FIRST_PAUSE_SECONDS, 2 * self._pause_seconds, ask_again or 0.0)
        self._pause_seconds = min(wanted, LONGEST_PAUSE_SECONDS)
        self._paused_at = self._now()
        self._probing = False
