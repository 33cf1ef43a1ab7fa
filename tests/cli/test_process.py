"""The command as a process: signals, pipes, terminals, and what it imports."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pypicached.control.client import ControlClient
from pypicached.messages import (
    ConfigProblem,
    Progress,
    ProjectRow,
    PruneAnswer,
    PruneRequest,
    ReloadAnswer,
)
from tests.control.daemon import STATUS, USED_AT, FakeOperations
from tests.others import CHECKOUT_IS_REACHABLE

_COMMAND = [sys.executable, "-m", "pypicached"]
_NOBODY = 65534
# Each costs every command tens of milliseconds, or is no business of `--help`.
_HEAVY = ["aiohttp", "msgspec", "platformdirs", "rich", "sqlite3"]
_HEAVY += ["pypicached.control", "pypicached.daemon", "pypicached.settings"]


def test_import__light() -> None:
    """The command tree imports nothing heavy, so that help and completion are quick."""
    script = f"import sys, pypicached.cli.app; print([m for m in {_HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_interrupt__prune(control_socket: Path, operations: FakeOperations) -> None:
    """Ctrl-C ends a command with 130 and one line; the daemon stops pruning and is well."""
    started, closed = threading.Event(), threading.Event()

    async def steps(_: PruneRequest) -> AsyncIterator[Progress | PruneAnswer]:
        try:
            while True:
                yield Progress(1, None, "x" * 1000)
                started.set()
        finally:
            closed.set()

    operations.prune_steps = steps
    with subprocess.Popen(
        [*_COMMAND, "prune", "--days", "0", "--socket", str(control_socket)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert started.wait(20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "pypicached: interrupted"
    assert "Traceback" not in err
    assert closed.wait(10)
    assert ControlClient([control_socket]).status() == STATUS


def test_pipe__closed(control_socket: Path, operations: FakeOperations) -> None:
    """A reader that has seen enough (`| head`) is met in silence."""
    # More than a pipe holds, so that writing must fail.
    operations.projects = [ProjectRow(f"demo-{n}", 1, 1, USED_AT, 1) for n in range(5000)]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*_COMMAND, "list", "--socket", str(control_socket)],
            stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=30,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def _on_a_terminal(*arguments: str, **env: str) -> str:
    """Run a command on a terminal of 100 columns and return what it wrote there."""
    ours, theirs = pty.openpty()
    whole = {"PATH": os.defpath, "TERM": "xterm-256color", "COLUMNS": "100", **env}
    with subprocess.Popen(
        [*_COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=whole
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 65536):
                written += chunk
        except OSError:
            # EIO: the last process has closed the terminal.
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0, written
    return written.decode()


def test_terminal__colour(control_socket: Path) -> None:
    """A terminal gets a screen with colours, and none where NO_COLOR is set."""
    arguments = ("status", "--socket", str(control_socket))
    green = "\x1b[32m"
    assert green in _on_a_terminal(*arguments)
    assert green not in _on_a_terminal(*arguments, NO_COLOR="1")


def test_terminal__list(control_socket: Path) -> None:
    """A terminal gets sizes and ages for eyes."""
    screen = _on_a_terminal("list", "--socket", str(control_socket))
    assert "1.5 KiB" in screen
    assert " ago" in screen
    assert USED_AT not in screen


@pytest.mark.skipif(
    os.geteuid() == 0 and not CHECKOUT_IS_REACHABLE,
    reason="the checkout is in a directory that other users cannot enter",
)
def test_permission__denied(tmp_path: Path) -> None:
    """A socket that the caller may not use: 4, and the sentence names the group."""
    path = tmp_path / "control.sock"
    as_root = os.geteuid() == 0
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        # Modes do not bind root, so it sends somebody else; that one fails at the directory.
        other = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if as_root else {}
        done = subprocess.run(
            [*_COMMAND, "status", "--socket", str(path)],
            capture_output=True, text=True, check=False, timeout=30, **other,  # type: ignore[call-overload]
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"pypicached: not allowed to use {path}: ")
    assert "group pypicached" in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("prune", "--help"), ("--version",)])
def test_module__runs(arguments: tuple[str, ...]) -> None:
    """`python -m pypicached` is the command."""
    done = subprocess.run(
        [*_COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "pypicached" in done.stdout


@pytest.mark.parametrize("into_journal", [True, False])
def test_failure__priority(tmp_path: Path, into_journal: bool) -> None:
    """Why a start failed is an error in the journal (sd-daemon(3)); elsewhere it has no mark."""
    config = tmp_path / "wrong.toml"
    config.write_text('[cache]\nmax_sise = "1GiB"\n[server]\nport = 1\n')
    lines = _into_journal(tmp_path, into_journal, "serve", "--config", str(config))
    opening = "<3>pypicached: " if into_journal else "pypicached: "
    assert len(lines) == 2
    assert [line for line in lines if not line.startswith(opening)] == []


def test_failure__priority_of_a_refused_reload(
    tmp_path: Path, control_socket: Path, operations: FakeOperations
) -> None:
    """So are the problems for which a reload was refused (ExecReload=), each and in all."""
    problem = ConfigProblem("cache.max_sise", "unknown key", "did you mean max_size?")
    operations.reloaded = ReloadAnswer(problems=[problem])
    lines = _into_journal(tmp_path, True, "reload", "--socket", str(control_socket))
    assert lines == [
        "<3>cache.max_sise: unknown key; did you mean max_size?",
        "<3>pypicached: the configuration was refused, and the settings of before stay in force",
    ]


def _into_journal(directory: Path, into_journal: bool, *command: str) -> list[str]:
    """Return what a command that fails says on a standard error that is the journal, or is not."""
    with (directory / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        inode = status.st_ino if into_journal else 1
        done = subprocess.run(
            [*_COMMAND, *command], stderr=stream, check=False,
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{inode}"},
        )  # fmt: skip
        assert done.returncode == 2
        stream.seek(0)
        return stream.read().splitlines()


def test_output__disk_is_full(control_socket: Path) -> None:
    """An output that cannot be written is told as that."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*_COMMAND, "status", "--socket", str(control_socket)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=30,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        "pypicached: cannot write the output: No space left on device\n",
    )
