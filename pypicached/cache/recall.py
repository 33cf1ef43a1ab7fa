"""Looking now and then at the pages of files that are served without them.

A hit asks for no page, and clients with lock files ask for none either: on a host that installs
from nothing else, nobody would ever hear that a release was withdrawn or its project put into
quarantine. So a project whose files are hit has its page asked for, behind the hit, once it is an
hour old: one page at a time, and once an hour whether or not that succeeds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Container

from pypicached.errors import HostError, NotFoundError, OfflineError, UpstreamError

LOOK_SECONDS = 3600.0
# Projects that a busy host uses in an hour; beyond it a page's age is merely looked at once more.
MAX_KNOWN = 20_000
# What finds no place comes again with its next hit.
MAX_WAITING = 1_000


class Recall:
    """Which projects were met last, and the worker. Single-threaded."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        # (index, project) → when its page is to be looked at again.
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()
        # Oldest first.
        self._waiting: dict[tuple[str, str], None] = {}
        self._wanted = asyncio.Event()

    def met(self, index: str, project: str) -> None:
        """A stored file of a project is served: no SQL, no await."""
        key, now = (index, project), self._now()
        # A moment further off means that the clock was set back.
        if 0 < self._known.get(key, 0.0) - now <= LOOK_SECONDS or len(self._waiting) >= MAX_WAITING:
            return
        self._known[key] = now + LOOK_SECONDS
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        self._waiting[key] = None
        self._wanted.set()

    def forget(self, indexes: Container[str]) -> None:
        """Indexes are other ones now: whatever is met of them is looked at anew."""
        for key in [key for key in self._known if key[0] in indexes]:
            del self._known[key]

    async def run(self, look: Callable[[str, str, float], Awaitable[float]]) -> None:
        """Have `look(index, project, seconds)` look at what waits, until cancelled.

        It asks for a page that is older than that, and returns in how many seconds the page will
        be. What it brings is taken in where it is brought.
        """
        while True:
            await self._wanted.wait()
            for key in list(self._waiting):
                # A failure is told where it is met; the page is looked at again in an hour.
                with contextlib.suppress(UpstreamError, HostError, OfflineError, NotFoundError):
                    self._known[key] = self._now() + await look(*key, LOOK_SECONDS)
                del self._waiting[key]
            if not self._waiting:
                self._wanted.clear()
