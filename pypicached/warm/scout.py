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

from pypicached.simple.model import ProjectFile
from pypicached.warm.core_metadata import MetadataError
from pypicached.warm.frames import Answer
from pypicached.warm.library import UnavailableError
from pypicached.warm.stock import Stock

# More than any set of requirements needs; metadata may be made to name a million projects.
MOST_PROJECTS = 2000
# New requirements of one project that are followed. Where hundreds of versions are turned down,
# each with needs of its own, guessing by all of them took three times as long as resolving (boto3).
MOST_TIMES = 16


class _Wanted(NamedTuple):
    """What is known to be wanted of one project: by who came last, by all, and its extras."""

    latest: SpecifierSet
    versions: SpecifierSet
    extras: frozenset[str]
    # How often something new was noted.
    times: int = 1

    def includes(self, other: _Wanted) -> bool:
        """Tell whether another wants nothing beyond this."""
        return self.extras >= other.extras and self.versions & other.versions == self.versions

    def and_also(self, other: _Wanted) -> _Wanted:
        """Return this with what another wants."""
        versions, extras = self.versions & other.versions, self.extras | other.extras
        return _Wanted(other.latest, versions, extras, self.times + 1)


class Scout:
    """Follows requirements for one target."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._library = stock.library
        self._wanted: dict[str, _Wanted] = {}
        # Projects about which something new is known.
        self._to_follow: deque[str] = deque()
        self._library.listeners.append(self._heard)

    def want(self, requirements: Iterable[Requirement]) -> None:
        """Ask ahead for requirements, and for all that they will most likely need."""
        self._note(requirements)
        # Not by recursion: where all is here already, the tree may be deeper than the stack.
        while self._to_follow:
            self._follow(self._to_follow.popleft())

    def _note(self, requirements: Iterable[Requirement]) -> None:
        for requirement in requirements:
            project = str(canonicalize_name(requirement.name))
            known = self._wanted.get(project)
            if requirement.url is not None or (known is None and self._is_full()):
                continue
            self._library.expect_page(project)
            extras = frozenset(str(canonicalize_name(extra)) for extra in requirement.extras)
            wanted = _Wanted(requirement.specifier, requirement.specifier, extras)
            if known is not None:
                if known.times >= MOST_TIMES or known.includes(wanted):
                    continue
                wanted = known.and_also(wanted)
            self._wanted[project] = wanted
            self._to_follow.append(project)

    def _is_full(self) -> bool:
        return len(self._wanted) >= MOST_PROJECTS

    def _heard(self, answer: Answer) -> None:
        if answer.kind == "page":
            if answer.key in self._wanted:
                self._to_follow.append(answer.key)
        elif (asked := self._library.file_at(answer.key)) is not None:
            # Perhaps not of the likely version: then the resolver wants to know.
            self._note(self._needs(*asked))
        self.want(())

    def _follow(self, project: str) -> None:
        """Ask for the metadata of a project's likely version, or for what that needs."""
        if not self._library.has(project):
            return
        wanted = self._wanted[project]
        try:
            likely = self._stock.applicable(project, wanted.versions)
            # What was noted may be of versions that do not go together.
            likely = likely or self._stock.applicable(project, wanted.latest)
        except UnavailableError:
            return  # the resolver will meet it
        if likely and likely[0].is_wheel:
            file = likely[0].file
            self._library.expect_metadata(project, file)
            if self._library.has(file.url):
                self._note(self._needs(project, file))

    def _needs(self, project: str, file: ProjectFile) -> list[Requirement]:
        """Return what a file whose metadata is here needs, with the extras that are wanted."""
        if project not in self._wanted or not file.filename.endswith(".whl"):
            return []
        try:
            metadata = self._library.metadata(project, file)
        except (MetadataError, UnavailableError):
            return []  # the resolver will meet it
        needed = [*self._stock.required(metadata, frozenset())]
        if extras := self._wanted[project].extras:
            needed += self._stock.required(metadata, extras)
        return needed
