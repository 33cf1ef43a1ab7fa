"""What an index has put into quarantine (PEP 792): refused at every URL, cached or not (rule 23).

A file that is here is served without looking at its page, so what pages said is remembered apart:
in memory, and by the ledger's pages across restarts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pypicached.errors import RefusedError
from pypicached.ledger import Page
from pypicached.logs import event

logger = logging.getLogger(__name__)


class Quarantine:
    """The quarantined projects, as (index, project). Single-threaded."""

    def __init__(self, known: Iterable[tuple[str, str]]) -> None:
        self._projects = set(known)

    def __bool__(self) -> bool:
        """Whether anything is quarantined at all."""
        return bool(self._projects)

    def note(self, page: Page) -> None:
        """A page was brought: remember, or forget, that its project is quarantined."""
        key = (page.index, page.project)
        if page.status == "quarantined":
            if key not in self._projects:
                text = f"index {page.index} has put {page.project} into quarantine"
                event(logger, logging.WARNING, text, index=page.index, project=page.project)
            self._projects.add(key)
        elif page.state == "present":
            self._projects.discard(key)

    def first(self, limit: int) -> list[tuple[str, str]]:
        """Return up to `limit` of them, sorted."""
        return sorted(self._projects)[:limit]

    def check(self, index: str, project: str) -> None:
        """Raise RefusedError if files of the project are not to be served."""
        if (index, project) in self._projects:
            raise RefusedError(
                f"the project {project} is quarantined by index {index}: its files are not served",
                rule="quarantine",
                project=project,
            )
