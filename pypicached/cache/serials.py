"""Pages that are older than the one we have: a mirror or CDN node that lags (rule 45).

PyPI's `X-PyPI-Last-Serial` counts a project's changes. An older one than stored is first held to be
a node that lags, and the newer page is kept; what still says so one TTL later is believed, for an
index may have been restored from a backup.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Projects of one index that lag at the same time; beyond that the first one is believed early.
MOST = 10_000


class Serials:
    """Decides for the pages of one index. Single-threaded; what it knows is lost at a restart."""

    def __init__(self, believe_after_seconds: float, now: Callable[[], float] = time.time) -> None:
        self.believe_after_seconds = believe_after_seconds
        self._now = now
        # Project → when an older page was first seen.
        self._lagging: dict[str, float] = {}

    def lags(self, project: str, stored: int | None, received: int | None) -> bool:
        """Whether a page that was received is to be passed over for the stored one."""
        if stored is None or received is None or received >= stored:
            self._lagging.pop(project, None)
            return False
        now = self._now()
        since = self._lagging.setdefault(project, now)
        if 0 <= now - since < self.believe_after_seconds:
            if len(self._lagging) > MOST:
                del self._lagging[next(iter(self._lagging))]
            return True
        del self._lagging[project]
        return False
