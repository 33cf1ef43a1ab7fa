"""Which file of a page is taken."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.warm.choose import Chooser, Formats, parse_formats
from pypicached.warm.targets import Target, parse_target
from tests.warm.shelf import LINUX


def page(*names: str, **more: object) -> ProjectPage:
    """Return a page of "a" with these files."""
    files = [ProjectFile(filename=n, url=f"https://f.example/{n}", **more) for n in names]  # type: ignore[arg-type]
    return ProjectPage(name="a", files=files)


def chosen(
    *names: str, versions: str = "", target: Target = LINUX, formats: Formats | None = None
) -> list[str]:
    """Return the file names that may be installed, best first."""
    chooser = Chooser(target, formats or Formats())
    found = chooser.applicable(chooser.entries(page(*names)), SpecifierSet(versions))
    return [entry.file.filename for entry in found]


def test_choose__wheels_by_rank() -> None:
    """A version's wheels come by tag rank and build tag, then its sdist; older versions follow."""
    best_first = [
        "a-2.0-1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "a-2.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        "a-2.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "a-2.0-cp39-abi3-manylinux2014_x86_64.whl",
        "a-2.0-10x-py3-none-any.whl",
        "a-2.0-9-py3-none-any.whl",
        "a-2.0-py3-none-any.whl",
        "a-2.0.tar.gz",
        "a-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
    ]
    assert chosen(*sorted(best_first)) == best_first


@pytest.mark.parametrize(
    "name",
    [
        "a-1.0-cp311-cp311-manylinux2014_x86_64.whl",
        "a-1.0-cp312-cp312-manylinux2014_aarch64.whl",
        "a-1.0-py2-none-any.whl",
        "b-1.0-py3-none-any.whl",
        "a-1.0-x1-py3-none-any.whl",
        "a-1.0-py36+-none-any.whl",
        "a-nonsense-py3-none-any.whl",
        "a-1.0-py3.12.egg",
        "a-1.0.linux-x86_64.tar.gz",
        "a-1.0.win32.exe",
        "a-1.0-1.noarch.rpm",
        "a-b-2-1.0.tar.gz",
        "a.tar.gz",
    ],
)
def test_choose__not_for_it(name: str) -> None:
    """Files of another platform, project or kind are nothing to a target."""
    assert chosen(name) == []


@pytest.mark.parametrize(
    ("only_binary", "no_binary", "takes"),
    [
        ([], [], ["a-1.0-py3-none-any.whl", "a-1.0.tar.gz"]),
        ([":all:"], [], ["a-1.0-py3-none-any.whl"]),
        (["A"], [], ["a-1.0-py3-none-any.whl"]),
        ([], [":all:"], ["a-1.0.tar.gz"]),
        ([], ["A"], ["a-1.0.tar.gz"]),
        ([":all:"], ["a"], ["a-1.0.tar.gz"]),
        (["a"], [":all:"], ["a-1.0-py3-none-any.whl"]),
        (["b"], ["c"], ["a-1.0-py3-none-any.whl", "a-1.0.tar.gz"]),
    ],
)
def test_choose__formats(only_binary: list[str], no_binary: list[str], takes: list[str]) -> None:
    """A project that is named counts more than all of them, as with pip."""
    formats = parse_formats(only_binary, no_binary)
    assert chosen("a-1.0-py3-none-any.whl", "a-1.0.tar.gz", formats=formats) == takes


@pytest.mark.parametrize(
    ("requires", "fits"),
    [(">=3.12", True), (">=3.12.1", False), ("<3.12", False), (">=3.6,", True), ("3 or so", True)],
)
def test_choose__requires_python(requires: str, fits: bool) -> None:
    """`Requires-Python` is asked; one that cannot be read excludes nobody."""
    target = parse_target("3.12", "linux-x86_64")
    listed = page("a-1.0-py3-none-any.whl", requires_python=requires)
    assert bool(Chooser(target).entries(listed)) == fits


@pytest.mark.parametrize(
    ("versions", "takes"),
    [("", False), (">=1", False), ("==1.*", False), ("==1.0", True), ("===1.0", True)],
)
def test_choose__yanked(versions: str, takes: bool) -> None:
    """Yanked files are for those alone who pin exactly that version (PEP 592)."""
    chooser = Chooser(LINUX)
    entries = chooser.entries(page("a-1.0.tar.gz", yanked="broken"))
    found = chooser.applicable(entries, SpecifierSet(versions))
    assert bool(found) == takes
