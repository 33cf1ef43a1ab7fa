"""One search for versions that go together, by resolvelib; `resolve` goes on where it fails."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from packaging.requirements import Requirement
from resolvelib import BaseReporter, ResolutionImpossible, ResolutionTooDeep
from resolvelib.resolvers import Criterion, Resolution

from pypicached.warm.candidates import PYTHON, Candidate, Needed, split
from pypicached.warm.choose import Hashes
from pypicached.warm.explain import explain
from pypicached.warm.library import UnavailableError
from pypicached.warm.plan import ProblemKind
from pypicached.warm.provider import Constraint, Provider
from pypicached.warm.stock import Stock

# pip's; `Stock.seconds_left` comes long before.
MOST_ROUNDS = 200_000
TOO_DEEP = "too many combinations of versions to try; narrow them down"


class Solution(NamedTuple):
    """What was chosen, by name, and by name who needs it."""

    chosen: Mapping[str, Candidate]
    criteria: Mapping[str, Criterion[Needed, Candidate]]


class Root(NamedTuple):
    """A requirement to begin with; `where` says who made it."""

    requirement: Requirement
    hashes: Hashes
    where: str


class Failure(NamedTuple):
    """Why there is no solution; `culprits` are the places of the roots that led there."""

    kind: ProblemKind
    reason: str
    culprits: frozenset[int]


class _Trail(BaseReporter[Needed, Candidate, str]):
    """Remembers who needed what, to find the roots that led to a failure."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._began = time.process_time()
        # Of what is left, so that one search after another has some.
        self._limit = stock.seconds_left / 2
        self._needed_by: dict[str, set[str]] = defaultdict(set)
        self._roots: dict[str, set[int]] = defaultdict(set)

    def starting_round(self, index: int) -> None:
        """End a search that takes too long; waiting for pages does not count."""
        if time.process_time() - self._began > self._limit:
            raise ResolutionTooDeep(index)

    def close(self) -> None:
        """Take what was spent from what is left."""
        self._stock.seconds_left -= time.process_time() - self._began

    def adding_requirement(self, requirement: Needed, parent: Candidate | None) -> None:
        """Note a requirement."""
        if parent is not None:
            self._needed_by[requirement.project].add(parent.project)
        elif requirement.wish is not None:
            self._roots[requirement.project].add(requirement.wish)

    def lead_to(self, projects: Iterable[str]) -> frozenset[int]:
        """Return the roots by which any of the projects was reached."""
        seen: set[str] = set()
        found: set[int] = set()
        left = list(projects)
        while left:
            project = left.pop()
            if project not in seen:
                seen.add(project)
                found |= self._roots[project]
                left += self._needed_by[project]
        return frozenset(found)


def search(
    stock: Stock, roots: Mapping[int, Root], constraints: Mapping[str, Constraint]
) -> Solution | Failure:
    """Return what meets all `roots`, or why nothing does."""
    needed = [
        part
        for place, root in roots.items()
        for part in split(root.requirement, source=None, wish=place, hashes=root.hashes)
    ]
    # Extras last: their bases are narrowed down by then.
    needed.sort(key=lambda requirement: requirement.name != requirement.project)
    trail = _Trail(stock)
    # Not by `Resolver`, whose way to a result does not end where what was turned down on the way
    # needs itself (resolvelib 1.2.1; pip 26 ends with a RecursionError there).
    resolution: Resolution[Needed, Candidate, str] = Resolution(
        Provider(stock, constraints, _order(roots)), trail
    )
    try:
        state = resolution.resolve(needed, max_rounds=MOST_ROUNDS)
        names = [requirement.name for requirement in needed]
        return Solution(_reached(names, state.mapping, stock), state.criteria)
    except ResolutionImpossible as error:
        return _impossible(error, trail, constraints, stock)
    except UnavailableError as error:
        culprits = trail.lead_to([error.project])
        return Failure("failed", f"{error.project}: {error.reason}", culprits)
    except ResolutionTooDeep:
        return Failure("conflict", TOO_DEEP, frozenset(roots))
    finally:
        trail.close()


def _order(roots: Mapping[int, Root]) -> dict[str, int]:
    """Return the first place of each name that is wished for, as pip counts them."""
    order: dict[str, int] = {}
    for place, root in roots.items():
        order.setdefault(split(root.requirement, source=None)[0].name, place)
    return order


def _reached(
    names: Iterable[str], chosen: Mapping[str, Candidate], stock: Stock
) -> dict[str, Candidate]:
    """Return what of the chosen is needed; the rest is left from what was turned down."""
    reached: dict[str, Candidate] = {}
    left = list(names)
    while left:
        name = left.pop()
        if name not in reached:
            reached[name] = chosen[name]
            left += [requirement.name for requirement in stock.needs(chosen[name])]
    return reached


def _impossible(
    error: ResolutionImpossible[Needed, Candidate],
    trail: _Trail,
    constraints: Mapping[str, Constraint],
    stock: Stock,
) -> Failure:
    causes = list(error.causes)
    try:
        kind, reason = explain(causes, constraints, stock)
    except UnavailableError as failed:
        kind, reason = "failed", f"{failed.project}: {failed.reason}"
    parents = {info.parent.project for info in causes if info.parent is not None}
    wished = {info.requirement.wish for info in causes if info.parent is None}
    found = trail.lead_to(parents - {PYTHON}) | {wish for wish in wished if wish is not None}
    return Failure(kind, reason, found)
