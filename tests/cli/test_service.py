"""The system's service, seen from a command: why it does not answer.

systemd is a program of that name on PATH, which says what the real one says (systemd 252).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pypicached.cli.app import app
from pypicached.control import exchange
from pypicached.settings import places
from tests.cli.fake_systemd import FakeSystemd
from tests.control.daemon import FakeOperations, serving

FAILING = "ActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainStatus=2\n"
STARTING = "ActiveState=activating\nSubState=start\nResult=success\nStatusText=moving pages\n"
ACTIVE = "ActiveState=active\nSubState=running\nResult=success\n"


class System:
    """A host whose systemd holds the control socket, on which nobody answers yet."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "control.sock"
        self._systemd = FakeSystemd(directory)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen()

    def tell(self, properties: str, unit: str = "pypicached.service") -> None:
        """Let systemd say this of a unit."""
        self._systemd.tell(unit, properties)

    def status(self) -> Result:
        """Ask the service how it is."""
        return CliRunner().invoke(app, ["status", "--socket", str(self.socket)])


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """Return a host whose system's socket is the test's, and on which nobody is patient."""
    made = System(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(places, "SYSTEM_SOCKET", made.socket)
    monkeypatch.setattr(exchange, "_FIRST_LOOK_SECONDS", 0.05)
    with made.listener:
        yield made


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        (FAILING, " (exit code 2)"),
        ("ActiveState=failed\nResult=watchdog\n", " (watchdog)"),
        ("ActiveState=failed\nResult=signal\nExecMainStatus=9\n", " (killed by signal 9)"),
        ("ActiveState=failed\nResult=success\n", ""),
    ],
)
def test_status__service_does_not_start(properties: str, why: str, system: System) -> None:
    """A service that fails to start is told at once, with the journal, instead of waited for."""
    system.tell(properties)
    result = system.status()
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        f"pypicached: pypicached.service does not start{why}: "
        "`journalctl -u pypicached -n 20` says why\n"
    )


def test_status__service_said_why(system: System) -> None:
    """What the daemon said of its failed start is the answer, whole."""
    system.tell(f"{FAILING}StatusText=failed: cache.max_sise: unknown key\n")
    result = system.status()
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        "pypicached: pypicached.service does not start: cache.max_sise: unknown key\n"
    )


def test_status__service_does_not_run(system: System) -> None:
    """systemd hangs up where it cannot start the service: commands say where to look."""
    system.tell("ActiveState=inactive\nSubState=dead\nResult=success\n")

    def hang_up() -> None:
        system.listener.accept()[0].close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    result = system.status()
    thread.join(10)
    assert result.exit_code == 3
    assert "`systemctl status pypicached.service` says why" in result.stderr


def test_status__service_is_starting(system: System, operations: FakeOperations) -> None:
    """A service that starts is waited for, and what it does meanwhile is told once."""
    system.tell(STARTING)
    results: list[Result] = []
    with serving(operations) as answering:
        thread = threading.Thread(target=lambda: results.append(system.status()))
        thread.start()
        waiting, _ = system.listener.accept()
        with waiting, socket.socket(socket.AF_UNIX) as daemon:
            # Several looks long, and longer than its silence would be borne otherwise.
            thread.join(0.5)
            assert thread.is_alive()
            daemon.connect(str(answering))
            daemon.sendall(waiting.recv(65536))
            while answer := daemon.recv(65536):
                waiting.sendall(answer)
                if b"\r\n0\r\n" in answer or answer.endswith(b"}"):
                    break
        thread.join(10)
    assert results[0].exit_code == 0, results[0].output
    assert results[0].stderr == "pypicached: pypicached.service is starting: moving pages\n"


def test_status__service_is_there(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """An active service that says nothing is waited for as long as any, then the journal named."""
    system.tell(ACTIVE)
    monkeypatch.setattr("pypicached.cli.options.PATIENCE_SECONDS", 0.3)
    result = system.status()
    assert result.exit_code == 3
    assert result.stderr == (
        f"pypicached: the daemon at {system.socket} said nothing for 0.3 s; "
        "`journalctl -u pypicached -n 20` may say why\n"
    )


def test_status__another_socket(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """What systemd says of the service explains nothing of a daemon elsewhere."""
    system.tell(FAILING)
    monkeypatch.setattr(places, "SYSTEM_SOCKET", Path("/nowhere"))
    monkeypatch.setattr("pypicached.cli.options.PATIENCE_SECONDS", 0.3)
    result = system.status()
    assert result.stderr.endswith("said nothing for 0.3 s\n")
