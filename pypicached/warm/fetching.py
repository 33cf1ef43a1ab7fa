"""Brings the files of plans into the cache, several at a time; each once, however many need it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

import msgspec

from pypicached.cache.bringing import Bringing
from pypicached.cache.stored_files import FileKey
from pypicached.errors import (
    FileNotListedError,
    PypicachedError,
    RefusedError,
    UpstreamError,
    UpstreamUnavailableError,
    clean,
)
from pypicached.ledger import CachedFile
from pypicached.simple.model import ProjectFile
from pypicached.warm.messages import Mode, Outcome, WarmItem
from pypicached.warm.plan import Plan
from pypicached.warm.shelf import Shelf

# Hosts of upstreams have lower limits of their own.
AT_ONCE = 8
# Seconds until what failed is asked for again; a host is left alone for 30 at most.
PAUSES = (3.0, 10.0, 20.0)


class Wanted(msgspec.Struct):
    """A file that targets need."""

    key: FileKey
    project: str
    version: str
    file: ProjectFile
    targets: list[str]

    def item(self, outcome: Outcome, reason: str, size_bytes: int | None) -> WarmItem:
        """Return what became of it."""
        size = self.file.size if size_bytes is None else size_bytes
        return WarmItem(
            self.project, self.version, self.file.filename, self.targets, outcome, reason, size
        )


def wanted_of(plans: Iterable[Plan], shelf: Shelf) -> list[Wanted]:
    """Return the files of all plans, each once with all its targets, by project."""
    found: dict[FileKey, Wanted] = {}
    for plan in plans:
        for item in plan.items:
            key = shelf.key(item.project, item.file, "file")
            first = found.setdefault(key, Wanted(key, item.project, item.version, item.file, []))
            if plan.target not in first.targets:
                first.targets.append(plan.target)
    return sorted(found.values(), key=lambda one: (one.project, one.file.filename))


class Fetching:
    """One job's files; `done` grows to `total` meanwhile."""

    def __init__(self, bringing: Bringing, mode: Mode) -> None:
        self._bringing = bringing
        self._mode = mode
        self.done = 0
        self.total: int | None = None
        self.fetched_bytes = 0
        self._held = contextlib.ExitStack()
        self._not_now: set[FileKey] = set()

    def _hold(self, file: CachedFile) -> None:
        self._held.enter_context(self._bringing.in_use(file))

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold what is found or brought against eviction: it is all to be here at the end."""
        with contextlib.ExitStack() as self._held:
            yield

    async def run(self, wanted: list[Wanted]) -> list[WarmItem]:
        """Bring what is wanted, or say what would be; whatever fails leaves the rest done.

        What an upstream cannot give now is asked for again after a while: it may have been left
        alone because of others.
        """
        self.total = len(wanted)
        results = await self._all(wanted)
        for pause in PAUSES if self._mode == "fetch" else ():
            again = [one for one in wanted if one.key in self._not_now]
            if not again:
                break
            await asyncio.sleep(pause)
            self.done -= len(again)
            results |= await self._all(again)
        return [results[one.key] for one in wanted]

    async def _all(self, wanted: list[Wanted]) -> dict[FileKey, WarmItem]:
        turns = asyncio.Semaphore(AT_ONCE)
        self._not_now.clear()
        async with asyncio.TaskGroup() as group:
            tasks = {one.key: group.create_task(self._one(turns, one)) for one in wanted}
        return {key: task.result() for key, task in tasks.items()}

    async def _one(self, turns: asyncio.Semaphore, wanted: Wanted) -> WarmItem:
        async with turns:
            try:
                return await self._bring(wanted)
            except RefusedError as error:
                return wanted.item("refused", str(error), None)
            except PypicachedError as error:
                if isinstance(error, UpstreamUnavailableError):
                    self._not_now.add(wanted.key)
                return wanted.item("failed", reason_of(error), None)
            finally:
                self.done += 1

    async def _bring(self, wanted: Wanted) -> WarmItem:
        stored = await self._bringing.stored(wanted.key)
        if stored is not None:
            self._hold(stored)
            return wanted.item("cached", "", stored.size_bytes)
        if self._mode == "check":
            raise FileNotListedError("not cached")
        if self._mode == "plan":
            return wanted.item("would-fetch", "", None)
        brought = await self._bringing.bring(wanted.key)
        self._hold(brought)
        self.fetched_bytes += brought.size_bytes
        return wanted.item("fetched", "", brought.size_bytes)


def reason_of(error: PypicachedError) -> str:
    """Return why something failed, for people; never more than a line."""
    if isinstance(error, UpstreamError):
        return f"index {error.index}: {error.reason}"
    return clean(str(error), 500)


def problems_of(plans: Iterable[Plan]) -> list[WarmItem]:
    """Return what plans could not have, each once with all its targets."""
    found: dict[tuple[str, str], WarmItem] = {}
    for plan in plans:
        for problem in plan.problems:
            asked = f" ({problem.where})" if problem.where else ""
            first = found.setdefault(
                (problem.what, problem.reason),
                WarmItem(
                    problem.what,
                    "",
                    "",
                    [],
                    "refused" if problem.kind == "refused" else "failed",
                    f"{problem.reason}{asked}",
                    None,
                ),
            )
            first.targets.append(plan.target)
    return list(found.values())
