"""What an operator asks about rules: for each file of a project, whether it is served, and why not.

`daemon` builds one; `control` serves `explain` from it. It asks what a client would ask, the page
of the project's owner, and decides nothing: the rules are `policy`'s, at the gate of `cache`.
"""

from __future__ import annotations

import asyncio

from pypicached.cache.catalog import Catalog
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.gate import Gate
from pypicached.errors import ProjectNotFoundError, RefusedError
from pypicached.ledger import CachedFile, Ledger, Page
from pypicached.messages import ExplainedFile, Explanation, iso
from pypicached.requirement import Requirement
from pypicached.simple.model import ProjectFile
from pypicached.simple.names import version_of
from pypicached.simple.steps import batches

UNDATED = "held back by [policy] min_age, its upload time is unknown"
UNLISTED = "its index lists it no more; what is cached is served at its URL"
NOT_ITS_OWN = "its index does not answer for this name, or no more"
OFFLINE = "not cached, and offline nothing else is listed"

_Cached = dict[tuple[str, str], CachedFile]


class Explaining:
    """Answers `explain`. Any number of callers."""

    def __init__(self, catalog: Catalog, decoded: DecodedPages, gate: Gate, ledger: Ledger) -> None:
        self._catalog = catalog
        self._decoded = decoded
        self._gate = gate
        self._ledger = ledger

    async def explain(self, asked: Requirement) -> Explanation:
        """Return what is served of a project, of the versions asked for.

        Raises ProjectNotFoundError if nothing is known of it, UpstreamError or OfflineError if its
        page cannot be had, LedgerError.
        """
        stored = await self._ledger.files.of_project(asked.project)
        cached = {(file.index, file.path): file for file in stored if file.kind == "file"}
        answer = Explanation(asked.project)
        try:
            self._gate.check_name(asked.project)
            row = (await self._catalog.page(asked.project)).page.row
        except RefusedError as error:
            answer.refused = str(error)
        except ProjectNotFoundError as error:
            if not cached:
                raise
            answer.refused = str(error)
        else:
            answer.index, answer.checked_at = row.index, iso(row.checked_at)
            answer.files = await self._listed(row, cached)
        answer.files += [self._unlisted(file) for file in cached.values()]
        if asked.versions:
            # What does not tell its version may be any.
            answer.files = [
                f
                for f in answer.files
                if f.version is None or asked.matches(asked.project, f.version)
            ]
        return answer

    async def _listed(self, row: Page, cached: _Cached) -> list[ExplainedFile]:
        """Return what the index lists; what of it is cached is taken out of `cached`."""
        offline = self._catalog.cached_set is not None
        found: list[ExplainedFile] = []
        for batch in batches(list(self._decoded.get(row).by_key.items())):
            for key, file in batch:
                here = cached.pop((row.index, key), None) is not None
                found.append(self._of_page(row, file, cached=here, offline=offline))
            await asyncio.sleep(0)
        return found

    def _of_page(
        self, row: Page, file: ProjectFile, *, cached: bool, offline: bool
    ) -> ExplainedFile:
        rule, reason = ("offline", OFFLINE) if offline and not cached else (None, "")
        try:
            self._gate.check_listed(row.index, row.project, file)
        except RefusedError as error:
            rule, reason = error.rule, str(error)
        return ExplainedFile(
            filename=file.filename,
            index=row.index,
            version=version_of(file.filename, row.project),
            uploaded_at=file.upload_time,
            listed=rule is None,
            served=rule is None,
            cached=cached,
            rule=rule,
            reason=reason,
        )

    def _unlisted(self, file: CachedFile) -> ExplainedFile:
        rule, reason, served = "removed_files", UNLISTED, True
        try:
            if not self._gate.check_stored(file):
                rule, reason, served = "min_age", UNDATED, False
        except RefusedError as error:
            rule, reason, served = error.rule, str(error), False
        if file.index not in self._catalog.candidates(file.project, file.index):
            rule, reason, served = "ownership", NOT_ITS_OWN, False
        return ExplainedFile(
            filename=file.filename,
            index=file.index,
            version=version_of(file.filename, file.project),
            uploaded_at=None if file.uploaded_at is None else iso(file.uploaded_at),
            listed=False,
            served=served,
            cached=True,
            rule=rule,
            reason=reason,
        )
