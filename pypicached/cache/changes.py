"""What a new page says of files that are here: another one under the same URL, or listed no more.

Hits ask no page, so the moment to see it is when a page is brought. Of what was replaced the row is
forgotten: its bytes stay a blob until eviction, and whoever reads them is unharmed. What is listed
no more is remembered as removed: it may be served all the same (`[policy] removed_files`), but an
operator wants to know of a release that was withdrawn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from pypicached.cache.decoded import DecodedPages
from pypicached.cache.observe import Observations
from pypicached.cache.sidecars import SIDECAR
from pypicached.cache.stored_files import FileKey, StoredFiles
from pypicached.ledger import CachedFile, Ledger, Page
from pypicached.logs import event
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.urls import file_key

logger = logging.getLogger(__name__)


def replaced_urls(before: ProjectPage, after: ProjectPage) -> list[str]:
    """Return the URLs whose digest was one and is another. Pure.

    Queries do not count: signed ones change all the time.
    """
    known = {_plain(file.url): file.hashes.get("sha256") for file in before.files}
    return [
        file.url
        for file in after.files
        if (old := known.get(_plain(file.url))) is not None
        and (new := file.hashes.get("sha256")) is not None
        and old != new
    ]


def redated_urls(before: ProjectPage, after: ProjectPage) -> list[str]:
    """Return the URLs that have another upload time than before, or have one no more. Pure."""
    known = {_plain(file.url): file.upload_time for file in before.files if file.upload_time}
    return [
        file.url
        for file in after.files
        if file.upload_time != known.get(_plain(file.url), file.upload_time)
    ]


def unlisted(cached: Iterable[CachedFile], page: ProjectPage | None) -> set[FileKey]:
    """Return which of a project's cached files its page lists no more; None: there is none. Pure.

    One that is listed under another URL with the same digest has only moved. A sidecar goes with
    the name of its file.
    """
    wanted = {_filename(file) for file in cached}
    listed: dict[str, list[ProjectFile]] = {}
    for entry in () if page is None else page.files:
        if entry.filename in wanted:
            listed.setdefault(entry.filename, []).append(entry)
    return {
        _key(file)
        for file in cached
        if not any(_is(file, entry) for entry in listed.get(_filename(file), ()))
    }


def _is(file: CachedFile, entry: ProjectFile) -> bool:
    return (
        file.kind == "metadata"
        or entry.hashes.get("sha256") == file.sha256
        or file_key(entry.url) == file.path
    )


def _filename(file: CachedFile) -> str:
    return file.filename.removesuffix(SIDECAR) if file.kind == "metadata" else file.filename


def _key(file: CachedFile) -> FileKey:
    return FileKey(file.index, file.path, "metadata" if file.kind == "metadata" else "file")


def _plain(url: str) -> str:
    return url.partition("?")[0]


class Changes:
    """Compares each new page with the one before it, and with what is cached. Single-threaded."""

    def __init__(
        self,
        ledger: Ledger,
        stored: StoredFiles,
        decoded: DecodedPages,
        observations: Observations,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._decoded = decoded
        self._stored = stored
        self._observations = observations
        self._now = now

    async def note_page(self, before: Page | None, index: str, page: ProjectPage) -> None:
        """Take in what a new page says, before it is stored. Raises LedgerError."""
        if before is not None and before.body is not None:
            known = self._decoded.get(before).page
            if known.files == page.files:
                return  # as it mostly is where an index knows no conditional requests
            await self._forget_replaced(known, index, page)
        await self._note_removed(index, page.name, page)

    async def note_absence(self, before: Page | None, index: str, project: str) -> None:
        """Take in that an index has a project no more, if it ever had it. Raises LedgerError."""
        if before is None or before.state == "present":
            await self._note_removed(index, project, None)

    async def _forget_replaced(self, known: ProjectPage, index: str, page: ProjectPage) -> None:
        for url in replaced_urls(known, page):
            filename = url.partition("?")[0].rsplit("/", 1)[1]
            text = f"index {index} replaced a file of {page.name} under the same address"
            event(logger, logging.WARNING, text, index=index, file=filename)
            await self._forget(index, url)
        for url in redated_urls(known, page):
            await self._forget(index, url)  # it is linked again with its new date

    async def _forget(self, index: str, url: str) -> None:
        path = file_key(url)
        if path is None:
            return
        for key in (FileKey(index, path, "file"), FileKey(index, path, "metadata")):
            entry = await self._ledger.files.get(index, path, key.kind)
            if entry is not None:
                await self._ledger.files.forget(entry)
            self._stored.forget(key)

    async def _note_removed(self, index: str, project: str, page: ProjectPage | None) -> None:
        every = await self._ledger.files.of_project(project)
        cached = {_key(file): file for file in every if file.index == index}
        missing = unlisted(cached.values(), page)
        gone = [f for key, f in cached.items() if f.removed_at is None and key in missing]
        back = [f for key, f in cached.items() if f.removed_at is not None and key not in missing]
        if not gone and not back:
            return
        await self._ledger.files.mark_removed(gone, self._now())
        await self._ledger.files.mark_removed(back, None)
        for file in (*gone, *back):
            self._stored.forget(_key(file))
        names = sorted({file.filename for file in gone if file.kind == "file"})
        if names:
            self._observations.removed(index, project, names)
