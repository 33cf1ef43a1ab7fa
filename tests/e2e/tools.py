"""Poetry, PDM, Pipenv and older pips under `.clients/`: made by `make test-clients`, run by tests.

`python -m tests.e2e.tools 23.0.1 …` prepares them, and is the only part that needs the internet:
each tool in a virtual environment of its own, because their requirements exclude one another.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.clients import installed
from tests.e2e.process import DaemonProcess

TOOLS = ("poetry", "pdm", "pipenv")
CLIENTS = Path(__file__).parents[2] / ".clients"
PINS = Path(__file__).parents[2] / "requirements" / "clients"
RUN_SECONDS = 50.0
# What a tool itself puts into a new environment.
SEEDS = frozenset({"pip", "setuptools", "wheel"})


def program(tool: str) -> Path:
    """Return the path of a prepared tool, which need not be there."""
    return CLIENTS / tool / "bin" / tool


def needs(tool: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where the tool is not prepared."""
    return pytest.mark.skipif(
        not program(tool).exists(), reason=f".clients/{tool} is missing: make test-clients"
    )


class Workplace:
    """One tool in a project directory, with a home and so a cache of its own.

    Of this machine's variables it gets PATH alone. Whatever it asks from elsewhere than loopback
    goes to `proxy`, so that a record there tells of it and nothing reaches the internet.
    """

    def __init__(self, home: Path, tool: str, proxy: str, **environment: str) -> None:
        self.directory = home / "project"
        self.directory.mkdir(parents=True)
        self._program = program(tool)
        names = ("http_proxy", "https_proxy", "all_proxy")
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "PIP_CONFIG_FILE": os.devnull,
            # It asks in a process that outlives the tool.
            "VIRTUALENV_NO_PERIODIC_UPDATE": "1",
            **dict.fromkeys([*names, *map(str.upper, names)], proxy),
            **dict.fromkeys(["no_proxy", "NO_PROXY"], "127.0.0.1"),
            **environment,
        }

    def follow(self, recipe: str) -> None:
        """Do what `pypicached client …` says: its exports, and its commands of a ready tool."""
        for line in recipe.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["export"]:
                parts = (word.partition("=") for word in words[1:])
                self.environment.update((variable, value) for variable, _, value in parts)
            # Plug-ins are in the prepared environment; installing them would need the internet.
            elif words[:1] == [self._program.name] and words[1:2] != ["self"]:
                done = self.run(*words[1:])
                assert done.returncode == 0, done.stderr

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the tool; whether it succeeded is the caller's to see."""
        return subprocess.run(
            [str(self._program), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            cwd=self.directory,
            check=False,
        )

    def installed(self) -> dict[str, str]:
        """Return project → version of what is installed in the project's environment."""
        found: dict[str, str] = {}
        for target in self.directory.glob(".venv/lib/python*/site-packages"):
            found |= installed(target)
        return {name: version for name, version in found.items() if name not in SEEDS}


MakeWorkplace = Callable[[DaemonProcess], Workplace]


# ── preparing ────────────────────────────────────────────────────────────────────────────────


def prepare_tool(tool: str) -> None:
    """Make the virtual environment of a tool, unless it is there with these pins."""
    pins = PINS / f"{tool}.txt"
    stamp = CLIENTS / tool / "pins.txt"
    if stamp.exists() and stamp.read_bytes() == pins.read_bytes():
        return
    _run(sys.executable, "-m", "venv", "--clear", str(CLIENTS / tool))
    # By the newest pip: the one that a new environment brings along may be years old.
    _run(sys.executable, "-m", "pip", "--python", str(CLIENTS / tool), *_install("-r", str(pins)))
    shutil.copyfile(pins, stamp)


def prepare_pip(version: str) -> None:
    """Put a release of pip into a directory of its own, unless it is there."""
    target = CLIENTS / f"pip-{version}"
    if not target.exists():
        half = target.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        options = ("--no-deps", "--target", str(half), f"pip=={version}")
        _run(sys.executable, "-m", "pip", *_install(*options))
        half.rename(target)


def _install(*options: str) -> list[str]:
    return ["install", "--quiet", "--disable-pip-version-check", *options]


def _run(*line: str) -> None:
    subprocess.run(line, check=True)


if __name__ == "__main__":
    CLIENTS.mkdir(exist_ok=True)
    for name in TOOLS:
        prepare_tool(name)
    for number in sys.argv[1:]:
        prepare_pip(number)
