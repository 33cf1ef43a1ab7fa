"""The real Poetry, with its mirror plug-in, through a real daemon."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import ClassVar

import pytest

from tests.e2e.locking import LockingTool
from tests.e2e.tools import needs

pytestmark = [pytest.mark.clients, needs("poetry")]

PROJECT = """\
[project]
name = "demo"
version = "0"
requires-python = ">=3.11"
dependencies = ["{requirement}"]

[tool.poetry]
package-mode = false
"""


class TestPoetry(LockingTool):
    """Poetry, set up by the first choice of `pypicached client poetry`."""

    name = "poetry"
    lock_command = ("lock", "--no-interaction")
    install_command = ("install", "--no-interaction")
    lock_filename = "poetry.lock"
    environment: ClassVar[dict[str, str]] = {"POETRY_VIRTUALENVS_IN_PROJECT": "true"}

    def write_project(self, directory: Path, requirement: str) -> None:
        """Write a pyproject.toml."""
        (directory / "pyproject.toml").write_text(PROJECT.format(requirement=requirement))

    def locked_hashes(self, lock: str) -> dict[str, set[str]]:
        """Read the `files` of each package."""
        packages = tomllib.loads(lock)["package"]
        return {one["name"]: {file["hash"] for file in one["files"]} for one in packages}
