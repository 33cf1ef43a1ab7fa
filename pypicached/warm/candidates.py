"""What the resolver weighs: requirements and candidates, as pip models them.

A project with extras is a candidate of its own, `demo[fast]`, which needs exactly its base; so the
version of a project is decided once, however many extras are asked for. Python is a candidate too.
Everything is told apart by identity; `stock` makes each of them once.
"""

from __future__ import annotations

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pypicached.warm.bounded import read_requires_python
from pypicached.warm.choose import Entry, Hashes
from pypicached.warm.core_metadata import CoreMetadata

PYTHON = "<Python>"


def identifier(project: str, extras: frozenset[str]) -> str:
    """Return how a project with extras is called: `demo`, `demo[a,b]`."""
    return f"{project}[{','.join(sorted(extras))}]" if extras else project


class Base:
    """A file of a project, with its metadata; `source` is who asked for the project first."""

    extras: frozenset[str] = frozenset()

    def __init__(
        self, project: str, entry: Entry, metadata: CoreMetadata | None, source: str | None
    ) -> None:
        self.project = self.name = project
        self.version = entry.version
        self.entry = entry
        # None: only a build would tell.
        self.metadata = metadata
        self.source = source

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class WithExtras:
    """A candidate's extras: what they need, and exactly that candidate."""

    def __init__(self, base: Base, extras: frozenset[str], source: str | None) -> None:
        self.base = base
        self.extras = extras
        self.project = base.project
        self.name = identifier(base.project, extras)
        self.version = base.version
        self.source = source

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Python:
    """The Python of the target."""

    project = name = PYTHON
    source: str | None = None

    def __init__(self, version: Version) -> None:
        self.version = version

    def __str__(self) -> str:
        return f"Python {self.version}"


Candidate = Base | WithExtras | Python


class Specified:
    """A requirement by name, versions and extras; `wish` is its number where a user made it.

    `source` is the name of the candidate that needs it, else None.
    """

    def __init__(
        self,
        requirement: Requirement,
        *,
        source: str | None,
        wish: int | None = None,
        hashes: Hashes = None,
        with_extras: bool = True,
    ) -> None:
        self.project = str(canonicalize_name(requirement.name))
        extras = requirement.extras if with_extras else set()
        self.extras = frozenset(str(canonicalize_name(extra)) for extra in extras)
        self.name = identifier(self.project, self.extras)
        self.versions = requirement.specifier
        self.source = source
        self.wish = wish
        self.hashes = hashes
        self._text = spelled(requirement, with_extras=with_extras)
        if requirement.marker is not None:
            self._text += f"; {requirement.marker}"

    def __str__(self) -> str:
        """Return it as pip prints it: "A, B and C" of several versions."""
        parts = [part.strip() for part in self._text.split(",")]
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

    def is_met_by(self, candidate: Candidate) -> bool:
        """Tell whether a candidate has one of these versions."""
        # Pre-releases were left out before, where they do not count.
        return self.versions.contains(candidate.version, prereleases=True)


class Exactly:
    """The requirement of extras for their base."""

    wish: int | None = None

    def __init__(self, candidate: Base) -> None:
        self.candidate = candidate
        self.project = self.name = candidate.name

    def __str__(self) -> str:
        return str(self.candidate)

    def is_met_by(self, candidate: Candidate) -> bool:
        """Tell whether it is that one."""
        return candidate is self.candidate


class NeedsPython:
    """A `Requires-Python` of metadata; one that cannot be read asks for nothing."""

    project = name = PYTHON
    wish: int | None = None

    def __init__(self, text: str) -> None:
        self._text = text
        self.versions = read_requires_python(text)

    def __str__(self) -> str:
        return f"Python {self._text}"

    def is_met_by(self, candidate: Candidate) -> bool:
        """Tell whether a Python will do."""
        return self.versions.contains(candidate.version, prereleases=True)


Needed = Specified | Exactly | NeedsPython


def split(
    requirement: Requirement, *, source: str | None, wish: int | None = None, hashes: Hashes = None
) -> list[Needed]:
    """Return the requirements that one means: the versions, and the extras.

    Apart where it has both, so that versions are narrowed where the base is chosen.
    """
    whole = Specified(requirement, source=source, wish=wish, hashes=hashes)
    if not (requirement.extras and requirement.specifier):
        return [whole]
    versions = Specified(requirement, source=source, wish=wish, hashes=hashes, with_extras=False)
    return [versions, whole]


def spelled(requirement: Requirement, *, with_extras: bool = True) -> str:
    """Return a requirement without its marker."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras if with_extras else ''}{requirement.specifier}"
