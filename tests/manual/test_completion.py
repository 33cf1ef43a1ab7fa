"""Completion in the shells themselves: what a TAB makes of what was typed."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SECONDS = 20.0
BASH, ZSH, FISH = (shutil.which(shell) or "" for shell in ("bash", "zsh", "fish"))
# What is typed, and all that may follow.
CASES = [
    ("pypicached pr", ["prune"]),
    ("pypicached prune --d", ["--days", "--dry-run"]),
    ("pypicached --v", ["--version"]),
    ("pypicached config ", ["show", "check"]),
    ("pypicached config show --j", ["--json"]),
    ("pypicached client p", ["pip", "poetry", "pdm", "pipenv"]),
    ("pypicached list --sort ", ["size", "used", "hits"]),
    ("pypicached offline o", ["on", "off"]),
    ("pypicached prune --days ", []),
]


def _ask_bash(script: Path, typed: str) -> list[str]:
    """Return what the function offers, called as bash calls it."""
    words = typed.split(" ")
    program = (
        f"source {shlex.quote(str(script))}; COMP_WORDS=({' '.join(map(shlex.quote, words))}); "
        f"COMP_CWORD={len(words) - 1}; _pypicached; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        [BASH, "--norc", "-c", program], capture_output=True, text=True, check=True, timeout=SECONDS
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not BASH, reason="bash is not installed")
@pytest.mark.parametrize(("typed", "expected"), [*CASES, ("pypicached list --sort = h", ["hits"])])
def test_bash__offers(manual: Path, typed: str, expected: list[str]) -> None:
    """It offers what the command takes at this place, and nothing else."""
    assert _ask_bash(manual / "pypicached.bash", typed) == expected


@pytest.mark.skipif(not FISH, reason="fish is not installed")
@pytest.mark.parametrize(("typed", "expected"), CASES)
def test_fish__offers(manual: Path, tmp_path: Path, typed: str, expected: list[str]) -> None:
    """It offers the same."""
    script = f"source {manual}/pypicached.fish; complete -C {shlex.quote(typed)}"
    done = subprocess.run(
        [FISH, "--no-config", "-c", script],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True, text=True, check=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.stderr == ""
    assert sorted(line.split("\t")[0] for line in done.stdout.splitlines()) == sorted(expected)


class Terminal:
    """An interactive shell on a pseudo-terminal."""

    def __init__(self, line: list[str], home: Path, setup: str) -> None:
        self._pid, self._side = pty.fork()
        if not self._pid:
            env = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "PS1": ""}
            os.chdir(home)
            os.execve(line[0], line, env)
        # In two parts, so that the echo of what is typed is not taken for the answer.
        self._send(f"{setup}; echo DO''NE\n")
        self.read_until("DONE")

    def _send(self, text: str) -> None:
        os.write(self._side, text.encode())

    def read_until(self, wanted: str) -> str:
        """Return what the shell shows until `wanted`; AssertionError if that never comes."""
        seen, until = "", time.monotonic() + SECONDS
        while wanted not in seen:
            ready, _, _ = select.select([self._side], [], [], max(0.0, until - time.monotonic()))
            assert ready, seen
            seen += os.read(self._side, 4096).decode(errors="replace")
        return seen

    def complete(self, typed: str) -> str:
        """Return the line that a TAB makes of `typed`, as the shell would run it."""
        # The shell itself says what became of the line: it is the argument of a function.
        self._send(f"{typed}\t'.'\n")
        shown = self.read_until(".]")
        return str(re.findall(r"\[([^\[\]]*)\.\]", shown)[-1])

    def close(self) -> None:
        """End the shell."""
        self._send("\x03exit\n")
        os.close(self._side)
        os.waitpid(self._pid, 0)


# Stands in for the program: completion must not run it, and says what line came about.
_SAY = 'pypicached() { local IFS=" "; printf "[%s]\\n" "$*"; }'


@pytest.mark.skipif(not BASH, reason="bash is not installed")
def test_bash__tab(manual: Path, tmp_path: Path) -> None:
    """In a real bash a TAB completes commands, options, choices and files."""
    (tmp_path / "my requirements.txt").touch()
    (tmp_path / "directory").mkdir()
    setup = f"bind 'set enable-bracketed-paste off'; {_SAY}; source {manual}/pypicached.bash"
    shell = Terminal([BASH, "--norc", "--noprofile", "-i"], tmp_path, setup)
    try:
        assert shell.complete("pypicached pr") == "prune "
        assert shell.complete("pypicached warm --dry") == "warm --dry-run "
        assert shell.complete("pypicached client git") == "client gitlab-runner "
        assert shell.complete("pypicached warm -r my") == "warm -r my requirements.txt "
        assert shell.complete("pypicached serve --cache-dir d") == "serve --cache-dir directory/"
    finally:
        shell.close()


@pytest.mark.skipif(not ZSH, reason="zsh is not installed")
def test_zsh__tab(manual: Path, tmp_path: Path) -> None:
    """In a real zsh, too."""
    (tmp_path / "requirements.txt").touch()
    setup = f"fpath=({manual} $fpath); autoload -U compinit; compinit -u -D; {_SAY}"
    shell = Terminal([ZSH, "-f", "-i"], tmp_path, setup)
    try:
        assert shell.complete("pypicached pr") == "prune "
        assert shell.complete("pypicached config ch") == "config check "
        assert shell.complete("pypicached warm --dry") == "warm --dry-run "
        assert shell.complete("pypicached list --sort h") == "list --sort hits "
        assert shell.complete("pypicached warm -r req") == "warm -r requirements.txt "
    finally:
        shell.close()
