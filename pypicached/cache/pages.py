"""Project pages of one index: memory → ledger → upstream; fresh, revalidated or stale.

One flight per page, whoever asks; a request waits for it up to a deadline and then gets the stored
page, stale, while the flight goes on (rules 33 to 47). A page that is not stored and cannot be had
is an error, never absence.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from pypicached.cache.awaited import Awaited
from pypicached.cache.flight import Flights, wait_at_most
from pypicached.cache.memory import Memory
from pypicached.cache.refresh import Refresh
from pypicached.cache.renderer import Renderer
from pypicached.cache.renderings import Rendering, Variant
from pypicached.cache.stored import StoredPage, Times, forgotten
from pypicached.cache.storing import Storing
from pypicached.cache.trouble import Trouble
from pypicached.chain import behind
from pypicached.errors import (
    DamagedPageError,
    HostError,
    LedgerError,
    OfflineError,
    UpstreamError,
    UpstreamPausedError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from pypicached.ledger import Ledger, Page, Result
from pypicached.logs import event
from pypicached.simple.model import ProjectPage
from pypicached.upstream import Offline

logger = logging.getLogger(__name__)

# `no-cache` asks upstream at most this often per page (rule 34).
FORCED_SECONDS = 10.0
# After a failed refresh a stale page is served at once for so long, not after a deadline again.
FAILURE_SECONDS = 10.0
# A client that asks again for what has not come within a whole deadline, or of an index from which
# nothing comes, waits no longer than this: clients try half a dozen times before they give up.
AGAIN_SECONDS = 2.0


class Failed(NamedTuple):
    """A refresh that failed: when, why, for how long a stale page does instead of another one.

    `held`: upstream asked not to be asked for this page meanwhile, not even without a stored one.
    """

    at: float
    reason: str
    seconds: float
    held: bool = False

    def lasts(self, now: float) -> bool:
        """Whether it still counts; not when the clock was set back."""
        return 0 <= now - self.at < self.seconds


class Answer(NamedTuple):
    """A stored page and how it came: `result` counts it, `cache_status` is RFC 9211's part."""

    page: StoredPage
    result: Result
    cache_status: str


HIT = "pypicached; hit"
LATE = "no answer from upstream in time"


class Pages:
    """The pages of one index. Single-threaded; any number of requests.

    A reload that reaches the index in another way puts another one of these in its place. The two
    share ledger and memory, so what the old one brings from then on is recorded nowhere. `may_ask`
    tells, in the last moment before it is done, whether the index may be told of a project.
    """

    def __init__(
        self,
        index: str,
        refresh: Refresh,
        ledger: Ledger,
        *,
        memory: Memory[tuple[str, str], StoredPage],
        renderer: Renderer,
        times: Times,
        offline: Offline,
        may_ask: Callable[[str], bool],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.index = index
        self.times = times
        self._refresh = refresh
        self._ledger = ledger
        self._memory = memory
        self._renderer = renderer
        self._offline = offline
        self._may_ask = may_ask
        self._now = now
        self._flights: Flights[str, StoredPage] = Flights()
        self._renders: Flights[tuple[StoredPage, Variant], Rendering] = Flights()
        self._storing = Storing()
        # Of projects whose last refresh failed; bounded by `_note_failure`.
        self._failed: dict[str, Failed] = {}
        self._awaited = Awaited()
        self._retired = False
        self._trouble = Trouble(logger)

    async def close(self) -> None:
        """Cancel running refreshes; what was answered with is still stored."""
        await self._flights.close()
        await self._renders.close()
        await self._storing.close()

    # ── other settings ───────────────────────────────────────────────────────────────────────

    def apply(self, times: Times) -> None:
        """Keep pages for other times, from now on."""
        self.times = times
        self._renderer.ttl = times.ttl
        self._refresh.believe_after(times.ttl)

    def retire(self) -> None:
        """Ask and record nothing any more; those who wait for a page find that out at once.

        What is being rendered is rendered.
        """
        self._retired = True
        self._flights.cancel(lambda _: True)
        self._storing.cancel(lambda _: True)

    def leave_others(self) -> None:
        """Break off asking for what another index owns by now: no second attempt, either."""
        for work in (self._flights, self._storing):
            work.cancel(lambda project: not self._may_ask(project))

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    def ready(self, project: str) -> StoredPage | None:
        """Return the page if it is in memory and fresh: the hot path, no SQL and no await."""
        page = self._memory.get((self.index, project))
        if page is not None and page.fresh(self._now(), self.times):
            return page
        return None

    async def get(
        self,
        project: str,
        *,
        no_cache: bool = False,
        began: float | None = None,
        wanted: Variant | None = None,
        offline: bool | None = None,
    ) -> Answer:
        """Return the page of `project`, whatever its state ("absent" too).

        `no_cache`: ask upstream now, at most every 10 s. `began`: since when (monotonic) the client
        waits, where another index was asked before, and `offline`: as it was then. `wanted`: what
        it will be rendered as; of a new page it is made while the page is packed. Raises
        UpstreamError when nothing that may be served is stored and upstream does not answer in
        time; HostError when this host cannot take in what it answers.
        """
        began = time.monotonic() if began is None else began
        page = await self.stored(project)
        now = self._now()
        if self._offline.on if offline is None else offline:
            return self._while_offline(project, page, now)
        forced = no_cache and page is not None and page.age(now) >= FORCED_SECONDS
        if page is not None and page.fresh(now, self.times) and not forced:
            return Answer(page, "hits", HIT)
        if page is not None and page.may_be_stale(now, self.times):
            return await self._revalidated(project, page, began, wait=no_cache)
        return await self._fetched(project, page, began, wanted)

    def _while_offline(self, project: str, page: StoredPage | None, now: float) -> Answer:
        """Return what is stored, however old: what an index once said is what it says.

        What it was never asked is not known (OfflineError): absence that is old is "stale", too,
        and hands the name on, but is no 404 by itself.
        """
        if page is None or page.forgotten:
            raise OfflineError(f"{project or 'the project list'} is not cached")
        if page.fresh(now, self.times) or page.row.state == "removed":
            return Answer(page, "hits", HIT)
        return _stale(page, "offline")

    async def stored(self, project: str) -> StoredPage | None:
        """Return the page as it is stored, from memory or ledger, fresh or not.

        A ledger that cannot be read has no page: upstream is asked. So it is where a page is
        damaged; that its index had the project is not forgotten.
        """
        key = (self.index, project)
        page = self._memory.get(key)
        if page is None:
            # What memory has no room for may still be on its way to the ledger.
            await self._storing.landed(project)
            row = await self._row(project)
            page = self._memory.get(key)  # a flight may have landed meanwhile
            if page is None and row is not None:
                page = StoredPage(row)
                self._remember(page)
        return page

    def _remember(self, page: StoredPage) -> None:
        if not self._retired:
            self._memory.put((self.index, page.row.project), page, page.size_bytes)

    async def _row(self, project: str) -> Page | None:
        try:
            row = await self._ledger.pages.get(self.index, project)
        except LedgerError as error:
            self._trouble.tell(f"{error}; the pages of index {self.index} come from upstream")
            return None
        try:
            if row is not None:
                await self._renderer.check(row)
        except DamagedPageError as error:
            text = f"page {project} of index {self.index} comes from upstream: {error}"
            event(logger, logging.ERROR, text, index=self.index, project=project)
            return forgotten(row) if row is not None and project else None
        return row

    async def _revalidated(
        self, project: str, page: StoredPage, began: float, *, wait: bool
    ) -> Answer:
        """Refresh a page that may be served stale if upstream does not answer in time.

        `wait`: the client wants upstream's word, also where a refresh behind would do.
        """
        now = self._now()
        reason = self._refresh.paused(project)
        if reason is not None:
            return _stale(page, reason)
        failed = self._failed.get(project)
        if failed is not None and failed.lasts(now):
            return _stale(page, failed.reason)
        overdue = self._awaited.overdue(self.times.page_deadline)
        flight, leading = self._fly(project, page.row)
        if overdue:
            return _stale(page, LATE)
        if not wait and page.may_be_refreshed_behind(now, self.times):
            return _stale(page, "stale-while-revalidate")
        if not await wait_at_most(flight, _left(self.times.page_deadline, began)):
            # The flight goes on; until it lands nobody else waits for as long.
            self._note_failure(project, Failed(self._now(), LATE, FAILURE_SECONDS))
            self._refresh.late()
            return _stale(page, LATE)
        try:
            new = self._landed(flight)
        except UpstreamRefusedError:
            raise
        except (UpstreamError, HostError, OfflineError) as error:
            return _stale(page, error.reason)
        if new.row.fetched_at == page.row.fetched_at:
            status = behind(new.told, "pypicached; fwd=stale; fwd-status=304")
            return Answer(new, "revalidated", status)
        return Answer(new, "misses", behind(new.told, _fetched_status(leading, "stale")))

    async def _fetched(
        self, project: str, page: StoredPage | None, began: float, wanted: Variant | None
    ) -> Answer:
        """Fetch a page of which nothing may be served until upstream has answered."""
        failed = self._failed.get(project)
        if failed is not None and failed.held and failed.lasts(self._now()):
            raise UpstreamPausedError(self.index, f"{failed.reason}; asked again soon")
        seconds = _left(self.times.cold_deadline, began)
        hopeless = self._awaited.overdue(self.times.page_deadline)
        if hopeless or self._awaited.given_up(project):
            seconds = min(seconds, AGAIN_SECONDS)
        flight, leading = self._fly(project, page.row if page else None, wanted)
        if not await wait_at_most(flight, seconds):
            self._awaited.give_up(project)
            self._refresh.late()
            raise UpstreamUnavailableError(self.index, "no answer in time; still asking")
        new = self._landed(flight)
        status = behind(new.told, _fetched_status(leading, "miss"))
        return Answer(new, "misses" if leading else "joins", status)

    def _fly(
        self, project: str, before: Page | None, wanted: Variant | None = None
    ) -> tuple[asyncio.Task[StoredPage], bool]:
        if self._retired or not self._may_ask(project):
            raise self._overtaken()
        return self._flights.join(project, lambda: self._bring(project, before, wanted))

    def _landed(self, flight: asyncio.Task[StoredPage]) -> StoredPage:
        """Return what a flight has brought; UpstreamUnavailableError if a reload broke it off."""
        if flight.cancelled():
            raise self._overtaken()
        return flight.result()

    def _overtaken(self) -> UpstreamUnavailableError:
        # `catalog` asks again under the settings that are in force.
        return UpstreamUnavailableError(self.index, "its settings have just changed")

    async def _bring(self, project: str, before: Page | None, wanted: Variant | None) -> StoredPage:
        """The flight: refresh, then replace what memory holds. Runs once per page at a time."""
        made: dict[Variant, Rendering] = {}

        async def on_parsed(row: Page, parsed: ProjectPage) -> None:
            self._renderer.keep_parsed(row, parsed)
            if wanted is not None and wanted.cached is None:
                made[wanted] = await self._renderer.render(row, wanted)

        await self._storing.landed(project)
        self._awaited.begin(project)
        try:
            brought = await self._refresh.run(project, before, on_parsed)
        except UpstreamPausedError:
            raise  # known to the index, and forgotten there first
        except UpstreamRefusedError:
            self.forget(project)
            raise
        except UpstreamUnavailableError as error:
            held = error.retry_after is not None
            seconds = max(FAILURE_SECONDS, error.retry_after or 0.0)
            self._note_failure(project, Failed(self._now(), error.reason, seconds, held))
            raise
        except UpstreamError as error:
            self._note_failure(project, Failed(self._now(), error.reason, FAILURE_SECONDS))
            raise
        except HostError as error:
            self._note_failure(project, Failed(self._now(), error.reason, FAILURE_SECONDS))
            self._trouble.tell(f"cannot take in pages of index {self.index}: {error}")
            raise
        finally:
            self._awaited.end(project)
        self._awaited.came()
        self._failed.pop(project, None)
        row = brought.row
        page = StoredPage(row, made, brought.told)
        old = self._memory.get((self.index, project))
        if old is not None and old.row.body == row.body and old.row.serial == row.serial:
            page.renderings = old.renderings  # a 304, or the same page again: still ready-made
        self._remember(page)
        if not brought.stored:
            store = functools.partial(self._refresh.store, brought)
            self._storing.begin(project, brought.odd_paths, store)
        return page

    async def project_of_odd(self, path: str) -> str | None:
        """Return the project that lists a file whose name does not tell it. Raises LedgerError."""
        found = self._storing.project_of_odd(path)
        return found or await self._ledger.pages.project_of_odd(self.index, path)

    def _note_failure(self, project: str, failed: Failed) -> None:
        if len(self._failed) > 1000:
            self._failed = {p: f for p, f in self._failed.items() if f.lasts(failed.at)}
        self._failed[project] = failed

    # ── rendering, forgetting ────────────────────────────────────────────────────────────────

    async def render(self, page: StoredPage, variant: Variant) -> Rendering:
        """Return the page in one format and coding, made on first demand."""
        rendering = page.renderings.get(variant)
        if rendering is None or not rendering.holds(self._now()):
            flight, _ = self._renders.join((page, variant), lambda: self._render(page, variant))
            rendering = await asyncio.shield(flight)
        return rendering

    async def _render(self, page: StoredPage, variant: Variant) -> Rendering:
        rendering = await self._renderer.render(page.row, variant)
        for made in [v for v in page.renderings if not v.may_be_wanted_with(variant)]:
            del page.renderings[made]
        page.renderings[variant] = rendering
        key = (self.index, page.row.project)
        if self._memory.get(key) is page:
            self._memory.put(key, page, page.size_bytes)
        return rendering

    async def age(self, project: str) -> float | None:
        """Return how many seconds ago upstream vouched for a page, None if it is not stored."""
        page = await self.stored(project)
        return None if page is None else page.age(self._now())

    def forget(self, project: str) -> None:
        """Drop a page from memory: its row has changed or gone."""
        self._memory.drop((self.index, project))
        self._failed.pop(project, None)

    def forget_all(self) -> None:
        """Drop every page of this index from memory."""
        self._memory.drop_where(lambda key: key[0] == self.index)
        self._failed.clear()


def _stale(page: StoredPage, detail: str) -> Answer:
    return Answer(page, "stale", f'pypicached; fwd=stale; detail="{detail}"')


def _left(deadline_seconds: float, began: float) -> float:
    """Return what is left of a deadline, in seconds."""
    return max(0.0, deadline_seconds - (time.monotonic() - began))


def _fetched_status(leading: bool, why: str) -> str:
    return f"pypicached; fwd={why}; {'stored' if leading else 'collapsed'}"
