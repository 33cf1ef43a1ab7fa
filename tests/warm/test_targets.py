"""Targets: their names, and the wheels that pip would take for them."""

from __future__ import annotations

import pytest
from packaging.markers import Marker, default_environment
from packaging.tags import sys_tags

from pypicached.warm.targets import host_target, parse_target

pip_tags = pytest.importorskip("pip._internal.utils.compatibility_tags")


@pytest.mark.parametrize("python", ["3.9", "3.12", "3.13"])
@pytest.mark.parametrize(
    "tag",
    [
        "manylinux1_x86_64",
        "manylinux2010_i686",
        "manylinux2014_x86_64",
        "manylinux2014_aarch64",
        "manylinux_2_17_x86_64",
        "manylinux_2_28_aarch64",
        "musllinux_1_1_x86_64",
        "linux_x86_64",
        "linux_armv7l",
        "macosx_14_0_arm64",
        "macosx_11_0_universal2",
        "macosx_10_9_x86_64",
        "win_amd64",
        "win32",
        "win_arm64",
    ],
)
def test_target__tag_as_pip(python: str, tag: str) -> None:
    """A platform tag means to the wheel and in order what pip's `--platform` makes of it."""
    theirs = pip_tags.get_supported(python.replace(".", ""), [tag], "cp", None)
    assert [str(t) for t in parse_target(python, tag).tags] == [str(t) for t in theirs]


def test_target__this_host() -> None:
    """The default is this interpreter, with its own tags and markers."""
    target = host_target()
    assert list(target.tags) == list(sys_tags())
    assert target.environment == default_environment()


@pytest.mark.parametrize(
    ("platform", "takes", "not_"),
    [
        ("linux-x86_64", "cp312-cp312-manylinux_2_34_x86_64", "cp312-cp312-manylinux_2_39_x86_64"),
        ("linux-x86_64", "cp39-abi3-manylinux1_x86_64", "cp312-cp312-musllinux_1_2_x86_64"),
        ("linux-aarch64", "cp312-cp312-manylinux2014_aarch64", "cp312-cp312-manylinux1_aarch64"),
        ("linux-aarch64", "cp312-cp312-linux_aarch64", "cp312-cp312-manylinux2014_x86_64"),
        ("musllinux-x86_64", "cp312-cp312-musllinux_1_1_x86_64", "cp312-cp312-manylinux1_x86_64"),
        ("macos-arm64", "cp312-cp312-macosx_11_0_arm64", "cp312-cp312-macosx_11_0_x86_64"),
        ("macos-arm64", "cp312-cp312-macosx_10_9_universal2", "cp312-cp312-macosx_99_0_arm64"),
        ("windows-amd64", "cp312-abi3-win_amd64", "cp312-cp312-win32"),
        ("windows-x86", "cp312-cp312-win32", "cp312-cp312-win_amd64"),
        ("x86_64-manylinux_2_28", "cp312-cp312-manylinux2014_x86_64",
         "cp312-cp312-manylinux_2_31_x86_64"),
        ("linux-x86_64", "py3-none-any", "cp311-cp311-manylinux2014_x86_64"),
    ],
)  # fmt: skip
def test_target__friendly(platform: str, takes: str, not_: str) -> None:
    """A friendly name takes what a current system of that name takes, and nothing else."""
    tags = [str(tag) for tag in parse_target("3.12", platform).tags]
    assert (takes in tags, not_ in tags, len(tags)) == (True, False, len(set(tags)))


def test_target__newer_is_better() -> None:
    """A wheel for a newer system comes before one for an older one, and before a pure one."""
    tags = [str(tag) for tag in parse_target("3.12", "linux-x86_64").tags]
    order = [
        "cp312-cp312-manylinux_2_28_x86_64",
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux2014_x86_64",
        "cp312-cp312-manylinux1_x86_64",
        "cp312-abi3-manylinux_2_28_x86_64",
        "cp38-abi3-manylinux1_x86_64",
        "cp312-none-any",
        "py3-none-any",
    ]
    assert [tag for tag in tags if tag in order] == order


@pytest.mark.parametrize(
    ("platform", "marker"),
    [
        ("linux-aarch64", "sys_platform == 'linux' and platform_machine == 'aarch64'"),
        ("manylinux2014_x86_64", "platform_system == 'Linux' and platform_machine == 'x86_64'"),
        ("musllinux-x86_64", "os_name == 'posix' and sys_platform == 'linux'"),
        ("macos-arm64", "sys_platform == 'darwin' and platform_machine == 'arm64'"),
        ("windows-amd64", "os_name == 'nt' and platform_machine == 'AMD64'"),
        ("win32", "platform_system == 'Windows' and platform_machine == 'x86'"),
        ("win32", "python_version == '3.12' and python_full_version == '3.12.0'"),
        ("win32", "implementation_name == 'cpython' and platform_python_implementation != 'PyPy'"),
    ],
)
def test_target__markers(platform: str, marker: str) -> None:
    """Markers are those of the target, wherever this runs."""
    environment = dict(parse_target("3.12", platform).environment)
    assert Marker(marker).evaluate(environment)
    assert environment.keys() == default_environment().keys()


def test_target__python() -> None:
    """A patch version counts for `Requires-Python`; a "t" is a Python without the GIL."""
    assert str(parse_target("3.12.7", "win32").version) == "3.12.7"
    free = parse_target("3.13t", "win32").tags
    assert (str(free[0]), "abi3" in {tag.abi for tag in free}) == ("cp313-cp313t-win32", False)


@pytest.mark.parametrize(
    ("python", "platform", "words"),
    [
        ("3.12", "linux-x86", '"linux-x86" is no platform; did you mean "linux-x86_64"?'),
        ("3.12", "win_arm", '"win_arm" is no platform; did you mean "win_arm64"?'),
        ("3.12", "manylinux_2_17", '"manylinux_2_17" is no platform; did you mean'),
        ("3.12", "beos", '"beos" is no platform; known are e.g. linux-x86_64,'),
        ("2.7", "win32", '"2.7" is no Python that wheels can be chosen for; say e.g. 3.12'),
        ("3", "win32", '"3" is no Python'),
        ("3.12; x", "win32", '"3.12; x" is no Python'),
        ("pypy3.10", "win32", '"pypy3.10" is no Python'),
    ],
)
def test_target__none(python: str, platform: str, words: str) -> None:
    """What is no target is told in one sentence, with the nearest name that is one."""
    with pytest.raises(ValueError, match=words[:12].replace("(", ".")) as raised:
        parse_target(python, platform)
    assert str(raised.value).startswith(words)
