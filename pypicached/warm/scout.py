"""Asks ahead of the resolver, so that it seldom waits for more than the depth of the tree.

Whatever arrives while the resolver waits is followed up at once: a page by the metadata of the
version that it would most likely take, metadata by the pages of what that needs. A wrong guess
costs a request; it never decides anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pypicached.warm.core_metadata import MetadataError
from pypicached.warm.frames import Answer
from pypicached.warm.library import UnavailableError
from pypicached.warm.stock import Stock

# More than any set of requirements needs; metadata may be made to name a million projects.
MOST_PROJECTS = 2000


class _Wanted(NamedTuple):
    """What is known to be wanted of one project."""

    versions: SpecifierSet
    extras: frozenset[str]


_NOTHING = _Wanted(SpecifierSet(), frozenset())


class Scout:
    """Follows requirements for one target."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._library = stock.library
        self._wanted: dict[str, _Wanted] = {}
        # URL of a file whose metadata was asked for → its project.
        self._awaited: dict[str, str] = {}
        # Projects; None where nothing is new.
        self._to_follow: deque[str | None] = deque()
        self._library.listeners.append(self._heard)

    def want(self, requirements: Iterable[Requirement]) -> None:
        """Ask ahead for requirements, and for all that they will most likely need."""
        self._to_follow.extend(self._note(requirement) for requirement in requirements)
        self._go()

    def _note(self, requirement: Requirement) -> str | None:
        """Return the project of a requirement if it tells something new about it."""
        project = str(canonicalize_name(requirement.name))
        if project not in self._wanted and len(self._wanted) >= MOST_PROJECTS:
            return None
        self._library.expect_page(project)
        known = self._wanted.get(project, _NOTHING)
        extras = known.extras | {str(canonicalize_name(extra)) for extra in requirement.extras}
        wanted = _Wanted(known.versions & requirement.specifier, extras)
        if known is not _NOTHING and wanted == known:
            return None
        self._wanted[project] = wanted
        return project

    def _go(self) -> None:
        # Not by recursion: where all is here already, the tree may be deeper than the stack.
        while self._to_follow:
            project = self._to_follow.popleft()
            if project is not None and self._library.has(project):
                self._to_follow.extend(self._note(needed) for needed in self._next(project))

    def _heard(self, answer: Answer) -> None:
        project = answer.key if answer.kind == "page" else self._awaited.get(answer.key)
        if project in self._wanted:
            self._to_follow.append(project)
            self._go()

    def _next(self, project: str) -> list[Requirement]:
        """Return what a project needs; ask for its metadata if that is not here yet."""
        wanted = self._wanted[project]
        try:
            likely = self._stock.applicable(project, wanted.versions)
            if not likely or not likely[0].is_wheel:
                return []
            file = likely[0].file
            if not self._library.has(file.url):
                self._awaited[file.url] = project
                self._library.expect_metadata(project, file)
                return []
            metadata = self._library.metadata(project, file)
        except (MetadataError, UnavailableError):
            return []  # the resolver will meet it
        needed = [*self._stock.required(metadata, frozenset())]
        if wanted.extras:
            needed += self._stock.required(metadata, wanted.extras)
        return [requirement for requirement in needed if requirement.url is None]
