"""The project list: names of all indexes, tens of MB, never held whole by the daemon.

Upstream's answer goes to a file; a worker process parses it to names, which the ledger keeps
packed. Each format and coding is rendered once, by a worker, to a file under `lists/` that is sent
like any other file. `lists/` is emptied at start: all of it can be made again from the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pypicached.cache.budget import Budget
from pypicached.cache.codings import pack
from pypicached.cache.flight import Flights
from pypicached.cache.pages import Answer, Pages
from pypicached.cache.refresh import Brought, OnParsed, Refresh
from pypicached.cache.renderings import VARY
from pypicached.cache.stored import StoredPage
from pypicached.cache.worker import Worker, WorkerError, on_disk
from pypicached.errors import (
    OfflineError,
    ProjectNotFoundError,
    PypicachedError,
    UpstreamAnswerError,
)
from pypicached.ledger import CachedFiles, Page
from pypicached.ownership import IndexRule
from pypicached.simple.negotiate import Format
from pypicached.simple.rows import ParseError
from pypicached.store import LocalStore
from pypicached.store.disk import disk_bytes, empty_directory
from pypicached.upstream import Offline, PageAnswer

LIST = ""  # how the ledger calls the page that lists the projects


class ListRefresh(Refresh):
    """Brings the project list of one index up to date."""

    # A list is a hundred times the largest page.
    attempt_seconds = 600.0

    async def _read_body(
        self,
        project: str,
        answer: PageAnswer,
        now: float,
        on_parsed: OnParsed,  # noqa: ARG002 - the contract of Refresh
    ) -> Brought:
        """Return a list: the body of its row are packed names, one per line."""
        assert answer.chunks is not None
        with self._worker.temporary() as source, self._worker.temporary() as target:
            await self._receive(answer.chunks, source)
            try:
                await self._worker.run("names", str(source), str(target), answer.content_type)
            except (ParseError, WorkerError) as error:
                raise UpstreamAnswerError(self._connection.name, str(error)) from error
            with on_disk():
                packed = await self._disk.run(target.read_bytes)
        return Brought(self._row(project, answer, now, body=packed), stored=False)

    async def _receive(self, chunks: AsyncIterator[bytes], target: Path) -> None:
        """Write the body to a file. Raises UpstreamError, HostError."""
        with on_disk(), target.open("wb") as file:
            async for chunk in chunks:
                self._on_bytes(len(chunk))
                await self._disk.run(file.write, chunk)


class RenderedList(msgspec.Struct, frozen=True):
    """A list in one format and coding, as a file."""

    path: Path
    length: int
    disk_bytes: int
    headers: dict[str, str]

    @property
    def whole(self) -> bool:
        """Whether the file is there, and nobody has cut it."""
        try:
            return self.path.stat().st_size == self.length
        except OSError:
            return False


class _Indexes(NamedTuple):
    """Whose lists there are, and the rules by which names are left out: replaced as one."""

    pages: Mapping[str, Pages]
    # As a worker process takes them.
    rules: str


class ProjectLists:
    """Project lists, of one index or of all together. Single-threaded; any number of requests."""

    def __init__(
        self,
        pages: Mapping[str, Pages],
        worker: Worker,
        store: LocalStore,
        budget: Budget,
        rules: Sequence[IndexRule],
        *,
        files: CachedFiles,
        offline: Offline,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._files = files
        self._offline = offline
        self._now = now
        # Index → (state of the cached set, its list), while upstreams are not asked.
        self._cached: dict[str, tuple[int, Answer]] = {}
        self._worker = worker
        self._store = store
        self._budget = budget
        self._directory = store.root / "lists"
        self._flights: Flights[str, RenderedList] = Flights()
        self._rendered: dict[str, RenderedList] = {}
        self.apply(pages, rules)

    def apply(self, pages: Mapping[str, Pages], rules: Sequence[IndexRule]) -> None:
        """Have these indexes instead, from now on; what is on its way is asked for again."""
        self._indexes = _Indexes(dict(pages), msgspec.json.encode(rules).decode())
        for name in self._cached.keys() - pages.keys():
            del self._cached[name]

    @property
    def pages(self) -> Mapping[str, Pages]:
        """The lists by index. Not to be held across an `await`."""
        return self._indexes.pages

    @property
    def cache_control(self) -> str | None:
        """What is listed offline is not what is there once we are online again; None online."""
        return "no-cache" if self._offline.on else None

    def prepare(self) -> None:
        """Make the directory, and empty it. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        empty_directory(self._directory)

    async def close(self) -> None:
        """Cancel running work."""
        await self._flights.close()

    async def get(
        self, index: str | None, format_: Format, coding: str
    ) -> tuple[RenderedList, list[Answer]]:
        """Return the list of one index, or of all, rendered; and how each index's came.

        Raises ProjectNotFoundError if no index offers a list, UpstreamError if one fails, HostError
        if this host does.
        """
        while True:
            indexes = self._indexes
            try:
                found = await self._get(indexes, index, format_, coding)
            except PypicachedError:
                if indexes is self._indexes:
                    raise
            else:
                if indexes is self._indexes:
                    return found

    async def _get(
        self, indexes: _Indexes, index: str | None, format_: Format, coding: str
    ) -> tuple[RenderedList, list[Answer]]:
        if index is not None and index not in indexes.pages:
            raise ProjectNotFoundError("there is no index of that name")
        asked = [indexes.pages[index]] if index is not None else list(indexes.pages.values())
        # At once, so that all of them together take no longer than one deadline (rule 41).
        get = self._list_cached if self._offline.on else _list_all
        answers = await asyncio.gather(*(get(pages) for pages in asked))
        present = [answer for answer in answers if answer.page.row.state == "present"]
        if not present and self._offline.on:
            raise OfflineError("no project is cached")
        if not present:
            raise ProjectNotFoundError("the index offers no project list")
        # Both HTML types are the same bytes under another name.
        shape = "json" if format_ is Format.JSON else "html"
        slot = f"{index or ''}.{shape}.{coding}"
        rows = [answer.page.row for answer in present]
        revision = "".join(f"{row.index}:{row.fetched_at};" for row in rows) + indexes.rules
        name = f"{slot}.{hashlib.sha256(revision.encode()).hexdigest()[:16]}"
        rendered = self._rendered.get(slot)
        if rendered is None or rendered.path.name != name or not rendered.whole:
            flight, _ = self._flights.join(
                name, lambda: self._render(slot, name, rows, (shape, coding, indexes.rules))
            )
            rendered = await asyncio.shield(flight)
        return rendered, answers

    async def _list_cached(self, pages: Pages) -> Answer:
        """Return the list of what is cached of one index: offline nothing else can be had."""
        changes = self._files.changes
        known = self._cached.get(pages.index)
        if known is not None and known[0] == changes:
            return known[1]
        names = await self._files.names_of(pages.index)
        now = self._now()
        row = Page(
            index=pages.index,
            project=LIST,
            state="present" if names else "absent",
            body=await self._store.disk.run(pack, "\n".join(names).encode()),
            etag=None,
            last_modified=None,
            serial=None,
            fetched_at=now,
            checked_at=now,
        )
        answer = Answer(StoredPage(row), "stale", 'pypicached; fwd=stale; detail="offline"')
        self._cached[pages.index] = (changes, answer)
        return answer

    async def _render(
        self, slot: str, name: str, rows: list[Page], how: tuple[str, str, str]
    ) -> RenderedList:
        """Have a worker make a list of rows: `how` are its format and coding, and the rules."""
        _, coding, _ = how
        path = self._directory / name
        with on_disk(), contextlib.ExitStack() as stack:
            sources: list[str] = []
            for row in rows:
                source = stack.enter_context(self._worker.temporary())
                sources += [row.index, str(source)]
                await self._store.disk.run(source.write_bytes, row.body or b"")
            # It may have been removed. Never before `tmp/` took a file: what has gone together with
            # `tmp/` is a whole disk, and its mount point no place for us.
            self._directory.mkdir(exist_ok=True, mode=0o700)
            await self._worker.run("lists", str(path), *how, *sources)
            about = path.stat()
            digest = await self._store.disk.run(_sha256, path)
        headers = {"ETag": f'"{digest[:32]}"', "Vary": VARY}
        if coding != "identity":
            headers["Content-Encoding"] = coding
        rendered = RenderedList(path, about.st_size, disk_bytes(about), headers)
        self._replace(slot, rendered)
        return rendered

    def _replace(self, slot: str, rendered: RenderedList) -> None:
        """Hold and count a rendering instead of the one before it."""
        old = self._rendered.get(slot)
        self._rendered[slot] = rendered
        self._budget.commit(0, rendered.disk_bytes)
        if old is not None:
            self._budget.removed(old.disk_bytes)
            if old.path != rendered.path:
                # What cannot be removed now, the next start removes.
                with contextlib.suppress(OSError):
                    old.path.unlink()


async def _list_all(pages: Pages) -> Answer:
    """Return what an index says of its projects."""
    return await pages.get(LIST)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
