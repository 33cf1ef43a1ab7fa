"""Finding the page entry of a file that a client asks for by URL.

Only what an index itself published is ever fetched: a file that its project's page does not list is
404. The page is found by the file's name, or by the ledger where the name does not tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pypicached.cache.catalog import Catalog
from pypicached.cache.changes import Changes
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.gate import Gate
from pypicached.cache.pages import FORCED_SECONDS, Answer
from pypicached.errors import (
    FileNotListedError,
    LedgerError,
    OfflineError,
    ProjectNotFoundError,
    RefusedError,
    UpstreamUnavailableError,
)
from pypicached.ledger import CachedFile
from pypicached.simple.model import ProjectFile
from pypicached.simple.names import projects_of


class Listings:
    """Looks files up on the pages of their projects."""

    def __init__(
        self,
        catalog: Catalog,
        gate: Gate,
        decoded: DecodedPages,
        changes: Changes,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._gate = gate
        self._decoded = decoded
        self._changes = changes
        self._now = now

    async def find(self, index: str, path: str) -> tuple[str, ProjectFile]:
        """Return (project, entry) of the file with this key.

        Raises FileNotListedError if no page that may list it does, UpstreamError if one of these
        pages cannot be had or is older than the outage that we are in, RefusedError if the file, or
        all of its project, is refused.
        """
        failure: UpstreamUnavailableError | RefusedError | OfflineError | None = None
        # One client waits for all of these pages: their deadlines do not add up (rule 41).
        began = time.monotonic()
        projects = await self._projects(index, path)
        for project in projects:
            try:
                file = await self._on_page(index, project, path, began)
            except ProjectNotFoundError:
                continue
            except RefusedError as error:
                # What a name may be beside what it says most likely is no reason to refuse it.
                failure = error if project == projects[0] else failure
                continue
            except (UpstreamUnavailableError, OfflineError) as error:
                failure = error
                continue
            if file is not None:
                self._gate.check_listed(index, project, file)
                return project, file
        if failure is not None:
            raise failure
        raise FileNotListedError("no project page of this index lists that file")

    async def current(self, index: str, project: str, path: str) -> ProjectFile:
        """Return the entry of a file as its page has it now, asked once more (at most in 10 s).

        Raises FileNotListedError, ProjectNotFoundError, RefusedError, UpstreamError.
        """
        answer = await self._catalog.page(project, index, no_cache=True)
        self._gate.check_project(index, project)
        file = self._decoded.get(answer.page.row).by_key.get(path)
        if file is None:
            raise FileNotListedError("its project's page does not list that file any more")
        self._gate.check_listed(index, project, file)
        return file

    def check(self, index: str, project: str, file: ProjectFile) -> None:
        """Raise if a file that was found is not to be handed out by now: asked in the last moment.

        FileNotListedError where its index may not answer for the project any more, RefusedError.
        """
        if not self._catalog.may_answer(index, project):
            raise FileNotListedError("another index answers for that project by now")
        self._gate.check_listed(index, project, file)

    async def kept(self, file: CachedFile) -> None:
        """A file was kept: its page may list it no more by now. Raises LedgerError."""
        await self._changes.note_kept(file)

    async def _projects(self, index: str, path: str) -> list[str]:
        """Return the projects whose pages may list a file, most likely first, a few at most."""
        names = projects_of(path.rsplit("/", 1)[1])
        pages = self._catalog.pages.get(index)
        if pages is None:
            return names
        try:
            odd = await pages.project_of_odd(path)
        except LedgerError:
            return names  # told where the ledger was asked for the file itself
        return names if odd is None else [odd, *names]

    async def _on_page(
        self, index: str, project: str, path: str, began: float
    ) -> ProjectFile | None:
        self._gate.check_name(project)  # of what is refused by name nobody is asked
        answer = await self._catalog.page(project, index, began=began)
        self._gate.check_project(index, project)
        file = self._decoded.get(answer.page.row).by_key.get(path)
        if file is None and answer.page.age(self._now()) >= FORCED_SECONDS:
            # The file may be newer than our page: a lock file made a minute ago, say.
            answer = await self._catalog.page(project, index, no_cache=True, began=began)
            file = self._decoded.get(answer.page.row).by_key.get(path)
        if file is None and answer.result == "stale":
            raise UpstreamUnavailableError(index, _outdated(answer))
        return file


def _outdated(answer: Answer) -> str:
    return f"page of {answer.page.row.project} is stale and does not list the file"
