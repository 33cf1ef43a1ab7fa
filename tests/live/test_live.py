"""The real pip and uv install from the real PyPI through a real daemon.

PyPI answers JSON with sidecars, sizes and validators; a mirror that stands in for it may answer
plain HTML without any of them. The tests hold for both.
"""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest

from tests.e2e.clients import Client, installed
from tests.e2e.process import DaemonProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

CLIENT_SECONDS = 300.0
# Resolving an old release would build it; only what PyPI has as wheels is asked for.
WHEELS = ("--only-binary", ":all:")


class FreshHost:
    """A virtual environment, and a client without any cache that installs into it."""

    def __init__(self, directory: Path, daemon: DaemonProcess) -> None:
        venv.create(directory / "venv", with_pip=False, symlinks=True)
        self._python = directory / "venv" / "bin" / "python"
        self._client = Client(
            directory / "home", daemon.simple_url, python=self._python, seconds=CLIENT_SECONDS
        )

    def install(self, client: Literal["pip", "uv"], *arguments: str) -> dict[str, str]:
        """Install, and return project → version of all that is there then."""
        if client == "pip":
            done = self._client.pip("install", *arguments)
        else:
            done = self._client.uv("pip install", *arguments)
        assert done.returncode == 0, done.stderr
        (packages,) = self._python.parent.parent.glob("lib/python*/site-packages")
        return installed(packages)

    def compile(self, requirements: Path) -> str:
        """Return a lock of these requirements, with hashes."""
        done = self._client.uv("pip compile", *WHEELS, "--generate-hashes", str(requirements))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def imports(self, modules: Iterable[str]) -> None:
        """Import what was installed."""
        line = [str(self._python), "-c", f"import {', '.join(modules)}"]
        subprocess.run(line, check=True, timeout=CLIENT_SECONDS)


@pytest.mark.parametrize("client", ["pip", "uv"])
@pytest.mark.parametrize("project", ["flask", "pandas"])
def test_install__second_host_asks_pypi_nothing(
    project: str, client: Literal["pip", "uv"], live_daemon: DaemonProcess, tmp_path: Path
) -> None:
    """What one host installed, a second one without any cache installs without asking PyPI."""
    first = FreshHost(tmp_path / "one", live_daemon)
    got = first.install(client, *WHEELS, project)
    first.imports([project])
    live_daemon.settle()
    asked = live_daemon.upstream_requests()
    assert asked > 0

    second = FreshHost(tmp_path / "two", live_daemon)
    assert second.install(client, *WHEELS, project) == got
    assert live_daemon.upstream_requests() == asked
    assert live_daemon.ask("status")["problems"] == []


def test_lock__made_by_uv_and_installed_by_pip(live_daemon: DaemonProcess, tmp_path: Path) -> None:
    """A lock with hashes made through us is installed through us in hash-checking mode."""
    host = FreshHost(tmp_path / "one", live_daemon)
    wanted, locked = tmp_path / "wanted.in", tmp_path / "locked.txt"
    wanted.write_text("flask\n")
    locked.write_text(host.compile(wanted))
    assert "--hash=sha256:" in locked.read_text()
    got = host.install("pip", *WHEELS, "--require-hashes", "-r", str(locked))
    assert {name.lower() for name in got} >= {"flask", "jinja2", "werkzeug"}
    host.imports(["flask"])


def test_outage__installs_what_is_cached(live_daemon: DaemonProcess, tmp_path: Path) -> None:
    """Once warm, a daemon that can no longer reach PyPI installs the same."""
    got = FreshHost(tmp_path / "one", live_daemon).install("uv", *WHEELS, "flask")
    live_daemon.settle()
    assert live_daemon.stop() == 0
    # Pages are expired at once, and nothing listens at the discard port (RFC 863).
    live_daemon.environment["PYPICACHED_CACHE__PAGE_TTL"] = "0"
    nowhere = "http://127.0.0.1:9"
    live_daemon.environment |= {"HTTPS_PROXY": nowhere, "https_proxy": nowhere}
    live_daemon.start()
    assert FreshHost(tmp_path / "two", live_daemon).install("uv", *WHEELS, "flask") == got
    assert live_daemon.ask("status")["indexes"][0]["state"] == "failing"
