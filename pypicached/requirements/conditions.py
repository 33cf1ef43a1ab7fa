"""When a node of a dependency graph is reached, from the markers on the way there. Exact, bounded.

A condition is a set of ways; a way is the set of markers that must all hold. Markers are opaque
here. Cycles need no care: going round again only adds markers to a way that is there already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from pypicached.requirements.markers import Condition, all_of, any_of

Node = TypeVar("Node", bound=Hashable)
Ways = frozenset[frozenset[str]]

ALWAYS: Ways = frozenset({frozenset()})
# More ways, or more changes, than this: the node is taken always, which installs too much and
# never too little.
_MAX_WAYS = 24
_MAX_CHANGES = 24


def reach(
    roots: Iterable[tuple[Node, Condition]],
    edges_of: Callable[[Node], Iterable[tuple[Node, Condition]]],
) -> dict[Node, Condition]:
    """Return node → when it is reached, for all that can be, in the order they were found."""
    ways: dict[Node, Ways] = {}
    changes: dict[Node, int] = {}
    waiting: deque[Node] = deque()

    def arrive(node: Node, before: Ways, marker: Condition) -> None:
        if marker is False:
            return
        here = before if marker is True else frozenset(way | {str(marker)} for way in before)
        known = ways.get(node, frozenset())
        both = _shortest(known | here)
        if both == known:
            return
        changes[node] = changes.get(node, 0) + 1
        if len(both) > _MAX_WAYS or changes[node] > _MAX_CHANGES:
            both = ALWAYS
        ways[node] = both
        waiting.append(node)

    for node, marker in roots:
        arrive(node, ALWAYS, marker)
    while waiting:
        node = waiting.popleft()
        for following, marker in edges_of(node):
            arrive(following, ways[node], marker)
    return {node: any_of(all_of(sorted(way)) for way in _ordered(ways[node])) for node in ways}


def _shortest(ways: Ways) -> Ways:
    """Leave out ways that demand what another one does, and more."""
    if len(ways) == 1:
        return ways
    return frozenset(way for way in ways if not any(other < way for other in ways))


def _ordered(ways: Ways) -> list[frozenset[str]]:
    return sorted(ways, key=lambda way: (len(way), sorted(way)))
