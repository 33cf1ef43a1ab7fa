"""What an index's last pages and its hosts say of it: for `status`, metrics and problems.

A state is worked out when it is asked for, from what happened; nothing here is asked of anybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec

from pypicached.upstream.hosts import Hosts
from pypicached.upstream.offline import Offline

State = Literal["unused", "ok", "slow", "failing", "offline"]

# An index that lately needs longer than this for the head of an answer is called slow.
SLOW_SECONDS = 2.0
# A page that fails while others of its index are brought is that page's failure; an index that has
# brought nothing for so long is failing.
FAILING_SECONDS = 60.0
# One whose clients have waited in vain, and that has brought nothing since, is slow for so long,
# and then failing: its requests end by themselves much later.
LATE_SECONDS = 10.0
# So many different pages that are refused, or are none, are not those pages' trouble.
SEVERAL = 2


class Condition(msgspec.Struct, frozen=True):
    """How an index is, since when (seconds since the epoch), and what was last wrong."""

    state: State
    since: float | None = None
    error: str | None = None


class Health:
    """The pages' side of one index, and the hosts'. Single-threaded."""

    def __init__(
        self, hosts: Hosts, offline: Offline, now: Callable[[], float] = time.time
    ) -> None:
        self._hosts = hosts
        self._offline = offline
        self._now = now
        self._well_since: float | None = None
        self._succeeded_at = float("-inf")
        # Since the last success; the last error, and whether that was a refusal of credentials.
        self._failed_since: float | None = None
        self._failed: set[str] = set()
        self._error = ""
        self.denied = False
        self._wrong = False
        self._late_since: float | None = None

    def succeeded(self) -> None:
        """A page was brought, or known to be as it was, or not to be there."""
        now = self._now()
        if self._failed_since is not None or self._well_since is None:
            self._well_since = now
        self._succeeded_at = now
        self._failed_since = self._late_since = None
        self._failed.clear()
        self.denied = self._wrong = False

    def failed(
        self, project: str, reason: str, *, denied: bool = False, wrong: bool = False
    ) -> None:
        """The page of a project could not be had; `reason` is one of our own phrases.

        `denied`: credentials were refused; `wrong`: an answer came that no index gives.
        """
        if self._failed_since is None:
            self._failed_since = self._now()
        if len(self._failed) < SEVERAL:
            self._failed.add(project)
        self._error, self.denied, self._wrong = reason, denied, wrong

    def admitted(self) -> None:
        """A probe was answered, and not because of credentials refused."""
        if self.denied:
            self.succeeded()

    def late(self) -> None:
        """A page is awaited for longer than its client may wait."""
        if self._late_since is None:
            self._late_since = self._now()

    @property
    def condition(self) -> Condition:
        """How the index is now."""
        if self._offline.on:
            return Condition("offline")
        # Its own host first: without pages there is nothing.
        for host in (self._hosts.own, *self._hosts):
            if host.breaker.open:
                error = host.last_error if host.own else f"{host.name}: {host.last_error}"
                return Condition("failing", host.failing_since, error)
        if self._failed_since is not None and self._fails():
            return Condition("failing", self._failed_since, self._error)
        if self._late_since is not None:
            lately = 0 <= self._now() - self._late_since < LATE_SECONDS
            state: State = "slow" if lately else "failing"
            return Condition(state, self._late_since, "no answer in time")
        if self._well_since is None and self._failed_since is None:
            return Condition("unused")
        if (self._hosts.own.latency.recent or 0.0) > SLOW_SECONDS:
            return Condition("slow", self._well_since)
        return Condition("ok", self._well_since)

    def _fails(self) -> bool:
        """Whether what failed since the last page is more than one page's trouble."""
        # Where its host answers again, whatever it was asked, an outage is over; a host that sends
        # what no index sends, or refuses, does answer.
        own = self._hosts.own.succeeded_at
        answering = self._wrong or self.denied
        if answering and len(self._failed) >= SEVERAL:
            return True
        last = self._succeeded_at if answering else max(self._succeeded_at, own)
        alone = not 0 <= self._now() - last < FAILING_SECONDS
        return alone and (answering or own <= (self._failed_since or 0.0))
