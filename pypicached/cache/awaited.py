"""Which pages an index owes us, and whether it has stopped answering for now.

Long before a request to a hanging index ends by its own time-out, clients that may have a stale
page need not find out, each anew, that nothing comes. One page that takes long says nothing; two,
with nothing that came meanwhile, say that the others would wait in vain too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice


class Awaited:
    """The pages of one index that are under way. Single-threaded; moments are monotonic."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        # Project → when its request began; so the oldest come first.
        self._began: dict[str, float] = {}
        self._given_up: set[str] = set()
        self._came_at = float("-inf")

    def begin(self, project: str) -> None:
        """A page is asked for."""
        self._began[project] = self._now()

    def came(self) -> None:
        """A page was brought."""
        self._came_at = self._now()

    def end(self, project: str) -> None:
        """A page is no longer waited for, whatever became of it."""
        self._began.pop(project, None)
        self._given_up.discard(project)

    def give_up(self, project: str) -> None:
        """A client has waited for a page in vain, for as long as it may."""
        if project in self._began:
            self._given_up.add(project)

    def given_up(self, project: str) -> bool:
        """Whether somebody has waited for this page in vain already."""
        return project in self._given_up

    def overdue(self, seconds: float) -> bool:
        """Whether two pages are awaited for `seconds` at least, and none has come meanwhile."""
        oldest = list(islice(self._began.values(), 2))
        if len(oldest) < 2:
            return False
        return self._now() - max(oldest[1], self._came_at) >= seconds
