"""What strangers write into pages and metadata harms their own project at most."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.warm.choose import Chooser
from pypicached.warm.core_metadata import MetadataError, parse_metadata, parse_pkg_info
from pypicached.warm.plan import Plan
from pypicached.warm.search import TOO_DEEP
from tests.fake.wheels import make_wheel
from tests.warm.shelf import LINUX, Shelf, versions

DIGITS = "1" * 5000


def with_newest(*lines: str) -> Plan:
    """Return a plan for "a", whose version 2.0 has these lines in its metadata, and "b"."""
    shelf = Shelf()
    text = "".join(f"{line}\n" for line in ("Metadata-Version: 2.1", "Name: a", *lines))
    newest = dataclasses.replace(make_wheel("a", "2.0"), metadata=text.encode())
    shelf.add("a", make_wheel("a", "1.0"), newest)
    shelf.add("b", make_wheel("b", "1.0"))
    return shelf.plan("a", "b")


@pytest.mark.parametrize(
    "lines",
    [
        (f"Version: {DIGITS}",),
        ("Version: é",),
        ("Version: 2.0", f"Requires-Dist: b>={DIGITS}"),
        ("Version: 2.0", f"Requires-Dist: b; {'(' * 1900}os_name=='x'{')' * 1900}"),
        ("Version: 2.0", "Requires-Dist: b @"),
        ("Version: 2.0", "Requires-Dist: \x1b[31m"),
    ],
    ids=["digits", "letter", "more digits", "nested", "no address", "control"],
)
def test_metadata__hostile(lines: tuple[str, ...]) -> None:
    """Metadata that cannot be read makes its version unusable, nothing else."""
    plan = with_newest(*lines)
    assert versions(plan) == {"a": "1.0", "b": "1.0"}
    assert all(note.isprintable() for note in plan.notes)
    assert "passed over" in plan.notes[0]


def test_metadata__requires_python_without_end() -> None:
    """A `Requires-Python` that cannot be read excludes nobody."""
    plan = with_newest("Version: 2.0", f"Requires-Python: >={DIGITS}")
    assert versions(plan) == {"a": "2.0", "b": "1.0"}


def test_metadata__marker_that_compares_nothing() -> None:
    """A marker that has no meaning does not hold, and is noted."""
    plan = with_newest("Version: 2.0", "Requires-Dist: c; os_name ~= 'posix'")
    assert versions(plan) == {"a": "2.0", "b": "1.0"}
    assert plan.notes == ('a marker that compares what cannot be: os_name ~= "posix"',)


def test_words__of_strangers() -> None:
    """What is told of a conflict has no control characters, whatever metadata say."""
    shelf = Shelf()
    shelf.add("a", make_wheel("a", "1.0", requires=["b<1; os_name != '\x1b[31m'"]))
    shelf.add("b", make_wheel("b", "1.0"))
    (problem,) = shelf.plan("a").problems
    assert all(line.isprintable() for line in problem.reason.splitlines())


def test_wheel__a_hundred_thousand_tags() -> None:
    """A wheel whose name spells more tags than any real one is nobody's."""
    many = ".".join(f"c{n}" for n in range(20))
    listed = ProjectFile(filename=f"a-1.0-{many}.py3-{many}.none-{many}.any.whl", url="https://f/a")
    assert Chooser(LINUX).entries(ProjectPage(name="a", files=[listed])) == []


def test_search__without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that takes too long is given up, and what is simple is planned all the same."""
    monkeypatch.setattr("pypicached.warm.stock.SECONDS", 1.0)
    shelf = Shelf()
    # Pigeons and holes: each hole has one version per pigeon, and there is one pigeon too many.
    pigeons, holes = range(9), range(8)
    for pigeon in pigeons:
        needs = [f"h{hole}=={pigeon}" for hole in holes]
        made = [make_wheel(f"p{pigeon}", f"{n}.0", requires=[r]) for n, r in enumerate(needs)]
        shelf.add(f"p{pigeon}", *made)
    for hole in holes:
        shelf.add(f"h{hole}", *(make_wheel(f"h{hole}", str(pigeon)) for pigeon in pigeons))
    shelf.add("simple", make_wheel("simple", "1.0"))
    plan = shelf.plan(*(f"p{pigeon}" for pigeon in pigeons), "simple")
    assert versions(plan)["simple"] == "1.0"
    assert sum(project.startswith("p") for project in versions(plan)) == len(holes)
    assert [problem.reason for problem in plan.problems] == [TOO_DEEP]


@given(
    st.binary()
    | st.lists(
        st.sampled_from(["Name: a", "Version: 1", "Requires-Dist: ", "Dynamic: ", " x"]) | st.text()
    ).map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))
)
def test_metadata__any_bytes(body: bytes) -> None:
    """Any bytes are metadata or a MetadataError."""
    for parse in (parse_metadata, parse_pkg_info):
        try:
            found = parse(body)
        except MetadataError:
            continue
        assert SpecifierSet().contains(found.version, prereleases=True)


PIECES = st.sampled_from(
    [
        "a",
        "1.0",
        "-",
        "-",
        "-",
        "py3",
        "none",
        "any",
        ".whl",
        ".tar.gz",
        "1!",
        "+x",
        "_",
        ".",
        "cp312",
    ]
)


@given(
    st.lists(PIECES | st.text(max_size=2), max_size=14).map("".join),
    st.none() | st.lists(st.sampled_from([">=", "3", ".", ",", "<", "*", " "])).map("".join),
)
def test_choose__any_row(filename: str, requires_python: str | None) -> None:
    """Any row of a page is a file for the target, or none."""
    listed = ProjectFile(filename=filename, url="https://f/a", requires_python=requires_python)
    page = ProjectPage(name="a", files=[listed])
    chooser = Chooser(LINUX)
    found = chooser.applicable(chooser.entries(page), SpecifierSet())
    assert [entry.file for entry in found] in ([], [listed])
    chooser.passed_over(page)  # nor does it raise
