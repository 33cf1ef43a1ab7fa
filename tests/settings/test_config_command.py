"""`pypicached config`: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pypicached.cli.config import app

BAD = '[cache]\nmax_sise = "1GiB"\npage_ttl = "12 parsecs"\n'
SECRET = "correct-horse"
GOOD = f"""
[cache]
max_size = "40%"
[[index]]
name = "acme"
url = "https://me:{SECRET}@index.example.test/simple/"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a path for a configuration, with nothing of this host's environment around."""
    for name in ("CACHE_DIRECTORY", "STATE_DIRECTORY", "PYPICACHED_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "pypicached.toml"


def test_show__toml_with_sources(file: Path) -> None:
    """`show` prints TOML, each line with where it came from, secrets hidden."""
    file.write_text(GOOD)
    result = CliRunner().invoke(app, ["show", "--config", str(file)])
    assert result.exit_code == 0
    assert f'max_size = "40%"  # from file {file}' in result.stdout
    assert 'page_ttl = "10m"  # from default' in result.stdout
    assert tomllib.loads(result.stdout)["index"][0]["password"] == "********"
    assert SECRET not in result.output


def test_show__json(file: Path) -> None:
    """`show --json` prints one document: key → value and source."""
    file.write_text(GOOD)
    result = CliRunner().invoke(app, ["show", str(file), "--json"])
    shown = json.loads(result.stdout)
    assert shown["cache.max_size"] == {"value": "40%", "source": f"file {file}"}
    assert shown["limits.clients"] == {"value": 4096, "source": "default"}
    assert SECRET not in result.output


def test_show__environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment shows as a source; a warning about it goes to stderr."""
    file.write_text(GOOD)
    monkeypatch.setenv("PYPICACHED_CACHE__MEMORY", "1MiB")
    monkeypatch.setenv("PYPICACHED_CACHE__MEMROY", "1MiB")
    result = CliRunner().invoke(app, ["show", str(file)])
    assert 'memory = "1MiB"  # from environment PYPICACHED_CACHE__MEMORY' in result.stdout
    assert "warning: environment variable PYPICACHED_CACHE__MEMROY" in result.stderr


def test_show__bad_configuration(file: Path) -> None:
    """A bad configuration is not shown in part: the problems, and exit code 2."""
    file.write_text(BAD)
    result = CliRunner().invoke(app, ["show", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cache.page_ttl" in result.stderr


def test_check__every_problem(file: Path) -> None:
    """`check` tells every problem with its way out, and ends with 2."""
    file.write_text(BAD)
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        'cache.max_sise: unknown key; did you mean "max_size"?',
        'cache.page_ttl: "12 parsecs" is no duration; say e.g. "10m"',
    ]


def test_check__json(file: Path) -> None:
    """`check --json` prints the problems as one document on stdout, with the same exit code."""
    file.write_text(BAD)
    result = CliRunner().invoke(app, ["check", str(file), "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["problems"][0] == {
        "key": "cache.max_sise",
        "message": "unknown key",
        "suggestion": 'did you mean "max_size"?',
    }


def test_check__good(file: Path) -> None:
    """A good file is exit code 0 and an empty list."""
    file.write_text(GOOD)
    assert CliRunner().invoke(app, ["check", str(file)]).exit_code == 0
    result = CliRunner().invoke(app, ["check", "--json", str(file)])
    assert json.loads(result.stdout) == {"problems": [], "hints": []}


def test_check__missing_file(file: Path) -> None:
    """A named file that is not there, or is a directory, is wrong configuration."""
    result = CliRunner().invoke(app, ["check", str(file)])
    assert (result.exit_code, result.stderr) == (2, f"{file}: does not exist\n")
    result = CliRunner().invoke(app, ["check", str(file.parent)])
    assert (result.exit_code, result.stderr) == (
        2,
        f"{file.parent}: is a directory; name the file: {file}\n",
    )


def test_check__directories_of_ones_own(file: Path) -> None:
    """A directory that is a file cannot be used, whoever starts the daemon."""
    file.write_text('[cache]\ndirectory = "pypicached.toml"\n[server]\ncontrol_socket="/s"\n')
    result = CliRunner().invoke(app, ["check", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"cache.directory: {file} is no directory\n"


def test_check__file_given_twice(file: Path) -> None:
    """Two files are wrong usage."""
    file.write_text(GOOD)
    result = CliRunner().invoke(app, ["check", str(file), "--config", str(file)])
    assert result.exit_code == 2
    assert "once" in result.output


def test_command__imports_nothing_heavy() -> None:
    """`pypicached --help` starts without the settings and what they import."""
    program = "import sys, pypicached.cli.config; print('pypicached.settings' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
