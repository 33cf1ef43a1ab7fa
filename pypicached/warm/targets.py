"""For whom to fetch: a CPython version on a platform, as wheel tags and a marker environment. Pure.

What a target takes is what `pip download --python-version … --platform …` takes, in pip's order.
Markers are those of the target, where pip would evaluate them for the Python that it runs under.
"""

from __future__ import annotations

import platform
import re
import sys
import sysconfig
from collections.abc import Mapping
from functools import cached_property
from typing import cast

import msgspec
from packaging.markers import default_environment
from packaging.tags import Tag, compatible_tags, cpython_tags, platform_tags
from packaging.version import Version

from pypicached.errors import clean
from pypicached.warm.platforms import parse_platform

_PYTHON = re.compile(r"3\.(\d{1,2})(?:\.(\d{1,2}))?(t?)")
# The oldest whose tags need no look at how an interpreter was built ("m", "mu").
_OLDEST_MINOR = 8


class Target(msgspec.Struct, frozen=True, dict=True):
    """One Python on one platform; `name` is for people, and tells targets of a job apart."""

    name: str
    # Three numbers. "3.12" counts as 3.12.0, as with pip and uv.
    python: str
    # PEP 425 abi tag of its interpreter: "cp312", or "cp313t" without the GIL.
    abi: str
    # PEP 425 platform tags, best first.
    platforms: tuple[str, ...]
    # PEP 508 environment, without `extra`.
    environment: Mapping[str, str]

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        """What it takes, best first."""
        minor = Version(self.python).minor
        own = cpython_tags((3, minor), [self.abi], self.platforms)
        return (*own, *compatible_tags((3, minor), f"cp3{minor}", self.platforms))

    @cached_property
    def version(self) -> Version:
        """The Python version, for `Requires-Python`."""
        return Version(self.python)


def parse_target(python: str, platform_name: str) -> Target:
    """Return the target of `--python` and `--platform`; ValueError with one sentence if it is none.

    `python` is "3.12", "3.12.7" or, without the GIL, "3.13t"; the name of a platform is any that
    `platforms` knows.
    """
    match = _PYTHON.fullmatch(python)
    if match is None or int(match[1]) < _OLDEST_MINOR:
        raise ValueError(
            f'"{clean(python, 40)}" is no Python that wheels can be chosen for; say e.g. 3.12'
        )
    found = parse_platform(platform_name)
    minor, patch, threads = int(match[1]), int(match[2] or 0), match[3]
    full = f"3.{minor}.{patch}"
    environment = {**found.markers, **_python_markers(minor, full)}
    name = f"{python} {platform_name}"
    return Target(name, full, f"cp3{minor}{threads}", found.tags, environment)


def host_target() -> Target:
    """Return the target that this interpreter is, on this host."""
    major, minor, patch = sys.version_info[:3]
    threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    machine = f"{platform.system().lower()}-{platform.machine()}"
    return Target(
        f"{major}.{minor}{threads} {machine} (this host)",
        f"{major}.{minor}.{patch}",
        f"cp{major}{minor}{threads}",
        tuple(platform_tags()),
        cast("Mapping[str, str]", default_environment()),
    )


def _python_markers(minor: int, full: str) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_python_implementation": "CPython",
        "python_version": f"3.{minor}",
        "python_full_version": full,
    }
