"""The program as it is installed: its command line, its manual page, and its completion."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pypicached_client as program
import pytest

from pypicached import __version__
from tests.client.conftest import Machine
from tests.manual.test_completion import Terminal

_PROGRAM = Path(program.__file__)
_MANUAL = _PROGRAM.with_name("pypicached-client.1")
_COMPLETION = _PROGRAM.with_name("pypicached-client.bash")
_FISH, _ZSH = shutil.which("fish"), shutil.which("zsh")


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the file itself, as everybody does."""
    return subprocess.run(
        [str(_PROGRAM), *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def _subcommands() -> dict[str, argparse.ArgumentParser]:
    actions = program.build_parser()._actions
    (found,) = (action for action in actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


def _options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def test_program__version() -> None:
    """Its version is that of pypicached."""
    assert _run("--version").stdout == f"pypicached-client {__version__}\n"


def test_program__stands_alone(tmp_path: Path) -> None:
    """It imports the standard library alone, and takes nothing from its user's Python."""
    tree = ast.parse(_PROGRAM.read_text())
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names - sys.stdlib_module_names == set()
    (tmp_path / "argparse.py").write_text("raise SystemExit(99)\n")
    assert _run("--version", PYTHONPATH=str(tmp_path)).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [(), ("enabel",), ("enable", "a", "b"), ("status", "--quiet"), ("disable", "--json")],
)
def test_program__wrong_usage(arguments: tuple[str, ...]) -> None:
    """Wrong usage is exit code 2."""
    done = _run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: pypicached-client" in done.stderr


def test_program__closed_pipe() -> None:
    """A reader that has gone is met quietly."""
    line = f"{_PROGRAM} status --json | :"
    done = subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_program__closed_output() -> None:
    """Output that cannot be written is one sentence and exit code 1."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{_PROGRAM} status >/dev/full"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "pypicached-client: cannot write the output: No space left on device\n",
    )


def test_manual__says_all() -> None:
    """The manual page has every command and option, all exit codes, and this version."""
    text = _MANUAL.read_text().replace("\\-", "-")
    sections = re.split(r"\n\\fBpypicached-client |\n\.PP\nEach command", text)
    options = {section.split("\\fR")[0]: section for section in sections[1:-1]}
    commands = _subcommands()
    assert set(options) == set(commands)
    for name, parser in commands.items():
        said = set(re.findall(r"^\.B (--[a-z]+)$", options[name], re.MULTILINE))
        assert said == _options(parser) - {"-h", "--help"}
    assert {"--help", "--version"} <= set(text.split())
    for code in (0, 1, 2, 4):
        assert f"\n.B {code}\n" in text
    assert f'"pypicached-client {__version__}"' in text.splitlines()[1]


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_manual__renders() -> None:
    """The formatter has nothing to complain of."""
    line = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(_MANUAL)]
    done = subprocess.run(
        line, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_completion__bash() -> None:
    """Bash completes the commands, and the options of each."""
    script = (
        f"source {_COMPLETION}; complete -p pypicached-client >/dev/null || exit 1\n"
        'COMP_WORDS=(pypicached-client "$@"); COMP_CWORD=$#\n'
        '_pypicached_client; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )

    def complete(*words: str) -> set[str]:
        line = ["/bin/bash", "-c", script, "bash", *words]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    commands = _subcommands()
    assert complete("") == set(commands) | {"--help", "--version"}
    for name, parser in commands.items():
        assert complete(name, "--") == _options(parser) - {"-h"}
    assert complete("e") == {"enable"}
    assert complete("disable", "--q") == {"--quiet"}


@pytest.mark.skipif(_FISH is None, reason="fish is not installed")
def test_completion__fish(tmp_path: Path) -> None:
    """fish completes the same."""

    def complete(typed: str) -> set[str]:
        script = f"source {_COMPLETION.with_suffix('.fish')}; complete -C {shlex.quote(typed)}"
        done = subprocess.run(
            [_FISH or "", "--no-config", "-c", script],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
        assert done.stderr == ""
        return {line.split("\t")[0] for line in done.stdout.splitlines()}

    commands = _subcommands()
    assert complete("pypicached-client ") == set(commands)
    assert complete("pypicached-client --") == {"--help", "--version"}
    for name, parser in commands.items():
        assert complete(f"pypicached-client {name} --") == _options(parser) - {"-h"}


@pytest.mark.skipif(_ZSH is None, reason="zsh is not installed")
def test_completion__zsh(tmp_path: Path) -> None:
    """And so does zsh, asked for all that it offers."""
    setup = (
        f"fpath=({_COMPLETION.parent} $fpath); autoload -U compinit; compinit -u -D; "
        "pypicached-client() { local IFS=' '; printf '[%s]\\n' \"$*\"; }"
    )
    shell = Terminal([_ZSH or "", "-f", "-i"], tmp_path, setup)
    try:
        for name, parser in _subcommands().items():
            # The shortest beginning that no other one has.
            assert shell.complete(f"pypicached-client {name[:2]}") == f"{name} "
            for option in _options(parser) - {"-h"}:
                line = f"pypicached-client {name} {option[:-1]}"
                assert shell.complete(line) == f"{name} {option} "
        assert shell.complete("pypicached-client --v") == "--version "
    finally:
        shell.close()


@pytest.mark.parametrize("text", ["", "A=b\n# C=d\nexport HTTP_PROXY='http://p:1'\nE F\n"])
def test_environment__of_a_login(tmp_path: Path, text: str) -> None:
    """What everybody gets at login is read as pam_env reads it."""
    path = tmp_path / "environment"
    path.write_text(text)
    found = program._login_environment(path)
    assert found.get("HTTP_PROXY") == ("http://p:1" if text else None)
    assert program._login_environment(tmp_path / "none") == {}


def test_environment__through_sudo(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    """Through sudo the files of the user who called are looked at, and not root's."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("HOME", "/root")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/root/config")
    monkeypatch.setenv("SUDO_USER", "daemon")
    host = program.this_host()
    assert (host.home, host.is_root, "XDG_CONFIG_HOME" in host.environment) == (
        "/usr/sbin",
        True,
        False,
    )
    monkeypatch.setenv("SUDO_USER", "nobody-of-that-name")
    assert program.this_host().home == "/root"
