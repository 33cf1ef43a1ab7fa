"""Removing by an operator's word: prune by last use or to a size, invalidate pages, drop files.

For a command a plan is made first, from the ledger with pending access times written, and then
carried out as it stands: what was announced is what goes, but for blobs that somebody has begun to
read, or to pin, meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from pypicached.cache.blobs import Blobs, Removal
from pypicached.cache.catalog import Catalog
from pypicached.cache.project_list import LIST, ProjectLists
from pypicached.ledger import BlobRow, CachedFile, Ledger

BATCH = 100
DAY_SECONDS = 86400.0


class Plan(msgspec.Struct):
    """What goes: files' rows, blobs (digest → bytes of disk), pages as (index, project).

    `pinned` counts the files that would go as well if no pin held them.
    """

    files: list[CachedFile]
    blobs: dict[str, int]
    pages: list[tuple[str, str]]
    pinned: int = 0

    @property
    def disk_bytes(self) -> int:
        """What comes free on disk."""
        return sum(self.blobs.values())

    def names_of(self, digests: Iterable[str]) -> list[str]:
        """Return the names of files that blobs hold, sorted; a blob without one goes by digest."""
        names: dict[str, list[str]] = {digest: [] for digest in digests}
        for file in self.files:
            if file.sha256 in names:
                names[file.sha256].append(file.filename)
        return sorted(name for digest, held in names.items() for name in held or [digest])

    def freed_by(self, digests: Iterable[str]) -> int:
        """What came free with these blobs."""
        return sum(self.blobs[digest] for digest in digests)


class Dropped(msgspec.Struct):
    """What became of cached files that were to go, by the operator's word.

    `pinned` and `failed` name those that did not; `projects` are those that had any.
    """

    files: int = 0
    bytes: int = 0
    projects: set[str] = msgspec.field(default_factory=set)
    pinned: list[str] = msgspec.field(default_factory=list)
    failed: list[str] = msgspec.field(default_factory=list)


class Pruning:
    """Plans and carries out removals. Safe while traffic goes on."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        catalog: Catalog,
        lists: ProjectLists,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._catalog = catalog
        self._lists = lists
        self._now = now

    # ── prune ────────────────────────────────────────────────────────────────────────────────

    async def plan(
        self, days: float | None, to_size_bytes: int | None, projects: list[str]
    ) -> Plan:
        """Decide what goes. Exactly one of `days` and `to_size_bytes` is given."""
        await self._ledger.usage.flush()
        wanted = set(projects)
        if days is not None:
            moment = self._now() - days * DAY_SECONDS
            plan = await self._plan_unused(moment, wanted)
            pages = await self._unused_pages(moment)
            plan.pages = [page for page in pages if not wanted or page[1] in wanted]
            return plan
        assert to_size_bytes is not None
        return await self._plan_size(to_size_bytes, wanted)

    async def _plan_unused(self, moment: float, projects: set[str]) -> Plan:
        """Blobs whose last use, under any name, lies before `moment`."""
        plan = Plan([], {}, [])
        async for row in self._oldest():
            if row.last_used_at >= moment:
                break
            await self._add(plan, row.sha256, row.disk_bytes, projects)
        return plan

    async def _plan_size(self, to_size_bytes: int, projects: set[str]) -> Plan:
        """The least recently used blobs, until what is used is at most `to_size_bytes`."""
        plan = Plan([], {}, [])
        over = self._blobs.budget.used_bytes - to_size_bytes
        async for row in self._oldest():
            if over <= 0:
                break
            over -= await self._add(plan, row.sha256, row.disk_bytes, projects)
        return plan

    async def _oldest(self) -> AsyncIterator[BlobRow]:
        """Yield all blobs, least recently used first, in pages: no transaction stays open."""
        last: BlobRow | None = None
        while rows := await self._ledger.files.oldest_blobs(last, 1000):
            for row in rows:
                yield row
            last = rows[-1]

    async def _add(self, plan: Plan, sha256: str, disk_bytes: int, projects: set[str]) -> int:
        """Take a blob into the plan if it may go and belongs to `projects` alone."""
        files = await self._ledger.files.of_blob(sha256)
        if sha256 in self._blobs.uses:
            return 0
        if projects and not (files and all(file.project in projects for file in files)):
            return 0
        if self._blobs.pins.hold_any(files):
            plan.pinned += len(files)
            return 0
        plan.files.extend(files)
        plan.blobs[sha256] = disk_bytes
        return disk_bytes

    async def carry_out(self, plan: Plan) -> AsyncIterator[tuple[Removal, int]]:
        """Remove what was planned; yield (what became of a batch, blobs looked at so far).

        Raises LedgerError.
        """
        await self._delete_pages(plan.pages)
        digests = list(plan.blobs)
        for start in range(0, len(digests), BATCH):
            batch = digests[start : start + BATCH]
            yield await self._blobs.remove(batch), start + len(batch)

    # ── by itself ────────────────────────────────────────────────────────────────────────────

    async def drop_unused(self, moment: float) -> AsyncIterator[tuple[Removal, int]]:
        """Remove blobs whose last use lies before `moment`; yield (what became of a batch, bytes).

        Batch by batch, each with the uses that are pending by then. Raises LedgerError.
        """
        last: BlobRow | None = None
        while True:
            await self._ledger.usage.flush()
            rows = await self._ledger.files.oldest_blobs(last, BATCH)
            old = {row.sha256: row.disk_bytes for row in rows if row.last_used_at < moment}
            if not old:
                return
            last = rows[-1]
            removal = await self._blobs.remove(old)
            yield removal, sum(old[digest] for digest in removal.gone)

    async def drop_unused_pages(self, moment: float) -> AsyncIterator[int]:
        """Remove pages whose last use lies before `moment`; yield how many went. LedgerError."""
        await self._ledger.usage.flush()
        pages = await self._unused_pages(moment)
        for start in range(0, len(pages), BATCH):
            batch = pages[start : start + BATCH]
            await self._delete_pages(batch)
            yield len(batch)

    async def _unused_pages(self, moment: float) -> list[tuple[str, str]]:
        """Return (index, project) of the pages that may go: not those that lead to pinned files."""
        pages = await self._ledger.pages.unused_since(moment)
        return [page for page in pages if not self._blobs.pins.hold_page(page[1])]

    async def _delete_pages(self, pages: list[tuple[str, str]]) -> None:
        await self._ledger.pages.delete(pages)
        for index, project in pages:
            self._forget(project, index)

    # ── invalidate ───────────────────────────────────────────────────────────────────────────

    async def invalidate(self, project: str | None, index: str | None) -> int:
        """Make the pages of a project (None: all, '': the project list) be asked anew."""
        count = await self._ledger.pages.expire(project, index)
        self._forget(project, index)
        return count

    def _forget(self, project: str | None, index: str | None) -> None:
        """Drop pages from memory, too."""
        held = self._lists.pages if project == LIST else self._catalog.pages
        for name, pages in held.items():
            if index in (None, name):
                pages.forget_all() if project is None else pages.forget(project)

    async def drop_files(self, projects: list[str] | None, index: str | None) -> Dropped:
        """Remove the cached files of projects (None: of all) that no pin holds."""
        dropped = Dropped()
        names = projects
        if names is None:
            names = [row[0] for row in await self._ledger.files.projects()]
        for name in names:
            files = [
                file
                for file in await self._ledger.files.of_project(name)
                if index in (None, file.index)
            ]
            if files:
                dropped.projects.add(name)
                await self._drop(files, dropped)
        return dropped

    async def _drop(self, files: list[CachedFile], dropped: Dropped) -> None:
        going = {file.sha256: 0 for file in files}
        for digest in going:
            row = await self._ledger.files.get_blob(digest)
            going[digest] = row.disk_bytes if row else 0
        removal = await self._blobs.remove(going)
        dropped.files += sum(file.sha256 in removal.gone for file in files)
        dropped.bytes += sum(going[digest] for digest in removal.gone)
        dropped.pinned += [file.filename for file in files if file.sha256 in removal.pinned]
        dropped.failed += [file.filename for file in files if file.sha256 in removal.failed]
