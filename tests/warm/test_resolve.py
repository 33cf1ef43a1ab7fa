"""What is resolved, and what becomes of the rest where something cannot be had."""

from __future__ import annotations

import dataclasses
import inspect
import sys

from pypicached.warm.frames import Answer
from pypicached.warm.targets import parse_target
from tests.fake.wheels import make_wheel
from tests.warm.shelf import LINUX, Shelf, versions, wish

LONG = 200


def test_resolve__newest_that_goes_together() -> None:
    """The newest version of everything is taken, older ones where the newest conflict."""
    shelf = Shelf()
    shelf.add(
        "a",
        make_wheel("a", "1.0", requires=["b<2"]),
        make_wheel("a", "2.0", requires=["b<2", "c>=5"]),
    )
    shelf.add("b", make_wheel("b", "1.0"), make_wheel("b", "2.0"))
    shelf.add("c", make_wheel("c", "1.0"))
    plan = shelf.plan("a", "b")
    assert (versions(plan), plan.problems) == ({"a": "1.0", "b": "1.0"}, ())
    asked = {item.project: item.requested_by for item in plan.items}
    assert asked == {
        "a": ("requirements.txt line 1",),
        "b": ("requirements.txt line 2", "a 1.0"),
    }


def test_conflict__who_requires_what() -> None:
    """A conflict is told as pip tells it, and what has no part in it is planned."""
    shelf = Shelf()
    shelf.add("a", make_wheel("a", "1.0", requires=["c<2"]))
    shelf.add("b", make_wheel("b", "1.0", requires=["c>=2,!=5"]))
    shelf.add("c", make_wheel("c", "1.0"), make_wheel("c", "2.0"))
    shelf.add("d", make_wheel("d", "1.0"))
    plan = shelf.plan("d", "a", "b")
    assert versions(plan) == {"d": "1.0", "a": "1.0", "c": "1.0"}
    (problem,) = plan.problems
    assert (problem.kind, problem.what, problem.where) == (
        "conflict",
        "b",
        "requirements.txt line 3",
    )
    assert problem.reason.splitlines() == [
        "Cannot install a==1.0 and b==1.0 because these package versions have conflicting "
        "dependencies.",
        "The conflict is caused by:",
        "    a 1.0 depends on c<2",
        "    b 1.0 depends on c!=5 and >=2",
    ]


def test_conflict__with_a_constraint() -> None:
    """A constraint that is in the way is named."""
    shelf = Shelf()
    shelf.add("a", make_wheel("a", "1.0"), make_wheel("a", "2.0"))
    plan = shelf.plan("a>=2", constraints=["a<2"])
    (problem,) = plan.problems
    assert problem.reason.splitlines() == [
        "Cannot install a>=2 because these package versions have conflicting dependencies.",
        "The conflict is caused by:",
        "    The user requested a>=2",
        "    The user requested (constraint) a<2",
    ]


def test_conflict__two_of_them() -> None:
    """Of two conflicts that have nothing to do with each other, both are told."""
    shelf = Shelf()
    for name in ("a", "b"):
        shelf.add(name, make_wheel(name, "1.0"), make_wheel(name, "2.0"))
    plan = shelf.plan("a==1.0", "b==1.0", "a==2.0", "b==2.0")
    assert versions(plan) == {"a": "1.0", "b": "1.0"}
    assert [problem.what for problem in plan.problems] == ["a==2.0", "b==2.0"]


def test_conflict__of_python_in_metadata() -> None:
    """A `Requires-Python` that only the metadata has is told with its project."""
    shelf = Shelf()
    made = make_wheel("a", "1.0", requires_python=">=3.99")
    shelf.add("a", dataclasses.replace(made, requires_python=None))
    (problem,) = shelf.plan("a").problems
    assert problem.reason == "The target is Python 3.12.0:\n    a 1.0 requires Python >=3.99"


def test_missing__the_rest_is_done() -> None:
    """One project in forty that does not exist is a problem; the others are planned."""
    shelf = Shelf()
    for number in range(39):
        shelf.add(f"a{number}", make_wheel(f"a{number}", "1.0"))
    plan = shelf.plan(*(f"a{number}" for number in range(39)), "missing>=2; os_name == 'posix'")
    assert len(plan.items) == 39
    (problem,) = plan.problems
    assert (problem.kind, problem.what) == ("not-found", "missing>=2")
    assert (problem.reason, problem.where) == (
        "no index here has missing",
        "requirements.txt line 40",
    )


def test_missing__no_version_fits() -> None:
    """What there is, and why it does not count, is said."""
    shelf = Shelf()
    shelf.add(
        "a",
        make_wheel("a", "1.0"),
        make_wheel("a", "2.0", requires_python="<3.8"),
        make_wheel("a", "3.0", tag="cp312-cp312-win_amd64"),
        make_wheel("a", "1.5", yanked=True),
    )
    (problem,) = shelf.plan("a>=2").problems
    assert problem.kind == "not-found"
    assert problem.reason == (
        "Could not find a version that satisfies the requirement a>=2 (from versions: 1.0); "
        "yanked: 1.5; for another Python: 2.0 (Python <3.8); without a file for this target: 3.0"
    )


def test_missing__of_a_dependency() -> None:
    """A wish whose every version needs something that is not there is left out, and why."""
    shelf = Shelf()
    shelf.add("a", make_wheel("a", "1.0", requires=["gone>=1"]))
    shelf.add("b", make_wheel("b", "1.0"))
    plan = shelf.plan("a", "b")
    assert versions(plan) == {"b": "1.0"}
    assert [(p.kind, p.what, p.reason) for p in plan.problems] == [
        ("not-found", "a", "gone>=1 (from a): no index here has gone")
    ]


def test_refused__a_project_and_a_version() -> None:
    """What a rule keeps back is refused, with the rule's words, not merely not found."""
    shelf = Shelf()
    shelf.instead["evil"] = Answer("page", "evil", "refused", 'deny has "evil"')
    shelf.add("a", make_wheel("a", "1.0"))
    shelf.refused["a"] = {"a-2.0-py3-none-any.whl": "min_age: 1 day old"}
    shelf.add("b", make_wheel("b", "1.0"))
    plan = shelf.plan("evil", "a==2.0", "b")
    assert versions(plan) == {"b": "1.0"}
    assert [(p.kind, p.what, p.reason) for p in plan.problems] == [
        ("refused", "evil", 'deny has "evil"'),
        ("refused", "a==2.0", "a==2.0: a 2.0 is refused: min_age: 1 day old"),
    ]


def test_failed__a_page() -> None:
    """A page that nobody can tell about leaves out what needs it, in its newest version too."""
    shelf = Shelf()
    shelf.add("a", make_wheel("a", "1.0"), make_wheel("a", "2.0", requires=["b"]))
    shelf.page_fails("b")
    shelf.add("c", make_wheel("c", "1.0"))
    plan = shelf.plan("a", "b", "c")
    assert versions(plan) == {"c": "1.0"}
    assert sorted((p.kind, p.what, p.reason) for p in plan.problems) == [
        ("failed", "a", "b: index pypi: timed out"),
        ("failed", "b", "index pypi: timed out"),
    ]


def test_hashes__choose_the_file() -> None:
    """Of a version's files the one with an allowed hash is taken, though another ranks higher."""
    shelf = Shelf()
    best, other = make_wheel("a", "1.0", tag="cp312-abi3-linux_x86_64"), make_wheel("a", "1.0")
    shelf.add("a", best, other)
    plan = shelf.plan(wish("a==1.0", 1, "requirements.txt", f"sha256:{other.sha256}"))
    assert [item.file.filename for item in plan.items] == [other.filename]


def test_hashes__none_is_allowed() -> None:
    """Where no file has an allowed hash nothing is taken for it, and both are told."""
    shelf = Shelf()
    made = make_wheel("a", "1.0")
    shelf.add("a", made)
    shelf.add("b", make_wheel("b", "1.0"))
    plan = shelf.plan(wish("a==1.0", 7, "requirements.txt", "sha256:" + "0" * 64), "b")
    assert versions(plan) == {"b": "1.0"}
    (problem,) = plan.problems
    assert (problem.kind, problem.what, problem.where) == (
        "mismatch",
        "a==1.0",
        "requirements.txt line 7",
    )
    assert made.sha256 in problem.reason
    assert plan.notes == ("b 1.0 has no hash where others have one; pip refuses such a list",)


def test_wish__address_or_nonsense() -> None:
    """What cannot be asked of an index is a problem in words, and takes nothing with it."""
    shelf = Shelf()
    shelf.add("a", make_wheel("a", "1.0"))
    plan = shelf.plan("a", "b @ https://example.org/b.whl", "???")
    assert versions(plan) == {"a": "1.0"}
    assert [(p.kind, p.where[-6:]) for p in plan.problems] == [
        ("unusable", "line 2"),
        ("unusable", "line 3"),
    ]


def test_targets__each_has_its_own() -> None:
    """Markers, wheels and versions are each target's own; what is asked for is asked once."""
    shelf = Shelf()
    shelf.add(
        "a",
        make_wheel("a", "1.0", tag="cp312-cp312-manylinux_2_28_x86_64"),
        make_wheel(
            "a", "1.0", tag="cp312-cp312-win_amd64", requires=["w; sys_platform == 'win32'"]
        ),
        make_wheel("a", "0.9", requires=["old; python_version < '3.12'"]),
    )
    shelf.add("w", make_wheel("w", "1.0"))
    shelf.add("old", make_wheel("old", "1.0"))
    targets = [
        parse_target(python, platform)
        for python, platform in (
            ("3.12", "linux-x86_64"),
            ("3.12", "windows-amd64"),
            ("3.11", "linux-x86_64"),
        )
    ]
    plans = shelf.plans("a", targets=targets)
    assert [versions(plan) for plan in plans] == [
        {"a": "1.0"},
        {"a": "1.0", "w": "1.0"},
        {"a": "0.9", "old": "1.0"},
    ]
    assert len(shelf.asked) == len(set(shelf.asked))


def test_metadata__of_another_project() -> None:
    """Metadata of something else is no reason to stop: the version is passed over, and noted."""
    shelf = Shelf()
    wrong = dataclasses.replace(make_wheel("a", "2.0"), metadata=make_wheel("b", "2.0").metadata)
    shelf.add("a", wrong, make_wheel("a", "1.0"))
    plan = shelf.plan("a")
    assert versions(plan) == {"a": "1.0"}
    assert plan.notes == (
        "a-2.0-py3-none-any.whl was passed over: its metadata is of another project",
    )


def test_depth__longer_than_the_stack() -> None:
    """A chain of needs may be longer than Python's stack is deep."""
    shelf = Shelf()
    for number in range(LONG):
        needed = [f"p{number + 1}"] if number + 1 < LONG else []
        shelf.add(f"p{number}", make_wheel(f"p{number}", "1.0", requires=needed))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + LONG)
    try:
        first, second = shelf.plans("p0", targets=(LINUX, parse_target("3.13", "linux-x86_64")))
    finally:
        sys.setrecursionlimit(limit)
    assert len(first.items) == len(second.items) == LONG


def test_cycle__asking_ahead_ends() -> None:
    """Projects that need one another in different versions are asked about once, not for ever."""
    shelf = Shelf()
    shelf.add("a", make_wheel("a", "1.0", requires=["b>=1", "c"]))
    shelf.add("b", make_wheel("b", "1.0", requires=["a>=1", "c<9"]))
    shelf.add("c", make_wheel("c", "1.0", requires=["a<9", "b<8", "a!=3"]))
    assert versions(shelf.plan("a", "c!=7")) == {"a": "1.0", "b": "1.0", "c": "1.0"}
    assert len(shelf.asked) == 6
