"""`pypicached backup`: what it writes, what it refuses to, and what it leaves behind: nothing."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pypicached.cli.app import app
from pypicached.cli.progress import ProgressDisplay
from pypicached.errors import LedgerError
from pypicached.ledger import Ledger, check_copy
from tests.control.daemon import FakeOperations


@pytest.fixture
async def body(tmp_path: Path, operations: FakeOperations) -> bytes:
    """Let the daemon have a real ledger to give."""
    async with Ledger.open(tmp_path / "source") as ledger, ledger.snapshot() as snapshot:
        await snapshot.copy_to(tmp_path / "body")
    operations.ledger = (tmp_path / "body").read_bytes()
    return operations.ledger


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where to: a directory of its own, so that it is seen what stays there."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "ledger.sqlite"


def _run(socket: Path, file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["backup", str(file), *arguments, "--socket", str(socket)])


def test_backup__written(control_socket: Path, body: bytes, file: Path) -> None:
    """FILE is the copy, readable by its owner alone, and nothing else is there."""
    result = _run(control_socket, file)
    assert (result.exit_code, result.stdout[: len(f"wrote {file}: ")]) == (0, f"wrote {file}: ")
    assert file.read_bytes() == body
    check_copy(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_backup__json(control_socket: Path, body: bytes, file: Path) -> None:
    """One document: where, and how much."""
    document = json.loads(_run(control_socket, file, "--json").stdout)
    assert document == {"file": str(file), "bytes": len(body)}


def test_backup__exists(control_socket: Path, body: bytes, file: Path) -> None:
    """A file that exists is replaced with `--force` only."""
    file.write_text("precious")
    result = _run(control_socket, file)
    assert (result.exit_code, "--force" in result.stderr) == (1, True)
    assert file.read_text() == "precious"
    assert _run(control_socket, file, "--force").exit_code == 0
    assert file.read_bytes() == body


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("exists", [True, False])
def test_backup__database_in_use(
    control_socket: Path, body: bytes, file: Path, suffix: str, exists: bool
) -> None:
    """A database that somebody has open, such as the ledger itself, is never replaced."""
    if exists:
        file.write_text("in use")
    Path(f"{file}{suffix}").touch()
    result = _run(control_socket, file, "--force")
    assert (result.exit_code, "a database in use" in result.stderr) == (1, True)
    assert not exists or file.read_text() == "in use"


def _link(file: Path) -> None:
    file.symlink_to("nowhere")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, _link])
def test_backup__no_file(
    control_socket: Path, body: bytes, file: Path, make: Callable[[Path], object]
) -> None:
    """What is no file is not written over, whatever `--force` says."""
    make(file)
    result = _run(control_socket, file, "--force")
    assert (result.exit_code, "is no file" in result.stderr) == (1, True)


def test_backup__nowhere(control_socket: Path, body: bytes, tmp_path: Path) -> None:
    """A directory that is not there is one sentence and 1."""
    result = _run(control_socket, tmp_path / "none" / "ledger.sqlite")
    assert result.exit_code == 1
    assert result.stderr.startswith("pypicached: cannot write ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("sent", [b"<html>", b"SQLite format 3\0" + bytes(5000)])
def test_backup__not_a_ledger(
    control_socket: Path,
    operations: FakeOperations,
    file: Path,
    sent: bytes,
    force: tuple[str, ...],
) -> None:
    """What arrived whole and is no ledger is not kept, and replaces nothing."""
    operations.ledger = sent
    if force:
        file.write_text("precious")
    result = _run(control_socket, file, *force)
    assert (result.exit_code, "no whole ledger" in result.stderr) == (1, True)
    assert [path.read_text() for path in file.parent.iterdir()] == ["precious"] * len(force)


def test_backup__breaks_off(
    control_socket: Path, operations: FakeOperations, body: bytes, file: Path
) -> None:
    """A copy that breaks off leaves nothing; so does a daemon that has none to give."""
    operations.announced = len(body) + 1
    result = _run(control_socket, file)
    assert (result.exit_code, "stopped in the middle" in result.stderr) == (1, True)
    operations.error = LedgerError("cannot read the ledger")
    result = _run(control_socket, file)
    assert (result.exit_code, result.stderr) == (1, "pypicached: cannot read the ledger\n")
    assert list(file.parent.iterdir()) == []


def test_backup__interrupted(
    control_socket: Path, body: bytes, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C leaves nothing, and what was there before."""

    def interrupt(_file: Path) -> None:
        raise KeyboardInterrupt

    file.write_text("precious")
    monkeypatch.setattr(ProgressDisplay, "show", lambda *_: interrupt(file))
    assert _run(control_socket, file, "--force").exit_code == 130
    assert [path.read_text() for path in file.parent.iterdir()] == ["precious"]


def test_backup__appears_meanwhile(
    control_socket: Path, body: bytes, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that somebody else made meanwhile is not replaced either."""
    monkeypatch.setattr(ProgressDisplay, "show", lambda *_: file.write_text("precious"))
    assert _run(control_socket, file).exit_code == 1
    assert [path.read_text() for path in file.parent.iterdir()] == ["precious"]
