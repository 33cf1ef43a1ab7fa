"""The wheels that travel in the package: requirements/debian.txt."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import wheels
from packaging.requirements import Requirement
from packaging.tags import cpython_tags
from packaging.utils import canonicalize_name

_LINES = wheels.DEBIAN.read_text().splitlines()


def test_debian__same_versions_as_run() -> None:
    """The package carries what the tests were run with: the projects and versions of run.txt."""
    assert wheels.read_versions(wheels.DEBIAN) == wheels.read_versions(wheels.RUN)


def test_run__read_whole() -> None:
    """No line of run.txt is overlooked: each that is no comment is a pin."""
    lines = [line for line in wheels.RUN.read_text().splitlines() if not line.startswith("#")]
    assert len(wheels.read_versions(wheels.RUN)) == len(lines)


def test_debian__names_versions_hashes_only() -> None:
    """No line says where a wheel comes from: that is for pip's configuration."""
    pin = re.compile(r"#.*|[a-z0-9-]+==[a-z0-9.]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in _LINES if not pin.fullmatch(line)] == []


def test_debian__a_wheel_for_each_target() -> None:
    """A project has one wheel for all targets, or one for each suite and architecture."""
    targets = len(wheels.SUITES) * len(wheels.ARCHITECTURES)
    counts = {name: len(found) for name, found in wheels.read_hashes(wheels.DEBIAN).items()}
    assert {name: count for name, count in counts.items() if count not in (1, targets)} == {}
    assert counts["aiohttp"] == targets


def test_debian__sorted() -> None:
    """Made anew, the file is the same: projects and their hashes are in order."""
    names = [name for line in _LINES if (name := line.partition("==")[0]) and line[0].isalpha()]
    assert names == sorted(names)


def test_debian__dependencies_complete() -> None:
    """What pyproject.toml asks for travels, in a version that it allows."""
    project = tomllib.loads((wheels.ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(line) for line in project["dependencies"]]
    versions = wheels.read_versions(wheels.DEBIAN)
    found = {str(one): versions[canonicalize_name(one.name)] for one in asked}
    assert [str(one) for one in asked if found[str(one)] not in one.specifier] == []


@pytest.mark.parametrize("suite", wheels.SUITES)
@pytest.mark.parametrize("architecture", wheels.ARCHITECTURES)
def test_platforms__best_first(suite: str, architecture: str) -> None:
    """Tags go from the suite's own glibc down to the oldest that there is for the architecture."""
    tags = wheels.platforms(suite, architecture)
    machine = wheels.ARCHITECTURES[architecture]
    assert tags[0] == f"manylinux_2_{wheels.SUITES[suite].glibc}_{machine}"
    after = tags.index(f"manylinux_2_17_{machine}") + 1
    assert tags[after] == f"manylinux2014_{machine}"
    assert (f"manylinux1_{machine}" in tags) == (machine == "x86_64")
    assert tags[-1] == f"linux_{machine}"


def test_platforms__as_packaging_has_them() -> None:
    """Each tag is one that the field's own library knows for that Python."""
    tags = wheels.platforms("bookworm", "amd64")
    known = {tag.platform for tag in cpython_tags((3, 11), platforms=tags)}
    assert known == set(tags)


@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("typing_extensions-4.16.0-py3-none-any.whl", "typing-extensions"),
        ("backports.zstd-1.8.0-cp311-cp311-linux_x86_64.whl", "backports-zstd"),
        ("Jinja2-3.1.6-py3-none-any.whl", "jinja2"),
    ],
)
def test_project_of__normalized(name: str, project: str) -> None:
    """A wheel's file name gives its project, whatever way the name is spelled."""
    assert wheels.project_of(Path(name)) == project
