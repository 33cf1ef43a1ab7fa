"""The real PDM through a real daemon."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import ClassVar

import pytest

from tests.e2e.locking import LockingTool
from tests.e2e.tools import needs

pytestmark = [pytest.mark.clients, needs("pdm")]

PROJECT = """\
[project]
name = "demo"
version = "0"
requires-python = ">=3.11"
dependencies = ["{requirement}"]

[tool.pdm]
distribution = false
"""


class TestPdm(LockingTool):
    """PDM, set up by `pypicached client pdm`."""

    name = "pdm"
    lock_command = ("lock",)
    install_command = ("sync",)
    lock_filename = "pdm.lock"
    # Else it looks for a newer PDM, at our address too, whenever it finds the time.
    environment: ClassVar[dict[str, str]] = {"PDM_CHECK_UPDATE": "0"}

    def write_project(self, directory: Path, requirement: str) -> None:
        """Write a pyproject.toml."""
        (directory / "pyproject.toml").write_text(PROJECT.format(requirement=requirement))

    def locked_hashes(self, lock: str) -> dict[str, set[str]]:
        """Read the `files` of each package."""
        packages = tomllib.loads(lock)["package"]
        return {one["name"]: {file["hash"] for file in one["files"]} for one in packages}
