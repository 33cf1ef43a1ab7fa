"""What the cache has and can have, as the resolver asks for it: pages and core metadata.

The rules are applied here, so that a plan holds what a client would be served. For a check nobody
is asked: pages list what is cached, as they do offline.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from pypicached.cache.bringing import Bringing
from pypicached.cache.catalog import Catalog
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.gate import Gate, facts_of_listed
from pypicached.cache.renderings import only_cached
from pypicached.cache.stepping import in_steps
from pypicached.cache.stored_files import FileKey
from pypicached.errors import FileNotListedError
from pypicached.ledger import Kind, Ledger
from pypicached.policy import Facts, Verdict
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.steps import Steps, batches
from pypicached.simple.urls import file_key
from pypicached.warm.messages import Mode
from pypicached.warm.source import Listed


class Shelf:
    """One job's; knows afterwards which index a file is of. Any number of calls at a time.

    `refresh`: pages are asked for anew, if they are not brand-new.
    """

    def __init__(
        self,
        catalog: Catalog,
        decoded: DecodedPages,
        gate: Gate,
        bringing: Bringing,
        ledger: Ledger,
        *,
        mode: Mode,
        refresh: bool,
    ) -> None:
        self._catalog = catalog
        self._decoded = decoded
        self._gate = gate
        self._bringing = bringing
        self._ledger = ledger
        self._mode = mode
        self._ask = mode != "check"
        self._refresh = refresh
        # Project → the index that owns it.
        self._owners: dict[str, str] = {}

    async def page(self, project: str) -> Listed:
        """Return a project's page as the rules leave it, and what they keep off it."""
        self._gate.check_name(project)
        answer = await self._catalog.page(
            project, no_cache=self._refresh, offline=None if self._ask else True
        )
        row = answer.page.row
        self._gate.check_project(row.index, project)
        self._owners[project] = row.index
        page = self._decoded.get(row).page
        if not self._ask or self._catalog.cached_set is not None:
            page = only_cached(page, await self._ledger.files.paths_of(row.index, project))
        return await in_steps(sorted_out(page, self._gate.judge))

    async def metadata(self, project: str, file: ProjectFile) -> bytes:
        """Return the core metadata of a wheel; for a check, of one that is stored."""
        key = self.key(project, file, "metadata")
        return await self._bringing.metadata(key, project, file, ask=self._ask)

    async def sdist(self, project: str, file: ProjectFile) -> Path | None:
        """Have an sdist cached, and return where its bytes are; None if it is not here now."""
        key = self.key(project, file, "file")
        stored = await self._bringing.stored(key)
        if stored is None and self._mode == "fetch":
            stored = await self._bringing.bring(key)
        return None if stored is None else self._bringing.path_of(stored)

    def key(self, project: str, file: ProjectFile, kind: Kind) -> FileKey:
        """Return the key of a file that a page of this shelf listed. Raises FileNotListedError."""
        path, owner = file_key(file.url), self._owners.get(project)
        if path is None or owner is None:
            raise FileNotListedError(f"no page of {project} lists {file.filename}")
        return FileKey(owner, path, kind)


def sorted_out(page: ProjectPage, judge: Callable[[Facts], Verdict]) -> Steps[Listed]:
    """Return, in steps, a page with the files that are served, and why the others are not. Pure."""
    files: list[ProjectFile] = []
    refused: dict[str, str] = {}
    for batch in batches(page.files):
        for file in batch:
            verdict = judge(facts_of_listed(page.name, file))
            if verdict.allowed:
                files.append(file)
            else:
                refused[file.filename] = verdict.reason
        yield
    return Listed(msgspec.structs.replace(page, files=files), refused)
