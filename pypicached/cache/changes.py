"""What a page says of files that are here: another one under the same key, another date, no more.

Hits ask no page, so the moment to see it is when a page is brought, and when a file is kept: its
page may have changed while it was on its way. Always compared is the file's own row, never a page
with the page before. Of what was replaced the row is forgotten: its bytes stay a blob until
eviction, and whoever reads them is unharmed. What is listed no more is remembered as removed: it
may be served all the same (`[policy] removed_files`), but an operator wants to know of a release
that was withdrawn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from pypicached.cache.decoded import DecodedPages
from pypicached.cache.observe import Observations
from pypicached.cache.sidecars import SIDECAR
from pypicached.cache.stored_files import FileKey, StoredFiles
from pypicached.ledger import CachedFile, Ledger, Page
from pypicached.logs import event
from pypicached.policy import moment_of
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.urls import file_key

logger = logging.getLogger(__name__)


class Found:
    """What a page says of the cached files of its project, each in one list at most."""

    def __init__(self) -> None:
        # Other bytes under the same key.
        self.replaced: list[CachedFile] = []
        # By the time that is theirs now.
        self.redated: dict[float | None, list[CachedFile]] = {}
        # Listed no more, and listed again.
        self.gone: list[CachedFile] = []
        self.back: list[CachedFile] = []


def compare(cached: Sequence[CachedFile], entries: Iterable[ProjectFile]) -> Found:
    """Compare a project's cached files with what its page lists. Pure.

    A file that is listed under another key with the same digest has only moved.
    """
    wanted = {_filename(file) for file in cached}
    listed: dict[str, list[tuple[str | None, ProjectFile]]] = {}
    for entry in entries if wanted else ():
        if entry.filename in wanted:
            listed.setdefault(entry.filename, []).append((file_key(entry.url), entry))
    found = Found()
    for file in cached:
        named = listed.get(_filename(file), [])
        same = [entry for key, entry in named if key == file.path]
        moved = [entry for _, entry in named if _digest(file, entry) == file.sha256]
        if not same and not moved:
            if file.removed_at is None:
                found.gone.append(file)
            continue
        entry = (same or moved)[0]
        if _digest(file, entry) not in (None, file.sha256):
            found.replaced.append(file)
        else:
            if file.removed_at is not None:
                found.back.append(file)
            if (uploaded_at := moment_of(entry.upload_time)) != file.uploaded_at:
                found.redated.setdefault(uploaded_at, []).append(file)
    return found


def _digest(file: CachedFile, entry: ProjectFile) -> str | None:
    """Return the digest that a page gives a file, or the sidecar of one."""
    if file.kind == "file":
        return entry.hashes.get("sha256")
    return entry.core_metadata.get("sha256") if isinstance(entry.core_metadata, dict) else None


def _filename(file: CachedFile) -> str:
    return file.filename.removesuffix(SIDECAR) if file.kind == "metadata" else file.filename


def _key(file: CachedFile) -> FileKey:
    return FileKey(file.index, file.path, "metadata" if file.kind == "metadata" else "file")


class Changes:
    """Compares what is cached with each page that is brought. Single-threaded."""

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
        # (index, project) whose stored page was compared since the start: a 304 says nothing new.
        self._compared: set[tuple[str, str]] = set()

    async def note_page(self, index: str, page: ProjectPage) -> None:
        """Take in what a new page says, before it is stored. Raises LedgerError."""
        self._compared.discard((index, page.name))
        await self._take_in(index, await self._cached(index, page.name), page)
        self._compared.add((index, page.name))

    async def note_unchanged(self, row: Page) -> None:
        """Upstream said 304: compare once what an earlier run may have left. Raises LedgerError."""
        if row.project and (row.index, row.project) not in self._compared:
            await self.note_page(row.index, self._decoded.get(row).page)

    async def note_absence(self, index: str, project: str) -> None:
        """Take in that an index has not got a project, or no more. Raises LedgerError."""
        self._compared.discard((index, project))
        await self._take_in(index, await self._cached(index, project), ProjectPage(name=project))

    async def note_kept(self, file: CachedFile) -> None:
        """A file was kept, and its page may have changed meanwhile. Raises LedgerError."""
        page = self._decoded.newest(file.index, file.project)
        if page is None:
            self._compared.discard((file.index, file.project))
        else:
            await self._take_in(file.index, [file], page)

    async def _cached(self, index: str, project: str) -> list[CachedFile]:
        every = await self._ledger.files.of_project(project)
        return [file for file in every if file.index == index]

    async def _take_in(self, index: str, cached: list[CachedFile], page: ProjectPage) -> None:
        found = compare(cached, page.files)
        for file in found.replaced:
            if file.kind == "file":
                text = f"index {index} replaced a file of {page.name} under the same address"
                event(logger, logging.WARNING, text, index=index, file=file.filename)
            await self._ledger.files.forget(file)
        # Made of the wheel that was there.
        for file in [f for f in cached if _beside(f, found.replaced)]:
            await self._ledger.files.forget(file)
            self._stored.forget(_key(file))
        for uploaded_at, files in found.redated.items():
            await self._ledger.files.set_uploaded(files, uploaded_at)
        await self._ledger.files.mark_removed(found.gone, self._now())
        await self._ledger.files.mark_removed(found.back, None)
        redated = [file for files in found.redated.values() for file in files]
        for file in (*found.replaced, *redated, *found.gone, *found.back):
            self._stored.forget(_key(file))
        names = sorted({file.filename for file in found.gone if file.kind == "file"})
        if names:
            self._observations.removed(index, page.name, names)


def _beside(file: CachedFile, replaced: list[CachedFile]) -> bool:
    return file.kind == "metadata" and any(
        one.kind == "file" and one.path == file.path for one in replaced
    )
