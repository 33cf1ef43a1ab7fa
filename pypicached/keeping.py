"""What an operator asks about what is kept: prune and invalidate.

`daemon` builds one; `control` serves commands from it. What goes and what stays is decided in
`cache`; here it is put into messages.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Container

from pypicached import messages
from pypicached.cache.pruning import Pruning
from pypicached.errors import NotFoundError, PypicachedError
from pypicached.messages import iso


class Keeping:
    """Changes to what is kept. Any number of callers; they do not wait for each other."""

    def __init__(self, pruning: Pruning, indexes: Container[str]) -> None:
        self._pruning = pruning
        self._indexes = indexes

    async def prune(
        self, request: messages.PruneRequest
    ) -> AsyncGenerator[messages.Progress | messages.PruneAnswer, None]:
        """Remove what was not used, or down to a size; yield progress, then the answer."""
        plan = await self._pruning.plan(request.days, request.to_size_bytes, request.projects)
        gone = set(plan.blobs) if request.dry_run else set[str]()
        failed: list[str] = []
        if not request.dry_run:
            async for removal, done in self._pruning.carry_out(plan):
                gone |= removal.gone
                failed += removal.failed
                yield messages.Progress(done, len(plan.blobs), "blobs")
        yield messages.PruneAnswer(
            dry_run=request.dry_run,
            files=[
                messages.PrunedFile(f.project, f.filename, f.size_bytes, iso(f.last_used_at))
                for f in plan.files
                if f.sha256 in gone
            ],
            pages=len(plan.pages),
            bytes=plan.freed_by(gone),
            failed=plan.names_of(failed),
            pinned=plan.pinned,
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
