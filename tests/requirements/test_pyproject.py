"""pyproject.toml: dependencies, extras, groups, build requirements."""

from __future__ import annotations

import pytest

from pypicached.errors import BadInputError
from pypicached.requirements.model import ALL, Inputs, Selection
from pypicached.requirements.reading import read_inputs
from tests.requirements.reading import reader

TEXT = """\
[build-system]
requires = ["hatchling>=1"]

[project]
name = "Shop"
dependencies = [
    "flask>=2",
    "here @ file:///srv/here",
]

[project.optional-dependencies]
fast = ["msgspec"]
both = ["shop[fast]; os_name == 'nt'", "shop[both]", "extra-thing"]

[dependency-groups]
Test_It = ["pytest", { include-group = "lint" }]
lint = ["ruff"]
"""


def read(text: str, extras: set[str] | None = None, groups: set[str] | None = None) -> Inputs:
    selection = Selection(frozenset(extras or ()), None if groups is None else frozenset(groups))
    return read_inputs(
        files=["app/pyproject.toml"],
        selection=selection,
        read=reader({"app/pyproject.toml": text}),
        environ={},
    )


GROUPS = "[dependency-groups]\n"


def problems(text: str, **names: set[str]) -> list[str]:
    with pytest.raises(BadInputError) as caught:
        read(text, **names)
    return caught.value.problems


def test_project__dependencies_alone() -> None:
    """Extras and groups count only where they are selected; building is kept apart."""
    inputs = read(TEXT)
    assert [(w.text, str(w.origin)) for w in inputs.wishes] == [
        ("flask>=2", "app/pyproject.toml:7")
    ]
    assert [w.text for w in inputs.build] == ["hatchling>=1"]
    assert [line.partition(": ")[0] for line in inputs.left_out] == ["app/pyproject.toml:8"]


def test_project__own_extras() -> None:
    """A project that requires its own extras means their lists, under the markers on the way."""
    inputs = read(TEXT, extras={"both"})
    assert [w.text for w in inputs.wishes] == [
        "flask>=2",
        'msgspec; os_name == "nt"',
        "extra-thing",
    ]


def test_project__groups() -> None:
    """A group brings those that it includes; names are normalized (PEP 735)."""
    assert [w.text for w in read(TEXT, groups={"test-it"}).wishes] == ["flask>=2", "pytest", "ruff"]
    assert len(read(TEXT, groups={ALL}).wishes) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GROUPS + "a = [{include-group = 'b'}]\nb = [{include-group = 'a'}]", "includes itself"),
        (GROUPS + "a = [{include-group = 'c'}]", 'there is no group "c"'),
        (GROUPS + "a = [{other = 'c'}]", "neither a requirement nor"),
        (GROUPS + "a = []\nA = []", "comes twice"),
        (GROUPS + "a = 1", "`dependency-groups[...]`: expected array, got int"),
        (GROUPS + "a = ['x y']", 'app/pyproject.toml: "x y" is no requirement'),
        ("[project]\nname = 'p'\ndependencies = ['p[none]']", 'the project has no extra "none"'),
        ("[project", "app/pyproject.toml"),
        ("x = 1\ny = [\n 1 2\n]", "app/pyproject.toml:3: no TOML: "),
    ],
)  # fmt: skip
def test_project__bad(text: str, expected: str) -> None:
    """What cannot be meant is refused with a reason."""
    assert any(expected in problem for problem in problems(text, groups={"a"}))


def test_project__misspelt_selection() -> None:
    """A selected name that no file has is refused, with those that there are."""
    assert problems(TEXT, groups={"tests"}) == [
        'command line: no file has the group "tests": there are lint, test-it'
    ]


def test_project__dynamic() -> None:
    """Dependencies that only a build tells are said to be missing; so are those of old Poetry."""
    (sentence,) = read("[project]\nname='p'\ndynamic=['dependencies','version']").left_out
    assert "dependencies are dynamic" in sentence
    (sentence,) = read("[tool.poetry.dependencies]\na = '*'").left_out
    assert "poetry.lock" in sentence
