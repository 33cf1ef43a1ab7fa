"""Removing by an operator's word: prune by last use or to a size, invalidate pages, drop files.

For a command the ledger is walked, oldest first, with pending access times written. A batch is
decided and, unless it is a dry run, removed before the next one is read, so that a million files
are never held at once. What somebody has begun to read, or to pin, meanwhile stays.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

import msgspec

from pypicached.cache.blobs import Blobs, Removal
from pypicached.cache.catalog import Catalog
from pypicached.cache.project_list import LIST, ProjectLists
from pypicached.cache.stepping import one_ahead
from pypicached.ledger import BlobRow, CachedFile, FileName, Ledger

# Blobs or pages that are read, and removed, at a time: hits go on in between.
BATCH = 200
DAY_SECONDS = 86400.0
ENDLESS = float("inf")


class Asked(msgspec.Struct, frozen=True):
    """What is to go: exactly one of `days` and `to_size_bytes` is given.

    `projects` limits it to what is theirs alone; none named: no limit.
    """

    days: float | None = None
    to_size_bytes: int | None = None
    projects: frozenset[str] = frozenset()


class Batch(msgspec.Struct):
    """Of the next blobs those that go, by digest, and what each is called.

    `pinned` counts the names that would go as well if no pin held them.
    """

    blobs: dict[str, BlobRow]
    names: dict[str, list[FileName]]
    pinned: int = 0

    def freed_by(self, digests: Iterable[str]) -> int:
        """What comes free on disk with these blobs."""
        return sum(self.blobs[digest].disk_bytes for digest in digests)

    def names_of(self, digests: Iterable[str]) -> list[str]:
        """Return the names of files that blobs hold, sorted; a blob without one goes by digest."""
        names = ([name.filename for name in self.names.get(d, ())] or [d] for d in digests)
        return sorted(itertools.chain.from_iterable(names))


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

    async def candidates(self, asked: Asked) -> AsyncGenerator[Batch, None]:
        """Yield what may go, least recently used first, in batches. Raises LedgerError."""
        await self._ledger.usage.flush()
        before = self._moment(asked.days)
        over = ENDLESS
        if asked.to_size_bytes is not None:
            over = self._blobs.budget.used_bytes - asked.to_size_bytes
        if over <= 0:
            return
        async with contextlib.aclosing(one_ahead(self._oldest(asked.projects))) as oldest:
            async for rows, names in oldest:
                old = [row for row in rows if row.last_used_at < before]
                batch = self._decide(old, names, over, asked.projects)
                yield batch
                over -= batch.freed_by(batch.blobs)
                if over <= 0 or len(old) < len(rows):
                    return

    def _moment(self, days: float | None) -> float:
        """Return the moment before which what was last used is to go."""
        return ENDLESS if days is None else self._now() - days * DAY_SECONDS

    async def _oldest(
        self, projects: frozenset[str]
    ) -> AsyncGenerator[tuple[list[BlobRow], dict[str, list[FileName]]], None]:
        """Yield all blobs (of projects) and their names, least recently used first, in pages."""
        found = await self._of_projects(projects) if projects else []
        last: BlobRow | None = None
        while True:
            if projects:
                rows, found = found[:BATCH], found[BATCH:]
            else:
                rows = await self._ledger.files.oldest_blobs(last, BATCH)
            if not rows:
                return
            yield rows, await self._ledger.files.names_of_blobs([row.sha256 for row in rows])
            last = rows[-1]

    async def _of_projects(self, projects: frozenset[str]) -> list[BlobRow]:
        """Return the blobs of projects, least recently used first."""
        digests: dict[str, None] = {}
        for project in sorted(projects):
            files = await self._ledger.files.of_project(project)
            digests |= dict.fromkeys(file.sha256 for file in files)
        rows = (await self._ledger.files.get_blobs(list(digests))).values()
        return sorted(rows, key=lambda row: (row.last_used_at, row.sha256))

    def _decide(
        self,
        rows: list[BlobRow],
        names: dict[str, list[FileName]],
        over: float,
        projects: frozenset[str],
    ) -> Batch:
        """Return what goes of these blobs: until `over` bytes do, and of `projects` alone."""
        batch = Batch({}, names)
        for row in rows:
            if over <= 0:
                break
            held = names.get(row.sha256, [])
            if row.sha256 in self._blobs.uses:
                continue
            if projects and not (held and all(name.project in projects for name in held)):
                continue
            if self._blobs.pins.hold_any(held):
                batch.pinned += len(held)
                continue
            batch.blobs[row.sha256] = row
            over -= row.disk_bytes
        return batch

    async def remove(self, batch: Batch) -> Removal:
        """Remove what was decided, but for what is read or pinned by now. Raises LedgerError."""
        return await self._blobs.remove(batch.blobs)

    async def prune_pages(self, asked: Asked, *, dry_run: bool) -> int:
        """Remove the pages that were not used for so many days; return how many those are."""
        if asked.days is None:
            return 0
        await self._ledger.usage.flush()
        pages = await self._unused_pages(self._moment(asked.days))
        going = [page for page in pages if not asked.projects or page[1] in asked.projects]
        for start in range(0, 0 if dry_run else len(going), BATCH):
            await self._delete_pages(going[start : start + BATCH])
        return len(going)

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
        going = dict.fromkeys((file.sha256 for file in files), 0)
        rows = await self._ledger.files.get_blobs(list(going))
        going |= {digest: row.disk_bytes for digest, row in rows.items()}
        removal = await self._blobs.remove(going)
        dropped.files += sum(file.sha256 in removal.gone for file in files)
        dropped.bytes += sum(going[digest] for digest in removal.gone)
        dropped.pinned += [file.filename for file in files if file.sha256 in removal.pinned]
        dropped.failed += [file.filename for file in files if file.sha256 in removal.failed]
