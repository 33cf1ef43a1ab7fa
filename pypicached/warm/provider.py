"""The rules of the search, for resolvelib: pip's, so that the result is pip's.

Follows `pip/_internal/resolution/resolvelib` (provider.py and factory.py of pip 26), which is
where the reasons for this order of things are told.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from packaging.specifiers import SpecifierSet
from resolvelib import AbstractProvider
from resolvelib.structs import RequirementInformation

from pypicached.warm.candidates import (
    PYTHON,
    Base,
    Candidate,
    Exactly,
    Needed,
    NeedsPython,
    Specified,
)
from pypicached.warm.choose import Hashes, both
from pypicached.warm.stock import Stock

# So many conflicts about something that is not chosen yet, and it is chosen before others.
PROMOTED_AFTER = 5

Information = RequirementInformation[Needed, Candidate]


class Constraint:
    """What a project is held to wherever it is needed."""

    def __init__(self, versions: SpecifierSet, hashes: Hashes) -> None:
        self.versions = versions
        self.hashes = hashes


class Provider(AbstractProvider[Needed, Candidate, str]):
    """Answers resolvelib for one target; `order` is each wished identifier's place."""

    def __init__(
        self, stock: Stock, constraints: Mapping[str, Constraint], order: Mapping[str, int]
    ) -> None:
        self._stock = stock
        self._constraints = constraints
        self._order = order
        self._conflicts: Counter[str] = Counter()
        self._promoted: set[str] = set()

    def identify(self, requirement_or_candidate: Needed | Candidate) -> str:
        """Return what is decided once."""
        return requirement_or_candidate.name

    def is_satisfied_by(self, requirement: Needed, candidate: Candidate) -> bool:
        """Tell whether a candidate meets a requirement of the same name."""
        return requirement.is_met_by(candidate)

    def get_dependencies(self, candidate: Candidate) -> Iterable[Needed]:
        """Return what a candidate needs."""
        return self._stock.needs(candidate)

    # ── order ────────────────────────────────────────────────────────────────────────────────

    def narrow_requirement_selection(
        self,
        identifiers: Iterable[str],
        resolutions: Mapping[str, Candidate],
        candidates: Mapping[str, Iterator[Candidate]],
        information: Mapping[str, Iterator[Information]],
        backtrack_causes: Sequence[Information],
    ) -> Iterable[str]:
        """Return what to decide first: Python, what was in the way, what often is."""
        causes = set()
        for info in backtrack_causes:
            names = [info.requirement.name]
            if info.parent is not None:
                names.append(info.parent.name)
            for name in names:
                causes.add(name)
                if name not in resolutions:
                    self._conflicts[name] += 1
                    if self._conflicts[name] >= PROMOTED_AFTER:
                        self._promoted.add(name)
        names = list(identifiers)
        if PYTHON in names:
            return [PYTHON]
        return (
            [name for name in names if name in causes]
            or [name for name in names if name in self._promoted]
            or names
        )

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Candidate],
        candidates: Mapping[str, Iterator[Candidate]],
        information: Mapping[str, Iterator[Information]],
        backtrack_causes: Sequence[Information],
    ) -> Any:
        """Return a sort key: exact and pinned first, then bounded, wished, versioned, by name."""
        requirements = [info.requirement for info in information[identifier]]
        specs = [spec for r in requirements if isinstance(r, Specified) for spec in r.versions]
        return (
            identifier not in self._promoted,
            not any(isinstance(requirement, Exactly) for requirement in requirements),
            not any(s.operator[:2] == "==" and "*" not in s.version for s in specs),
            not any(
                s.operator in {"<", "<=", "~="} or (s.operator == "==" and "*" in s.version)
                for s in specs
            ),
            self._order.get(identifier, math.inf),
            not specs,
            identifier,
        )

    # ── candidates ───────────────────────────────────────────────────────────────────────────

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Needed]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> Iterable[Candidate] | Callable[[], Iterable[Candidate]]:
        """Return the candidates that meet all requirements of a name, best first."""
        own = list(requirements.get(identifier, ()))
        bad = {id(candidate) for candidate in incompatibilities.get(identifier, ())}
        if identifier == PYTHON:
            return self._pythons(own, bad)
        project, _, bracket = identifier.partition("[")
        extras = frozenset(bracket.rstrip("]").split(",")) if bracket else frozenset()
        # A name with extras is met by what meets the base's requirements too.
        related = [*own, *(requirements.get(project, ()) if extras else ())]
        exact = {id(r.candidate): r.candidate for r in related if isinstance(r, Exactly)}
        if exact:
            return self._exact(project, exact.values(), extras, own, bad)
        specified = [r for r in related if isinstance(r, Specified)]
        return self._found(project, extras, specified, bad) if specified else []

    def _pythons(self, own: list[Needed], bad: set[int]) -> list[Candidate]:
        python = self._stock.python
        fits = all(isinstance(r, NeedsPython) and r.is_met_by(python) for r in own)
        return [python] if fits and id(python) not in bad else []

    def _exact(
        self,
        project: str,
        bases: Iterable[Base],
        extras: frozenset[str],
        own: list[Needed],
        bad: set[int],
    ) -> list[Candidate]:
        held = self._constraint(project)
        candidates = [
            self._stock.with_extras(base, extras, base.source) if extras else base for base in bases
        ]
        return [
            candidate
            for candidate in candidates
            if id(candidate) not in bad
            and held.versions.contains(candidate.version, prereleases=True)
            and all(requirement.is_met_by(candidate) for requirement in own)
        ]

    def _found(
        self, project: str, extras: frozenset[str], specified: list[Specified], bad: set[int]
    ) -> Callable[[], Iterator[Candidate]]:
        held = self._constraint(project)
        versions, hashes = held.versions, held.hashes
        for requirement in specified:
            versions &= requirement.versions
            hashes = both(hashes, requirement.hashes)
        source = specified[0].source

        def candidates() -> Iterator[Candidate]:
            found = self._stock.candidates(project, versions, hashes, extras, source)
            return (candidate for candidate in found if id(candidate) not in bad)

        return candidates

    def _constraint(self, project: str) -> Constraint:
        return self._constraints.get(project) or Constraint(SpecifierSet(), None)
