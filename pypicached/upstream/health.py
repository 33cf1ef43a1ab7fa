"""What an index's last pages and its hosts say of it: for `status`, metrics and problems.

A state is worked out when it is asked for, from what happened; nothing here is asked of anybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec

from pypicached.upstream.hosts import Hosts

State = Literal["unused", "ok", "slow", "failing"]

# An index that lately needs longer than this for the head of an answer is called slow.
SLOW_SECONDS = 2.0
# A page that fails while others of its index are brought is that page's failure; an index that has
# brought nothing for so long is failing.
FAILING_SECONDS = 60.0


class Condition(msgspec.Struct, frozen=True):
    """How an index is, since when (seconds since the epoch), and what was last wrong."""

    state: State
    since: float | None = None
    error: str | None = None


class Health:
    """The pages' side of one index, and the hosts'. Single-threaded."""

    def __init__(self, hosts: Hosts, now: Callable[[], float] = time.time) -> None:
        self._hosts = hosts
        self._now = now
        self._well_since: float | None = None
        self._succeeded_at = float("-inf")
        # Since the last success; the last error, and whether that was a refusal of credentials.
        self._failed_since: float | None = None
        self._error = ""
        self._denied = False
        self._late_since: float | None = None

    def succeeded(self) -> None:
        """A page was brought, or known to be as it was, or not to be there."""
        now = self._now()
        if self._failed_since is not None or self._well_since is None:
            self._well_since = now
        self._succeeded_at = now
        self._failed_since = self._late_since = None
        self._denied = False

    def failed(self, reason: str, *, denied: bool = False) -> None:
        """A page could not be had; `reason` is one of our own phrases."""
        if self._failed_since is None:
            self._failed_since = self._now()
        self._error, self._denied = reason, denied

    def late(self) -> None:
        """A page is awaited for longer than its client may wait."""
        if self._late_since is None:
            self._late_since = self._now()

    @property
    def condition(self) -> Condition:
        """How the index is now."""
        # Its own host first: without pages there is nothing.
        for host in (self._hosts.own, *self._hosts):
            if host.breaker.open:
                error = host.last_error if host.own else f"{host.name}: {host.last_error}"
                return Condition("failing", host.failing_since, error)
        now = self._now()
        if self._failed_since is not None:
            alone = not 0 <= now - self._succeeded_at < FAILING_SECONDS
            if self._denied or alone:
                return Condition("failing", self._failed_since, self._error)
        if self._late_since is not None:
            return Condition("slow", self._late_since, "an answer is overdue")
        if self._well_since is None and self._failed_since is None:
            return Condition("unused")
        if (self._hosts.own.latency.recent or 0.0) > SLOW_SECONDS:
            return Condition("slow", self._well_since)
        return Condition("ok", self._well_since)
