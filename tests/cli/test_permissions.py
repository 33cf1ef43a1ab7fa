"""`config check` and the rights of the service's user, and of an ordinary one.

The users are real: files are tried as "nobody".
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pypicached.cli.config import app
from pypicached.settings import places
from tests.others import CHECKOUT_IS_REACHABLE

_NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")

SYSTEMCTL = """#!/bin/sh
echo LoadState=loaded
echo User=nobody
echo ProtectSystem=strict
echo ReadWritePaths=/
echo CacheDirectory=pypicached
echo StateDirectory=pypicached
"""
INDEX = '[[index]]\nname = "acme"\nurl = "https://acme.test/simple/"\n'


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a directory that everybody may enter, for the system's file of a service."""
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with tempfile.TemporaryDirectory(prefix="pypicached-") as name:
        Path(name).chmod(0o755)
        monkeypatch.setattr(places, "SYSTEM_FILE", Path(name) / "pypicached.toml")
        yield Path(name)


def _check(directory: Path, text: str, mode: int = 0o644) -> Result:
    file = directory / "pypicached.toml"
    file.write_text(text)
    file.chmod(mode)
    return CliRunner().invoke(app, ["check", str(file)])


def test_check__file_of_root_alone(etc: Path) -> None:
    """A file that the service's user cannot read is a problem, with the commands that mend it."""
    file = etc / "pypicached.toml"
    result = _check(etc, "", 0o600)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"{file}: the service's user nobody cannot read {file}; "
        f"chown root:nogroup {file} && chmod 640 {file}\n"
    )
    subprocess.run(["/bin/sh", "-c", result.stderr.partition("; ")[2]], check=True)
    assert CliRunner().invoke(app, ["check", str(file)]).exit_code == 0


def test_check__closed_directory(etc: Path) -> None:
    """One that lies in a closed directory is told by the directory."""
    etc.chmod(0o700)
    result = _check(etc, "")
    assert result.exit_code == 2
    assert f"nobody may not enter {etc}; chmod o+x {etc}" in result.stderr


def test_check__files_of_indexes(etc: Path) -> None:
    """The same goes for the files that an index names."""
    (etc / "token").write_text("secret")
    (etc / "token").chmod(0o600)
    result = _check(etc, f'{INDEX}token_file = "token"\n')
    assert result.exit_code == 2
    assert result.stderr.startswith("index.acme.token_file: the service's user nobody cannot read")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('directory = "/etc/passwd"', "cache.directory: /etc/passwd is no directory"),
        (
            'ledger = "/nope/x.sqlite"',
            "cache.ledger: the service's user nobody may not write in /",
        ),
        ('directory = "/tmp"', None),
    ],
)
def test_check__directories(line: str, problem: str | None, etc: Path) -> None:
    """A directory that is none, or that the service's user cannot make, is a problem."""
    result = _check(etc, f"[cache]\n{line}\n")
    assert result.exit_code == (2 if problem else 0), result.output
    assert result.stderr == (f"{problem}\n" if problem else "")


@pytest.mark.skipif(not CHECKOUT_IS_REACHABLE, reason="another user cannot run this checkout")
@pytest.mark.parametrize("command", ["check", "show"])
def test_config__unreadable_for_an_ordinary_user(command: str, etc: Path) -> None:
    """Where the system's file is not one's to read, it is not claimed that there is none."""
    file = etc / "pypicached.toml"
    file.touch(0o600)
    script = (
        "import sys; from pathlib import Path; from pypicached.settings import places; "
        "found = places.find_places; import msgspec; "
        "places.find_places = lambda env: msgspec.structs.replace("
        "found(env), system_file=Path(sys.argv[1])); "
        f"from pypicached.cli.config import app; app([{command!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        user=_NOBODY, group=_NOBODY, env={"HOME": "/nonexistent", "PATH": "/usr/bin"}, cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{file}: cannot be read: Permission denied; ask as root\n"
