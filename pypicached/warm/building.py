"""What it takes to build the sdists of a plan: their `[build-system] requires`, resolved.

Each set of build requirements is resolved by itself, as pip does in an isolated environment, and
without the user's constraints. What a backend asks for beyond that (PEP 517
`get_requires_for_build_wheel`, `setup_requires`) only a build would tell; it is not here.
"""

from __future__ import annotations

from collections.abc import Sequence

from pypicached.warm.bounded import read_requirement
from pypicached.warm.core_metadata import MetadataError
from pypicached.warm.library import UnavailableError
from pypicached.warm.plan import Item, Problem
from pypicached.warm.resolve import Resolved, look_ahead, resolve
from pypicached.warm.search import Root
from pypicached.warm.stock import Stock


def add_sdists(stock: Stock, resolved: Resolved) -> None:
    """Add the sdist of everything that has a wheel."""
    for item in list(resolved.items):
        if not is_sdist(item):
            source = _sdist_of(stock, item)
            if source is None:
                resolved.notes.append(f"{item.project} {item.version} has no sdist")
            else:
                resolved.items.append(source)


def add_build_requirements(stock: Stock, resolved: Resolved) -> None:
    """Add what the sdists among the items need to be built, and what those need in turn."""
    done: set[tuple[str, ...]] = set()
    waiting = [item for item in resolved.items if is_sdist(item)]
    while waiting:
        for item in waiting:
            stock.library.expect_metadata(item.project, item.file)
        wanted = _build_requirements(stock, waiting, resolved)
        waiting = []
        for requires, where in wanted.items():
            if requires not in done:
                done.add(requires)
                waiting += _resolve_for(stock, requires, where, resolved)


def is_sdist(item: Item) -> bool:
    """Tell whether an item has to be built."""
    return not item.file.filename.endswith(".whl")


def _first(item: Item) -> str:
    return item.requested_by[0] if item.requested_by else ""


def _sdist_of(stock: Stock, item: Item) -> Item | None:
    try:
        entries = stock.entries(item.project)
    except UnavailableError:
        return None
    found = [e for e in entries if not e.is_wheel and str(e.version) == item.version]
    return Item(item.project, item.version, found[-1].file, item.requested_by) if found else None


def _build_requirements(
    stock: Stock, sdists: Sequence[Item], resolved: Resolved
) -> dict[tuple[str, ...], str]:
    """Return sets of build requirements, each with who needs it."""
    wanted: dict[tuple[str, ...], str] = {}
    for item in sdists:
        what = f"{item.project}=={item.version}"
        try:
            requires = stock.library.sdist(item.project, item.file).build_requires()
        except UnavailableError as error:
            resolved.problems.append(Problem("failed", what, error.reason, _first(item)))
        except MetadataError as error:
            resolved.notes.append(f"{what}: {error}; what it takes to build it is unknown")
        else:
            wanted.setdefault(requires, f"to build {item.project} {item.version}")
    return wanted


def _resolve_for(
    stock: Stock, requires: tuple[str, ...], where: str, resolved: Resolved
) -> list[Item]:
    """Add what a build needs; return the sdists that are new among it."""
    needed = Resolved()
    parsed = [read_requirement(text) for text in requires]
    roots = [
        Root(requirement, None, where)
        for requirement in parsed
        if requirement.marker is None or stock.holds(requirement.marker)
    ]
    look_ahead(stock, roots, {})
    resolve(stock, roots, {}, needed)
    known = {item.file.url for item in resolved.items}
    new = [
        Item(item.project, item.version, item.file, item.requested_by, "build")
        for item in needed.items
        if item.file.url not in known
    ]
    resolved.items += new
    resolved.problems += needed.problems
    return [item for item in new if is_sdist(item)]
