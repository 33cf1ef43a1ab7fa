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

    A file that is listed under another key with the same digest has only moved, and its sidecar
    with it.
    """
    wheels = {file.path: file.sha256 for file in cached if file.kind == "file"}
    by_key, by_name = _listed(cached, entries)
    found = Found()
    for file in cached:
        entry = by_key.get(file.path) or _moved(file, by_name, wheels)
        if entry is None:
            if file.removed_at is None:
                found.gone.append(file)
        elif _digest(file, entry) not in (None, file.sha256):
            found.replaced.append(file)
        else:
            if file.removed_at is not None:
                found.back.append(file)
            if (uploaded_at := moment_of(entry.upload_time)) != file.uploaded_at:
                found.redated.setdefault(uploaded_at, []).append(file)
    return found


def _listed(
    cached: Sequence[CachedFile], entries: Iterable[ProjectFile]
) -> tuple[dict[str, ProjectFile], dict[str, list[ProjectFile]]]:
    """Return what a page may list of these, by key and by filename."""
    names = {_filename(file) for file in cached}
    names |= {file.path.rpartition("/")[2] for file in cached}
    by_key: dict[str, ProjectFile] = {}
    by_name: dict[str, list[ProjectFile]] = {}
    for entry in entries if cached else ():
        # Keys are worked out for what may be meant alone: a page may have 10,000 files.
        in_url = entry.url.partition("?")[0].rpartition("/")[2]
        if entry.filename in names or in_url in names:
            key = file_key(entry.url)
            if key is not None:
                by_key.setdefault(key, entry)
            by_name.setdefault(entry.filename, []).append(entry)
    return by_key, by_name


def _moved(
    file: CachedFile, by_name: dict[str, list[ProjectFile]], wheels: dict[str, str]
) -> ProjectFile | None:
    """Return the entry that a file has under another key, if any."""
    for entry in by_name.get(_filename(file), ()):
        if _digest(file, entry) == file.sha256:
            return entry
        # What it is the sidecar of may not be among those that were asked about.
        wheel = wheels.get(file.path)
        if file.kind == "metadata" and wheel in (None, entry.hashes.get("sha256")):
            return entry
    return None


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
        # Those that are being compared, as long as no other file of them comes.
        self._noting: set[tuple[str, str]] = set()

    async def note_page(self, index: str, page: ProjectPage) -> None:
        """Take in what a new page says, before it is stored. Raises LedgerError."""
        key = (index, page.name)
        self._compared.discard(key)
        self._noting.add(key)
        try:
            await self._take_in(index, await self._cached(index, page.name), page)
            # Else a file came meanwhile that was not among them.
            if key in self._noting:
                self._compared.add(key)
        finally:
            self._noting.discard(key)

    async def note_unchanged(self, row: Page) -> None:
        """Upstream said 304: compare once what came since the last time. Raises LedgerError."""
        if row.project and (row.index, row.project) not in self._compared:
            await self.note_page(row.index, self._decoded.get(row).page)

    async def note_absence(self, index: str, project: str) -> None:
        """Take in that an index has not got a project, or no more. Raises LedgerError."""
        self._compared.discard((index, project))
        self._decoded.drop(index, project)
        await self._take_in(index, await self._cached(index, project), ProjectPage(name=project))

    async def note_kept(self, file: CachedFile) -> None:
        """A file was kept, and its page may have changed meanwhile. Raises LedgerError."""
        key = (file.index, file.project)
        # A page that is just being brought may not be known here yet: looked at with the next 304.
        self._compared.discard(key)
        self._noting.discard(key)
        page = self._decoded.newest(*key)
        if page is None:
            row = await self._ledger.pages.get(*key)
            if row is not None and row.state == "removed" and row.checked_at > 0:
                page = ProjectPage(name=file.project)
        if page is not None:
            await self._take_in(file.index, [file], page)

    async def _cached(self, index: str, project: str) -> list[CachedFile]:
        every = await self._ledger.files.of_project(project)
        return [file for file in every if file.index == index]

    async def _take_in(self, index: str, cached: list[CachedFile], page: ProjectPage) -> None:
        found = compare(cached, page.files)
        redated = [file for files in found.redated.values() for file in files]
        # Made of the wheel that was there.
        beside = [file for file in cached if _beside(file, found.replaced)]
        try:
            await self._write(found, beside)
        finally:
            # Whatever the ledger took: memory must not know better.
            for file in (*found.replaced, *beside, *redated, *found.gone, *found.back):
                self._stored.forget(_key(file))
        for file in found.replaced:
            if file.kind == "file":
                text = f"index {index} replaced a file of {page.name} under the same address"
                event(logger, logging.WARNING, text, index=index, file=file.filename)
        names = sorted({file.filename for file in found.gone if file.kind == "file"})
        if names:
            self._observations.removed(index, page.name, names)

    async def _write(self, found: Found, beside: list[CachedFile]) -> None:
        for file in (*found.replaced, *beside):
            await self._ledger.files.forget(file)
        for uploaded_at, files in found.redated.items():
            await self._ledger.files.set_uploaded(files, uploaded_at)
        await self._ledger.files.mark_removed(found.gone, self._now())
        await self._ledger.files.mark_removed(found.back, None)


def _beside(file: CachedFile, replaced: list[CachedFile]) -> bool:
    return file.kind == "metadata" and any(
        one.kind == "file" and one.path == file.path for one in replaced
    )
