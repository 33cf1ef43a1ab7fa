"""The maintainer scripts, as far as they can be tried without an installation."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pypicached_client as client
import pytest
import wheels

_DEBIAN = wheels.ROOT / "packaging/debian"
_SCRIPTS = sorted(_DEBIAN.glob("*.p*rm")) + sorted(_DEBIAN.glob("*.postinst"))


def _signed(tool: client.Tool, url: str) -> str:
    return client.sign(client.render(tool, client.parse_address(url)), made_directory=False)


def _remove(root: Path, argument: str = "remove") -> tuple[int, str]:
    """Run prerm on a host below a directory, where no systemd runs; return what it says."""
    text = (_DEBIAN / "pypicached.prerm").read_text()
    script = text.replace("/etc/", f"{root}/etc/").replace("/run/", f"{root}/run/")
    line = ["/bin/sh", "-c", script, "prerm", argument]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda path: str(path.name))
def test_scripts__are_shell(script: Path) -> None:
    """A shell can read each, and each ends at its first failure."""
    text = script.read_text()
    assert text.startswith("#!/bin/sh\nset -e\n")
    assert "\n#DEBHELPER#\n" in text
    subprocess.run(["/bin/sh", "-n", str(script)], check=True)


@pytest.mark.parametrize("tool", client.PATHS)
@pytest.mark.parametrize(
    ("url", "is_said"),
    [
        ("http://127.0.0.1:3143/", True),
        ("http://127.0.0.1", True),
        ("http://localhost:3143/", True),
        ("http://[::1]:3143/", True),
        ("http://192.0.2.7:3143/", False),
        ("https://localhost.example.net/", False),
    ],
)
def test_removal__clients_that_stay(
    tmp_path: Path, tool: client.Tool, url: str, is_said: bool
) -> None:
    """Who removes the cache is told of what pypicached-client wrote for it, and nothing fails."""
    path = tmp_path / client.PATHS[tool].lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text(_signed(tool, url))
    code, said = _remove(tmp_path)
    assert code == 0
    assert (f"{path} leads to the cache" in said) == is_said
    assert len(said.splitlines()) == int(is_said)
    assert _remove(tmp_path, "upgrade") == (0, "")


def test_removal__foreign_file(tmp_path: Path) -> None:
    """A file of somebody else, or none, is not spoken of."""
    assert _remove(tmp_path) == (0, "")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:3143/simple/\n")
    assert _remove(tmp_path) == (0, "")
