"""The project list: names of all indexes, tens of MB, never held whole by the daemon.

Upstream's answer goes to a file; a worker process parses it to names, which the ledger keeps
packed. Each format and coding is rendered once, by a worker, to a file under `lists/` that is sent
like any other file. `lists/` is emptied at start: all of it can be made again from the ledger.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pypicached.cache.budget import Budget
from pypicached.cache.flight import Flights
from pypicached.cache.pages import Answer, Pages
from pypicached.cache.refresh import Refresh
from pypicached.cache.renderings import VARY
from pypicached.cache.worker import Worker, WorkerError
from pypicached.errors import ProjectNotFoundError, UpstreamAnswerError
from pypicached.ledger import Page
from pypicached.simple.negotiate import Format
from pypicached.simple.rows import ParseError
from pypicached.store import LocalStore
from pypicached.store.disk import disk_bytes
from pypicached.upstream import PageAnswer

LIST = ""  # how the ledger calls the page that lists the projects


class ListRefresh(Refresh):
    """Brings the project list of one index up to date."""

    async def _body_row(self, project: str, answer: PageAnswer, now: float) -> Page:
        """Return the row of a list: its body are packed names, one per line."""
        assert answer.chunks is not None
        with self._worker.temporary() as source, self._worker.temporary() as target:
            with source.open("wb") as file:
                async for chunk in answer.chunks:
                    self._on_bytes(len(chunk))
                    await self._disk.run(file.write, chunk)
            try:
                await self._worker.run("names", str(source), str(target), answer.content_type)
            except (ParseError, WorkerError) as error:
                raise UpstreamAnswerError(self._connection.name, str(error)) from error
            packed = await self._disk.run(target.read_bytes)
        return self._row(project, packed, answer, now)


class RenderedList(msgspec.Struct, frozen=True):
    """A list in one format and coding, as a file."""

    path: Path
    length: int
    headers: dict[str, str]


class ProjectLists:
    """Project lists, of one index or of all together."""

    def __init__(
        self,
        pages: Mapping[str, Pages],
        worker: Worker,
        store: LocalStore,
        budget: Budget,
    ) -> None:
        self.pages = pages
        self._worker = worker
        self._store = store
        self._budget = budget
        self._directory = store.root / "lists"
        self._flights: Flights[str, RenderedList] = Flights()
        self._rendered: dict[str, RenderedList] = {}

    def prepare(self) -> None:
        """Make the directory, and empty it."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self._directory.iterdir():
            path.unlink()

    async def close(self) -> None:
        """Cancel running work."""
        await self._flights.close()

    async def get(
        self, index: str | None, format_: Format, coding: str
    ) -> tuple[RenderedList, list[Answer]]:
        """Return the list of one index, or of all, rendered; and how each index's came.

        Raises ProjectNotFoundError if no index offers a list, UpstreamError if one fails.
        """
        asked = [self.pages[index]] if index is not None else list(self.pages.values())
        # At once, so that all of them together take no longer than one deadline (rule 41).
        answers = await asyncio.gather(*(pages.get(LIST) for pages in asked))
        present = [answer for answer in answers if answer.page.row.state == "present"]
        if not present:
            raise ProjectNotFoundError("the index offers no project list")
        # Both HTML types are the same bytes under another name.
        shape = "json" if format_ is Format.JSON else "html"
        slot = f"{index or ''}.{shape}.{coding}"
        rows = [answer.page.row for answer in present]
        revision = "".join(f"{row.index}:{row.fetched_at};" for row in rows)
        name = f"{slot}.{hashlib.sha256(revision.encode()).hexdigest()[:16]}"
        rendered = self._rendered.get(slot)
        if rendered is None or rendered.path.name != name:
            flight, _ = self._flights.join(
                name, lambda: self._render(slot, name, rows, shape, coding)
            )
            rendered = await asyncio.shield(flight)
        return rendered, answers

    async def _render(
        self, slot: str, name: str, rows: list[Page], shape: str, coding: str
    ) -> RenderedList:
        path = self._directory / name
        sources = []
        try:
            for row in rows:
                source = self._store.temporary_path()
                sources.append(source)
                await self._store.disk.run(source.write_bytes, row.body or b"")
            await self._worker.run("lists", str(path), shape, coding, *map(str, sources))
        finally:
            for source in sources:
                source.unlink(missing_ok=True)
        about = path.stat()
        digest = await self._store.disk.run(_sha256, path)
        old = self._rendered.get(slot)
        if old is not None and old.path != path:
            self._budget.removed(disk_bytes(old.path.stat()))
            old.path.unlink()
        self._budget.commit(0, disk_bytes(about))
        headers = {"ETag": f'"{digest[:32]}"', "Vary": VARY}
        if coding != "identity":
            headers["Content-Encoding"] = coding
        rendered = self._rendered[slot] = RenderedList(path, about.st_size, headers)
        return rendered


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
