"""`pypicached warm`: jobs that have everything cached that a build would fetch.

A job is planned in a process of its own (`resolver`), from what the cache is told (`shelf`), and
then fetched like any client's files (`fetching`). `daemon` builds one Warming; `control` serves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable

import msgspec

from pypicached.cache.bringing import Bringing
from pypicached.cache.catalog import Catalog
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.files import Files
from pypicached.cache.gate import Gate
from pypicached.cache.pins import Pins
from pypicached.errors import PypicachedError
from pypicached.ledger import Ledger
from pypicached.logs import event
from pypicached.messages import DownloadStatus, Progress
from pypicached.requirement import parse_requirement
from pypicached.requirements.model import Inputs, Origin, Wish
from pypicached.warm.fetching import Fetching, problems_of, wanted_of
from pypicached.warm.messages import WarmAnswer, WarmItem, WarmRequest
from pypicached.warm.names import parse_targets
from pypicached.warm.plan import Job, Plan
from pypicached.warm.resolver import run_resolver
from pypicached.warm.scopes import outside
from pypicached.warm.shelf import Shelf
from pypicached.warm.targets import Target

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.2
# Each has a process of its own for as long as it plans.
MAX_JOBS = 8
# `--top` goes by what was used in so long.
TOP_SECONDS = 30 * 86400.0


class Warming:
    """Runs jobs; those that are detached end with the daemon at the latest."""

    def __init__(
        self,
        catalog: Catalog,
        decoded: DecodedPages,
        gate: Gate,
        files: Files,
        bringing: Bringing,
        ledger: Ledger,
        pins: Pins,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._decoded = decoded
        self._gate = gate
        self._files = files
        self._bringing = bringing
        self._ledger = ledger
        self._pins = pins
        self._now = now
        self._jobs: set[asyncio.Task[WarmAnswer]] = set()

    async def close(self) -> None:
        """Cancel what runs."""
        for task in self._jobs:
            task.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def run(self, request: WarmRequest) -> AsyncGenerator[Progress | WarmAnswer, None]:
        """Do a job; yield how far it is, then what became of it.

        When closed, the job is stopped: what is cached by then stays. Raises ValueError for a
        target that is none, PypicachedError if nothing can be planned, or too much is under way.
        """
        if len(self._jobs) >= MAX_JOBS:
            raise PypicachedError(f"{MAX_JOBS} warms are under way: try again when one has ended")
        job = _WarmJob(self, request, parse_targets(request))
        task = asyncio.get_running_loop().create_task(job.run())
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        if request.detach:
            task.add_done_callback(self._ended)
            yield WarmAnswer([], 0, 0.0, detached=True)
            return
        try:
            while not (await asyncio.wait({task}, timeout=PROGRESS_SECONDS))[0]:
                yield job.progress()
            yield task.result()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, PypicachedError):
                await task

    def _ended(self, task: asyncio.Task[WarmAnswer]) -> None:
        if task.cancelled():
            event(logger, logging.WARNING, "warm was stopped")
        elif (error := task.exception()) is not None:
            event(logger, logging.ERROR, f"warm failed: {error}")
        else:
            event(logger, logging.INFO, summary_of(task.result()))

    # ── what a job needs ─────────────────────────────────────────────────────────────────────

    def shelf(self, request: WarmRequest) -> Shelf:
        """Return what a job's resolver is told from."""
        return Shelf(
            self._catalog,
            self._decoded,
            self._gate,
            self._bringing,
            self._ledger,
            mode=request.mode,
            refresh=request.top > 0,
        )

    def fetching(self, request: WarmRequest) -> Fetching:
        """Return what fetches a job's files."""
        return Fetching(self._bringing, request.mode)

    async def most_used(self, limit: int) -> list[str]:
        """Return the projects that this host used most, the most used first."""
        if not limit:
            return []
        await self._ledger.usage.flush()
        rows = await self._ledger.usage.top(self._now() - TOP_SECONDS, limit)
        return [project for project, _, _ in rows if project]

    async def pin(self, items: list[WarmItem]) -> None:
        """Pin what is here of these, version by version."""
        here = {(i.project, i.version) for i in items if i.outcome in ("cached", "fetched")}
        await self._pins.add([parse_requirement(f"{p}=={v}") for p, v in sorted(here)])

    def running(self, filenames: set[str]) -> list[DownloadStatus]:
        """Return those of these files that are on their way."""
        return [
            DownloadStatus(d.filename, d.progress.written, d.length, d.readers)
            for d in self._files.downloads
            if d.filename in filenames
        ]


class _WarmJob:
    """One job and how far it is."""

    def __init__(self, warming: Warming, request: WarmRequest, targets: list[Target]) -> None:
        self._warming = warming
        self._request = request
        self._targets = targets
        self._fetching = warming.fetching(request)
        self._filenames: set[str] = set()

    def progress(self) -> Progress:
        """Return how far it is."""
        fetching = self._fetching
        if fetching.total is None:
            return Progress(0, None, "resolving")
        running = self._warming.running(self._filenames)
        return Progress(
            fetching.done, fetching.total, "files", fetching.fetched_bytes, downloads=running
        )

    async def run(self) -> WarmAnswer:
        """Plan, fetch, pin."""
        began, shelf = time.monotonic(), self._warming.shelf(self._request)
        plans, notes = await self._plan(shelf)
        gaps = list(dict.fromkeys(gap for plan in plans for gap in plan.gaps))
        left_out = list(self._request.inputs.left_out)
        if self._request.mode == "plan":
            notes += gaps  # sdists are not brought to plan one
        else:
            left_out += gaps
        wanted = wanted_of(plans, shelf)
        self._filenames = {one.file.filename for one in wanted}
        with self._fetching.holding():
            items = await self._fetching.run(wanted)
            if self._request.pin and self._request.mode == "fetch":
                await self._warming.pin(items)
        return WarmAnswer(
            items + problems_of(plans),
            self._fetching.fetched_bytes,
            round(time.monotonic() - began, 3),
            notes,
            left_out,
        )

    async def _plan(self, shelf: Shelf) -> tuple[list[Plan], list[str]]:
        inputs, request = self._request.inputs, self._request
        plans: list[Plan] = []
        notes = [*inputs.skipped]
        notes += outside(inputs.scopes, self._targets)
        job = self._job(inputs)
        if inputs.wishes or inputs.locked:
            plans += await run_resolver(job, shelf)
        if inputs.build:
            apart = msgspec.structs.replace(job, wishes=inputs.build, constraints=(), locked=())
            plans += await run_resolver(apart, shelf)
        names = await self._warming.most_used(request.top)
        for project in names:  # one by one: they need not go together
            wish = Wish(project, Origin("most used"))
            alone = Job(targets=job.targets, wishes=(wish,), with_dependencies=False)
            plans += await run_resolver(alone, shelf)
        notes += dict.fromkeys(note for plan in plans for note in plan.notes)
        return plans, notes

    def _job(self, inputs: Inputs) -> Job:
        return Job(
            targets=tuple(self._targets),
            wishes=inputs.wishes,
            constraints=inputs.constraints,
            locked=inputs.locked,
            only_binary=inputs.only_binary,
            no_binary=inputs.no_binary,
            pre=inputs.pre,
            with_dependencies=self._request.with_dependencies,
            with_sdists=self._request.with_sdists,
        )


def summary_of(answer: WarmAnswer) -> str:
    """Return in a line what became of a job."""
    counts: dict[str, int] = {}
    for item in answer.items:
        counts[item.outcome] = counts.get(item.outcome, 0) + 1
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    return f"warm: {told or 'nothing to do'}, {answer.fetched_bytes} bytes in {answer.seconds:g} s"
