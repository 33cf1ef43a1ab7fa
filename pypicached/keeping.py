"""What an operator asks about what is kept: pins, prune, invalidate, verify,
backup.

`daemon` builds one; `control` serves commands from it. What goes and what stays is decided in
`cache`; here it is put into messages.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Container

from pypicached import messages
from pypicached.cache.copying import Copy, Copying
from pypicached.cache.pins import Pins, matches
from pypicached.cache.pruning import Asked, Pruning
from pypicached.cache.store_pruning import StorePruning
from pypicached.cache.verifying import Verifying
from pypicached.errors import NotFoundError, PypicachedError
from pypicached.ledger import Ledger
from pypicached.messages import iso
from pypicached.requirement import Requirement

# Progress more often than this tells nobody more.
PROGRESS_SECONDS = 0.5


class Keeping:
    """Changes to what is kept. Any number of callers; they do not wait for each other."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        pins: Pins,
        pruning: Pruning,
        verifying: Verifying,
        copying: Copying,
        indexes: Container[str],
        store_pruning: StorePruning | None = None,
    ) -> None:
        self._ledger = ledger
        self._pins = pins
        self._pruning = pruning
        self._verifying = verifying
        self._copying = copying
        self._indexes = indexes
        self._store_pruning = store_pruning

    # ── pins ─────────────────────────────────────────────────────────────────────────────────

    async def pins(self) -> list[messages.PinRow]:
        """Return all pins, as the file has them now. Raises PinsError, LedgerError."""
        await self._pins.read_or_raise()
        return [await self._pin_row(rule) for rule in self._pins.rules]

    async def pin(self, wanted: list[Requirement]) -> messages.PinAnswer:
        """Hold what these rules mean, now and later. Raises PinsError, LedgerError."""
        return await self._answer(wanted, await self._pins.add(wanted))

    async def unpin(self, unwanted: list[Requirement]) -> messages.PinAnswer:
        """Let go of what these very rules held. Raises PinsError, LedgerError."""
        return await self._answer(unwanted, await self._pins.remove(unwanted))

    async def _answer(
        self, asked: list[Requirement], changed: list[Requirement]
    ) -> messages.PinAnswer:
        return messages.PinAnswer(
            [await self._pin_row(rule) for rule in changed],
            [str(rule) for rule in asked if rule not in changed],
        )

    async def _pin_row(self, rule: Requirement) -> messages.PinRow:
        files = [f for f in await self._ledger.files.of_project(rule.project) if matches(rule, f)]
        return messages.PinRow(str(rule), len(files), sum(file.size_bytes for file in files))

    # ── prune, invalidate ────────────────────────────────────────────────────────────────────

    async def prune(
        self, request: messages.PruneRequest
    ) -> AsyncGenerator[messages.Progress | list[messages.PrunedFile] | messages.PruneAnswer, None]:
        """Remove what was not used, or down to a size; yield files as they go, then the sums."""
        asked = Asked(request.days, request.to_size_bytes, frozenset(request.projects))
        answer = messages.PruneAnswer(request.dry_run, [], 0, 0)
        answer.pages = await self._pruning.prune_pages(asked, dry_run=request.dry_run)
        done = 0
        async with contextlib.aclosing(self._pruning.candidates(asked)) as batches:
            async for batch in batches:
                gone = set(batch.blobs)
                if not request.dry_run:
                    removal = await self._pruning.remove(batch)
                    gone = removal.gone
                    answer.failed += batch.names_of(removal.failed)
                done += len(gone)
                answer.bytes += batch.freed_by(gone)
                answer.pinned += batch.pinned
                yield [
                    messages.PrunedFile(
                        n.project, n.filename, row.size_bytes, iso(row.last_used_at)
                    )
                    for sha256, row in batch.blobs.items()
                    if sha256 in gone
                    for n in batch.names.get(sha256, ())
                ]
                yield messages.Progress(done, None, "blobs")
        yield answer

    async def prune_store(
        self, request: messages.PruneStoreRequest
    ) -> AsyncGenerator[messages.Progress | messages.PruneStoreAnswer, None]:
        """Remove what no host used from the store that hosts share; yield progress, then the sums.

        Raises NotFoundError if there is no such store.
        """
        if self._store_pruning is None:
            raise NotFoundError('no store is shared: see [store] kind = "s3"')
        steps = self._store_pruning.run(request.days, dry_run=request.dry_run)
        async with contextlib.aclosing(steps) as sweeps:
            async for sweep in sweeps:
                done = sweep
                yield messages.Progress(sweep.looked_at, None, "objects")
        yield messages.PruneStoreAnswer(
            request.dry_run,
            done.looked_at,
            done.gone,
            done.gone_bytes,
            done.pinned,
            done.uploads,
            [f"{sha256}: {why}" for sha256, why in sorted(done.refused.items())],
        )

    async def invalidate(self, request: messages.InvalidateRequest) -> messages.InvalidateAnswer:
        """Make pages be asked anew; with `files`, remove cached files too."""
        if request.index is not None and request.index not in self._indexes:
            raise NotFoundError(f"there is no index named {request.index}")
        if request.everything:
            pages = await self._pruning.invalidate(None, request.index)
        elif request.project_list:
            pages = await self._pruning.invalidate("", request.index)
        else:
            pages = 0
        unknown = []
        for project in request.projects:
            count = await self._pruning.invalidate(project, request.index)
            pages += count
            if not count:
                unknown.append(project)
        if not request.files:
            return messages.InvalidateAnswer(pages, unknown)
        if request.project_list and not (request.everything or request.projects):
            raise PypicachedError("the project list has no files; leave --files off")
        projects = None if request.everything else request.projects
        dropped = await self._pruning.drop_files(projects, request.index)
        return messages.InvalidateAnswer(
            pages,
            [project for project in unknown if project not in dropped.projects],
            dropped.files,
            dropped.bytes,
            dropped.pinned,
            dropped.failed,
        )

    # ── verify ───────────────────────────────────────────────────────────────────────────────

    async def verify(
        self, projects: list[str], *, repair: bool
    ) -> AsyncGenerator[messages.Progress | messages.VerifyAnswer, None]:
        """Read what is stored and compare it with its digests; yield progress, then the answer."""
        answer = messages.VerifyAnswer(0, 0, [])
        tell_at = 0.0
        async with contextlib.aclosing(self._verifying.run(projects, repair=repair)) as steps:
            async for step in steps:
                answer.checked, answer.bytes = step.blobs, step.octets
                if (found := step.damage) is not None:
                    answer.problems += [
                        messages.VerifyProblem(project, name, found.problem, found.repaired)
                        for project, name in found.names
                    ]
                if time.monotonic() >= tell_at:
                    yield messages.Progress(step.blobs, step.total, bytes=step.octets)
                    tell_at = time.monotonic() + PROGRESS_SECONDS
        yield answer

    # ── backup ───────────────────────────────────────────────────────────────────────────────

    def backup(self) -> contextlib.AbstractAsyncContextManager[Copy]:
        """Return a context with a copy of the ledger, which is gone at its end."""
        return self._copying.copy()
