"""The real Pipenv through a real daemon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from pypicached.settings.urls import PYPI_URL
from tests.e2e.locking import LockingTool
from tests.e2e.tools import needs

pytestmark = [pytest.mark.clients, needs("pipenv")]

# As Pipenv writes it by itself; the mirror stands in for this source, and for no other.
PROJECT = f"""\
[[source]]
url = "{PYPI_URL.rstrip("/")}"
verify_ssl = true
name = "pypi"

[packages]
"""


class TestPipenv(LockingTool):
    """Pipenv, set up by `pypicached client pipenv`."""

    name = "pipenv"
    lock_command = ("lock",)
    install_command = ("sync",)
    lock_filename = "Pipfile.lock"
    environment: ClassVar[dict[str, str]] = {"PIPENV_VENV_IN_PROJECT": "1", "PIP_RETRIES": "0"}

    def write_project(self, directory: Path, requirement: str) -> None:
        """Write a Pipfile."""
        (directory / "Pipfile").write_text(f'{PROJECT}{requirement} = "*"\n')

    def locked_hashes(self, lock: str) -> dict[str, set[str]]:
        """Read the `hashes` of each package."""
        packages = json.loads(lock)["default"]
        return {name: set(one["hashes"]) for name, one in packages.items()}
