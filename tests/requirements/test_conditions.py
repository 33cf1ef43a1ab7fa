"""Markers and the ways through a dependency graph."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker

from pypicached.requirements.conditions import reach
from pypicached.requirements.markers import Comparison, Condition, all_of, any_of, decide_marker

# Atoms that three variables of an environment decide.
ATOMS = ['os_name == "a"', 'sys_platform == "b"', 'platform_machine == "c"']


def decide(comparison: Comparison) -> bool:
    return (comparison.value == "yes") is comparison.present


def holds(condition: Condition, environment: tuple[bool, ...]) -> bool:
    values = [value if true else "-" for true, value in zip(environment, "abc", strict=True)]
    names = ("os_name", "sys_platform", "platform_machine")
    if isinstance(condition, bool):
        return condition
    return Marker(condition).evaluate(dict(zip(names, values, strict=True)))


ENVIRONMENTS = list(itertools.product([False, True], repeat=3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("os_name == 'a'", 'os_name == "a"'),
        ("'yes' in extras", True),
        ("'no' in extras", False),
        ("'no' not in extras", True),
        ("extra == 'yes'", True),
        ("'yes' != extra", False),
        ("os_name == 'a' and 'yes' in dependency_groups", 'os_name == "a"'),
        ("os_name == 'a' or 'yes' in dependency_groups", True),
        ("os_name == 'a' and 'no' in dependency_groups", False),
        ("(os_name=='a' or extra=='no') and (os_name=='b' or os_name=='c')",
         'os_name == "a" and (os_name == "b" or os_name == "c")'),
        ("'linux' in sys_platform", '"linux" in sys_platform'),
        ("python_version not  in '3.8 3.9'", 'python_version not in "3.8 3.9"'),
    ],
)  # fmt: skip
def test_marker__decided(text: str, expected: Condition) -> None:
    """Comparisons with extras and groups are decided, the rest stays plain PEP 508."""
    assert decide_marker(text, decide) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "os_name", "os_name ==", "== 'a'", "os_name == 'a' and", "os_name == 'a' 'b'",
        "(os_name == 'a'", "os_name == 'a')", "nonsense == 'a'", "os_name = 'a'", "extra < 'a'",
        "os_name == 'a", "(" * 60 + "os_name", "os_name == 'a' or " * 2000, "os_name === 'a' §",
    ],
)  # fmt: skip
def test_marker__is_none(text: str) -> None:
    """What is no marker is refused in words."""
    with pytest.raises(ValueError, match="marker"):
        decide_marker(text, decide)


conditions = st.recursive(
    st.sampled_from([True, False, *ATOMS]),
    lambda inner: (
        st.builds(any_of, st.lists(inner, max_size=3))
        | st.builds(all_of, st.lists(inner, max_size=3))
    ),
    max_leaves=8,
)


@given(st.lists(conditions, max_size=4), st.sampled_from(ENVIRONMENTS))
def test_conditions__any_and_all(parts: list[Condition], environment: tuple[bool, ...]) -> None:
    """Joined conditions hold where any, or all, of them do."""
    assert holds(any_of(parts), environment) == any(holds(p, environment) for p in parts)
    assert holds(all_of(parts), environment) == all(holds(p, environment) for p in parts)


edges = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 5), st.sampled_from([True, False, *ATOMS])
    ),
    max_size=14,
)  # fmt: skip


@given(edges)
def test_reach__every_graph(graph: list[tuple[int, int, Condition]]) -> None:
    """A node's condition holds just where a walk along edges that hold gets there, cycles too."""
    reached = reach(
        [(0, True)], lambda node: [(end, marker) for start, end, marker in graph if start == node]
    )
    for environment in ENVIRONMENTS:
        found = {0}
        while True:
            more = {end for start, end, m in graph if start in found and holds(m, environment)}
            if more <= found:
                break
            found |= more
        assert found == {n for n, c in reached.items() if holds(c, environment)}


def test_reach__shortest_ways() -> None:
    """A way that demands what a shorter one does, and more, is not told."""
    graph: dict[str, list[tuple[str, Condition]]] = {
        "a": [("b", ATOMS[0]), ("c", ATOMS[0])],
        "b": [("c", ATOMS[1]), ("a", True)],
    }
    assert reach([("a", True)], lambda node: graph.get(node, [])) == {
        "a": True,
        "b": ATOMS[0],
        "c": ATOMS[0],
    }


def test_reach__too_many_ways() -> None:
    """Where the ways become too many to tell apart, a node is reached always: never too little."""
    graph: dict[int, list[tuple[int, Condition]]] = {
        n: [(n + 1, f'os_name == "{n}a"'), (n + 1, f'os_name == "{n}b"')] for n in range(8)
    }
    reached = reach([(0, True)], lambda node: graph.get(node, []))
    assert reached[1] == 'os_name == "0a" or os_name == "0b"'
    # 2**5 ways are more than are told apart.
    assert reached[5] is True
