"""The real pip and uv, each run with a home of its own and nothing of this machine's settings."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

CLIENT_SECONDS = 50.0
UV = Path(sys.executable).parent / "uv"
# A directory (or wheel) with another pip than the environment's, to try several releases.
OTHER_PIP = "PYPICACHED_TEST_PIP"


class Client:
    """A client with `home` made for it, and so without any cache, on one index.

    `python` is the interpreter that is installed for; pip itself always runs under ours.
    Of this machine's variables a client gets PATH alone, and `environment` beside it.
    """

    def __init__(
        self,
        home: Path,
        index_url: str,
        *,
        python: str | Path = sys.executable,
        seconds: float = CLIENT_SECONDS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        home.mkdir(parents=True)
        self._python = str(python)
        self._seconds = seconds
        self._index_url = index_url
        self.home = home
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            **(environment or {}),
        }

    def pip(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pip; whether it succeeded is the caller's to see."""
        line = [sys.executable, "-m", "pip"]
        if self._python != sys.executable:
            # It costs pip a second start.
            line += ["--python", self._python]
        line += [*command.split(), "--disable-pip-version-check"]
        return self._run([*line, "--index-url", self._index_url, *arguments], _with_pip())

    def python(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program that uses pip's own modules."""
        return self._run([sys.executable, "-c", program, *arguments], _with_pip())

    def uv(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run uv; whether it succeeded is the caller's to see."""
        line = [str(UV), *command.split(), "--no-config", "--no-progress"]
        line += ["--python", self._python, "--index-url", self._index_url]
        return self._run([*line, *arguments], {"UV_PYTHON_DOWNLOADS": "never"})

    def _run(self, line: list[str], own: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line,
            env=own | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self._seconds,
            cwd=self.home,
            check=False,
        )


def _with_pip() -> dict[str, str]:
    own = {"PIP_CONFIG_FILE": os.devnull, "PIP_ROOT_USER_ACTION": "ignore"}
    if OTHER_PIP in os.environ:
        own["PYTHONPATH"] = os.environ[OTHER_PIP]
    return own


def installed(target: Path) -> dict[str, str]:
    """Return project → version of what is installed in `target`; of nothing, nothing."""
    found = importlib.metadata.distributions(path=[str(target)])
    return {distribution.name: distribution.version for distribution in found}


def pip_version() -> tuple[int, ...]:
    """Return the version of the pip that `Client.pip` runs."""
    line = [sys.executable, "-m", "pip", "--version"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get(OTHER_PIP, "")}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=True, timeout=20)
    return tuple(int(part) for part in done.stdout.split()[1].split(".") if part.isdigit())
