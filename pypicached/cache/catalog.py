"""Which index answers for a project, and with what: ownership applied to pages.

`ownership` says whom to ask and in which order; here they are asked. An index that fails is never
skipped, because skipping would hand the name to the next one (PRODUCT.md section 5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pypicached.cache.pages import Answer, Pages
from pypicached.cache.renderings import Variant
from pypicached.cache.stored import StoredPage
from pypicached.errors import OfflineError, ProjectNotFoundError, PypicachedError
from pypicached.ownership import IndexRule, candidates
from pypicached.upstream import Offline


class _Indexes(NamedTuple):
    """Indexes and who owns what: one whole, replaced as such."""

    pages: Mapping[str, Pages]
    rules: Sequence[IndexRule]
    # With one index and no globs the answer is always the same: hits do not compute it.
    only: str | None

    def candidates(self, project: str, index: str | None) -> list[str]:
        """As `Catalog.candidates`."""
        if self.only is not None:
            return [self.only] if index in (None, self.only) else []
        names = candidates(project, self.rules)
        return [name for name in names if index in (None, name)]


class Catalog:
    """All indexes' pages, seen as one. Single-threaded; any number of requests.

    No answer mixes the indexes of before and after a reload, and none of before is given after it:
    what was overtaken by one is asked for again.
    """

    def __init__(
        self,
        pages: Mapping[str, Pages],
        rules: Sequence[IndexRule],
        *,
        offline: Offline,
        changes: Callable[[], int],
    ) -> None:
        self._offline = offline
        self._changes = changes
        self.apply(pages, rules)

    def apply(self, pages: Mapping[str, Pages], rules: Sequence[IndexRule]) -> None:
        """Have these indexes instead, from now on."""
        only = len(rules) == 1 and not rules[0].projects and not rules[0].exclude
        self._indexes = _Indexes(dict(pages), rules, rules[0].name if only else None)

    @property
    def pages(self) -> Mapping[str, Pages]:
        """The pages by index. Not to be held across an `await`."""
        return self._indexes.pages

    def candidates(self, project: str, index: str | None) -> list[str]:
        """Return the indexes that may answer for a project; through `index`, at most that one."""
        return self._indexes.candidates(project, index)

    def may_answer(self, index: str, project: str) -> bool:
        """Whether an index may answer for a project at all."""
        return bool(self.candidates(project, index))

    @property
    def cached_set(self) -> int | None:
        """Offline, which state of the cached set pages are to be listed by; else None."""
        return self._changes() if self._offline.on else None

    def ready(self, project: str, index: str | None) -> StoredPage | None:
        """Return the owner's page if memory alone can tell, fresh."""
        for name in self.candidates(project, index):
            page = self.pages[name].ready(project)
            if page is None or page.row.state != "absent":
                return page
        return None

    async def look(self, index: str, project: str, seconds: float) -> float:
        """Have an index asked for a page that it has not vouched for so long, if it may be asked.

        Returns in how many seconds it will be so old (again). Raises as `page` does.
        """
        if index not in self.candidates(project, index):
            return seconds
        age = await self.pages[index].age(project)
        if age is not None and 0 <= age < seconds:
            return seconds - age
        await self.page(project, index)
        return seconds

    async def page(
        self,
        project: str,
        index: str | None = None,
        *,
        no_cache: bool = False,
        began: float | None = None,
        wanted: Variant | None = None,
        offline: bool | None = None,
    ) -> Answer:
        """Return the owner's page, which is "present".

        `began`: since when (monotonic) the client waits, where another page was asked for before.
        `offline`: ask nobody, whatever the operator's switch says.
        Raises ProjectNotFoundError if every index that may own the project says that it is not
        there (or it was removed by its owner), UpstreamError if one of them cannot be asked,
        OfflineError if nobody is asked and it is not cached.
        """
        # One client waits for all of them: their deadlines do not add up (rule 41).
        began = time.monotonic() if began is None else began
        while True:
            indexes = self._indexes
            # All of them under one regime: an absence that is old offline hands no name on online.
            now_offline = self._offline.on if offline is None else offline
            asking = _Asking(project, began, no_cache, wanted, now_offline)
            try:
                answer = await _owners_page(indexes, asking, index)
            except PypicachedError:
                if indexes is self._indexes:
                    raise
            else:
                if indexes is self._indexes:
                    return answer


class _Asking(NamedTuple):
    """What is asked of each index in turn."""

    project: str
    began: float
    no_cache: bool
    wanted: Variant | None
    offline: bool


async def _owners_page(indexes: _Indexes, asking: _Asking, index: str | None) -> Answer:
    """Ask in the order of ownership, until one has the project or had it."""
    unsure = False
    project, began, no_cache, wanted, offline = asking
    for name in indexes.candidates(project, index):
        if index is not None and await _taken(indexes, asking, before=name):
            break
        answer = await indexes.pages[name].get(
            project, no_cache=no_cache, began=began, wanted=wanted, offline=offline
        )
        if answer.page.row.state == "present":
            return answer
        if answer.page.row.state == "removed":
            break
        unsure = unsure or answer.result == "stale"
    if unsure:
        raise OfflineError(f"{project} is not cached")
    raise ProjectNotFoundError(f"no index here has a project named {project}")


async def _taken(indexes: _Indexes, asking: _Asking, *, before: str) -> bool:
    """Whether an index further up owns the name (asked through `/{index}/simple/`)."""
    for name in indexes.candidates(asking.project, None):
        if name == before:
            return False
        answer = await indexes.pages[name].get(
            asking.project, began=asking.began, offline=asking.offline
        )
        if answer.page.row.state != "absent":
            return True
    return False
