"""What one target needs for a list of wishes: the versions that pip would install, as files.

A wish that cannot be met takes nothing with it. If all wishes have no solution together, those
that led to the failure are set aside, the others resolved, and what was set aside is taken back one
by one, in its order, as far as it goes; what is left is a problem each, with the reason of its own
attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pypicached.errors import clean
from pypicached.requirements.model import Origin, Wish
from pypicached.warm.bounded import read_requirement
from pypicached.warm.candidates import Base, Specified, spelled
from pypicached.warm.choose import Hashes, both
from pypicached.warm.library import NoPageError, UnavailableError
from pypicached.warm.plan import Item, Problem
from pypicached.warm.provider import Constraint
from pypicached.warm.scout import Scout
from pypicached.warm.search import Failure, Root, Solution, search
from pypicached.warm.stock import Stock


def where(origin: Origin) -> str:
    """Return a place for people: "requirements.txt line 3", or a file that has no lines."""
    return f"{origin.file} line {origin.line}" if origin.line else origin.file


class Resolved:
    """What became of wishes."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.problems: list[Problem] = []
        self.notes: list[str] = []


def read_wishes(wishes: Iterable[Wish], stock: Stock, resolved: Resolved) -> list[Root]:
    """Return the wishes that hold for the target; what is none becomes a problem."""
    return [root for wish in wishes if (root := _read(wish, stock, resolved)) is not None]


def read_constraints(
    wishes: Iterable[Wish], stock: Stock, resolved: Resolved
) -> dict[str, Constraint]:
    """Return what constraints hold each project to, for the target (pip's `-c`)."""
    found: dict[str, Constraint] = {}
    for root in read_wishes(wishes, stock, resolved):
        project = str(canonicalize_name(root.requirement.name))
        before = found.get(project, Constraint(SpecifierSet(), None))
        found[project] = Constraint(
            before.versions & root.requirement.specifier, both(before.hashes, root.hashes)
        )
    return found


def _read(wish: Wish, stock: Stock, resolved: Resolved) -> Root | None:
    reason = "names an address; only what an index has can be brought here"
    try:
        requirement = read_requirement(wish.text)
        if requirement.marker is not None and not stock.holds(requirement.marker):
            return None
        if requirement.url is None:
            hashes = frozenset(wish.hashes) if wish.hashes else None
            return Root(requirement, hashes, where(wish.origin))
    except InvalidRequirement:
        reason = "is no requirement (PEP 508)"
    resolved.problems.append(Problem("unusable", clean(wish.text), reason, where(wish.origin)))
    return None


def resolve(
    stock: Stock, roots: Sequence[Root], constraints: Mapping[str, Constraint], resolved: Resolved
) -> None:
    """Add to `resolved` what `roots` need, and what of them cannot be had."""
    wanted = _without_absent(dict(enumerate(roots)), stock, resolved)
    solution, kept = _solve(stock, wanted, constraints, resolved)
    if solution is not None:
        _add_items(solution, kept, constraints, resolved)


def look_ahead(stock: Stock, roots: Sequence[Root], constraints: Mapping[str, Constraint]) -> None:
    """Begin to ask for what `resolve` will need."""
    Scout(stock).want(_as_held(root.requirement, constraints) for root in roots)


def _as_held(requirement: Requirement, constraints: Mapping[str, Constraint]) -> Requirement:
    """Return a requirement with its constraint, for a better guess of its version."""
    held = constraints.get(str(canonicalize_name(requirement.name)))
    if held is None:
        return requirement
    # A copy: what is read is shared.
    narrowed = Requirement(spelled(requirement))
    narrowed.specifier &= held.versions
    return narrowed


def _without_absent(roots: dict[int, Root], stock: Stock, resolved: Resolved) -> dict[int, Root]:
    """Return the roots whose project is there; the others are problems."""
    kept = {}
    for place, root in roots.items():
        project = str(canonicalize_name(root.requirement.name))
        try:
            stock.library.page(project)
        except NoPageError as error:
            failure = Failure(error.outcome, error.reason, frozenset())
            resolved.problems.append(_problem(root, failure))
        except UnavailableError as error:
            resolved.problems.append(_problem(root, Failure("failed", error.reason, frozenset())))
        else:
            kept[place] = root
    return kept


def _problem(root: Root, failure: Failure) -> Problem:
    return Problem(failure.kind, spelled(root.requirement), failure.reason, root.where)


def _solve(
    stock: Stock,
    wanted: dict[int, Root],
    constraints: Mapping[str, Constraint],
    resolved: Resolved,
) -> tuple[Solution | None, dict[int, Root]]:
    """Return a solution for as many roots as go together, and these."""
    kept = dict(wanted)
    aside: dict[int, Root] = {}
    found = search(stock, kept, constraints)
    while isinstance(found, Failure):
        blamed = found.culprits & kept.keys() or frozenset(kept)
        aside |= {place: kept[place] for place in blamed}
        kept = {place: root for place, root in kept.items() if place not in blamed}
        if not kept:
            break
        found = search(stock, kept, constraints)
    solution = None if isinstance(found, Failure) else found
    for place in sorted(aside):
        # In the order in which the user gave them: it counts for what is tried first.
        more = dict(sorted({**kept, place: aside[place]}.items()))
        found = search(stock, more, constraints)
        if isinstance(found, Failure):
            resolved.problems.append(_problem(aside[place], found))
        else:
            solution, kept = found, more
    return solution, kept


def _add_items(
    solution: Solution,
    kept: Mapping[int, Root],
    constraints: Mapping[str, Constraint],
    resolved: Resolved,
) -> None:
    hashed = any(root.hashes is not None for root in kept.values())
    for candidate in solution.chosen.values():
        if not isinstance(candidate, Base):
            continue
        asked, hashes = _askers(solution, candidate, kept)
        if candidate.project in constraints:
            hashes = both(hashes, constraints[candidate.project].hashes)
        file = candidate.entry.file
        if hashes is None and hashed:
            resolved.notes.append(
                f"{candidate} has no hash where others have one; pip refuses such a list"
            )
        if hashes is not None and file.hashes and not candidate.entry.has_hash(hashes):
            resolved.problems.append(_mismatch(candidate, asked))
            continue
        resolved.items.append(Item(candidate.project, str(candidate.version), file, tuple(asked)))


def _askers(
    solution: Solution, candidate: Base, kept: Mapping[int, Root]
) -> tuple[list[str], Hashes]:
    """Return who asked for a candidate, and which digests they allow."""
    chosen = {id(other): other for other in solution.chosen.values()}
    asked: dict[str, None] = {}
    hashes: Hashes = None
    for name, criterion in solution.criteria.items():
        if name.partition("[")[0] != candidate.name:
            continue
        for requirement, parent in criterion.information:
            if not isinstance(requirement, Specified):
                continue
            hashes = both(hashes, requirement.hashes)
            if requirement.wish is not None:
                asked[kept[requirement.wish].where] = None
            elif parent is not None and id(parent) in chosen:
                asked[str(parent)] = None
    return list(asked), hashes


def _mismatch(candidate: Base, asked: list[str]) -> Problem:
    digest = ", ".join(f"{name}:{value}" for name, value in candidate.entry.file.hashes.items())
    reason = (
        "no file of it that is for this target has a hash that is allowed; "
        f"the index has {clean(candidate.entry.file.filename)} with {clean(digest, 300)}"
    )
    what = f"{candidate.project}=={candidate.version}"
    return Problem("mismatch", what, reason, asked[0] if asked else "")
