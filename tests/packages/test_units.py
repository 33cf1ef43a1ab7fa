"""The units below systemd/: what the daemon counts on, and how exposed the service is."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import wheels

from pypicached.host import DESCRIPTORS_BESIDE, DESCRIPTORS_PER_CLIENT
from pypicached.settings.places import SYSTEM_SOCKET
from pypicached.settings.schema import SECTIONS

_UNITS = wheels.ROOT / "systemd"
_SOCKETS = ("pypicached.socket", "pypicached-control.socket")
# Issue and README promise it.
_EXPOSURE = 1.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def _values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", (_UNITS / unit).read_text(), re.MULTILINE)


def test_public_socket__listens_where_the_default_is() -> None:
    """The unit's addresses are the defaults of [server] listen."""
    assert _values("pypicached.socket", "ListenStream") == SECTIONS["server"]["listen"].default
    assert _values("pypicached.socket", "FileDescriptorName") == ["public"]


def test_control_socket__where_commands_look() -> None:
    """The control socket is where every command looks for the system's daemon; for its group."""
    assert _values("pypicached-control.socket", "ListenStream") == [str(SYSTEM_SOCKET)]
    assert _values("pypicached-control.socket", "FileDescriptorName") == ["control"]
    assert _values("pypicached-control.socket", "SocketMode") == ["0660"]
    assert _values("pypicached-control.socket", "SocketGroup") == ["pypicached"]


@pytest.mark.parametrize("unit", _SOCKETS)
def test_sockets__for_the_service(unit: str) -> None:
    """Both sockets start the one service, which starts, stops and restarts with both of them.

    It does not require them: without one of them it says so, which nobody else would.
    """
    assert _values(unit, "Service") == ["pypicached.service"]
    assert _values(unit, "StartLimitIntervalSec") == ["0"]
    for key in ("Wants", "PartOf", "After"):
        assert unit in _values("pypicached.service", key)[0].split()
    assert _values("pypicached.service", "Requires") == []


def test_service__open_files_for_all_clients() -> None:
    """The limit of open files is enough for [limits] clients as it comes."""
    clients = SECTIONS["limits"]["clients"].default
    assert isinstance(clients, int)
    wanted = clients * DESCRIPTORS_PER_CLIENT + DESCRIPTORS_BESIDE
    assert int(_values("pypicached.service", "LimitNOFILE")[0]) >= wanted


def test_service__leaves_the_sockets_alone() -> None:
    """Three settings that would take the sockets along with a stop, a restart or a bad start."""
    text = (_UNITS / "pypicached.service").read_text()
    assert _values("pypicached.service", "StartLimitIntervalSec") == ["0"]
    assert not re.search(r"^(RuntimeDirectory|Also|BindsTo)=", text, re.MULTILINE)


def test_service__callers_keep_their_names() -> None:
    """In a user namespace all callers of the control socket would be logged as nobody."""
    assert "PrivateUsers=yes" not in (_UNITS / "pypicached.service").read_text()


def test_service__nothing_writable_is_executable() -> None:
    """Each directory that systemd mounts writable for it is named beside the root."""
    denied = _values("pypicached.service", "NoExecPaths")[0].split()
    assert denied[0] == "/"
    assert {"%S/pypicached", "%C/pypicached", "/tmp", "/var/tmp", "/dev/shm"} <= set(denied)


@needs_systemd
@pytest.mark.parametrize("unit", ["pypicached.service", "pypicached-prune.service"])
def test_services__exposure(unit: str) -> None:
    """systemd's own figure for what a service could do if it were taken over stays low."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(_UNITS / unit)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) <= _EXPOSURE, done.stdout


@needs_systemd
def test_units__verify() -> None:
    """systemd finds nothing to complain about, but for the program that is not installed here."""
    units = [str(path) for path in sorted(_UNITS.iterdir()) if path.is_file()]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if "pypicached" in line]
    assert [line for line in complaints if "/usr/bin/pypicached is not exec" not in line] == []
