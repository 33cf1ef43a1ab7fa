"""The service manager's protocols, against real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pypicached.systemd import Outbox, is_service, listen_fds, notify, watchdog_seconds

# The child puts sockets at 3, 4 and 5, as systemd does, and tells what it was handed.
HANDED = """
import os, socket, sys
a, b = socket.socketpair(); c, d = socket.socketpair()
held = [os.dup2(s.fileno(), 20 + i) for i, s in enumerate((a, b, c))]
for i, fd in enumerate(held):
    os.dup2(fd, 3 + i, inheritable=True)
from pypicached.systemd import listen_fds
env = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3", "LISTEN_FDNAMES": sys.argv[1]}
found = listen_fds(env)
print(found, [os.get_inheritable(fd) for fd in (3, 4, 5)])
"""


def handed(names: str) -> str:
    """Return what a process with three handed-over sockets of these names finds."""
    done = subprocess.run(
        [sys.executable, "-c", HANDED, names], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_notify__path(tmp_path: Path) -> None:
    """A state is one datagram to the socket that NOTIFY_SOCKET names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        assert notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "n")})
        assert manager.recv(100) == b"READY=1"


def test_notify__abstract() -> None:
    """An address that opens with @ is in the abstract namespace (unix(7))."""
    name = f"pypicached-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        assert notify("STOPPING=1", {"NOTIFY_SOCKET": f"@{name}"})
        assert manager.recv(100) == b"STOPPING=1"


async def test_outbox__full_queue(tmp_path: Path) -> None:
    """What the manager must hear reaches it in order once its queue has room; the rest is lost."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.setblocking(False)
        env = {"NOTIFY_SOCKET": str(tmp_path / "n")}
        outbox = Outbox(env)
        outbox.put("READY=1")
        filled = 0
        while notify("STATUS=flood", env):
            filled += 1
        outbox.put("RELOADING=1")
        outbox.put("READY=1\nSTATUS=again")
        assert not notify("WATCHDOG=1", env)
        sending = asyncio.create_task(outbox.run())
        loop = asyncio.get_running_loop()
        heard = [await loop.sock_recv(manager, 100) for _ in range(filled + 1)]
        assert heard == [b"READY=1", *[b"STATUS=flood"] * filled]
        async with asyncio.timeout(10):
            heard = [await loop.sock_recv(manager, 100) for _ in range(2)]
        assert heard == [b"RELOADING=1", b"READY=1\nSTATUS=again"]
        outbox.put("STOPPING=1")
        assert await loop.sock_recv(manager, 100) == b"STOPPING=1"
        sending.cancel()


def test_outbox__nobody_listens() -> None:
    """Without a manager nothing is kept."""
    for env in ({}, {"NOTIFY_SOCKET": "/nowhere/socket"}):
        outbox = Outbox(env)
        outbox.put("READY=1")
        assert not outbox._waiting


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/socket", "@" + "x" * 200])
def test_notify__nobody_listens(address: str) -> None:
    """Without a manager nothing happens, and nothing is raised."""
    assert not notify("READY=1", {"NOTIFY_SOCKET": address})
    assert not notify("READY=1", {})


def test_listen_fds__by_name() -> None:
    """Sockets come by the name of their unit and do not reach children (close-on-exec)."""
    assert handed("http:control:http") == ("{'http': [3, 5], 'control': [4]} [False, False, False]")


def test_listen_fds__unnamed() -> None:
    """A socket without a name is called unknown, as sd_listen_fds_with_names(3) does."""
    assert handed("http").startswith("{'http': [3], 'unknown': [4, 5]}")


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "one"},
    ],
)
def test_listen_fds__not_for_us(env: dict[str, str]) -> None:
    """Sockets of another process, or none, are none."""
    assert listen_fds(env) == {}


@pytest.mark.parametrize("ours", [True, False])
def test_listen_fds__variables_go(ours: bool) -> None:
    """What told of sockets is taken out of the environment, whoever they are for."""
    pid = os.getpid() if ours else 1
    env = {"LISTEN_PID": str(pid), "LISTEN_FDS": "0", "LISTEN_FDNAMES": "public", "PATH": "/bin"}
    listen_fds(env)
    assert env == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False),
        ({"INVOCATION_ID": "0" * 32}, False),
        ({"SYSTEMD_EXEC_PID": "1"}, False),
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, True),
    ],
)
def test_is_service(env: dict[str, str], expected: bool) -> None:
    """A service's own process is told from a shell whose terminal runs in a unit."""
    assert is_service(env) is expected


def test_is_service__first_process() -> None:
    """The process that systemd has started knows it by its id."""
    assert is_service({"SYSTEMD_EXEC_PID": str(os.getpid())})


@pytest.mark.parametrize(
    ("env", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog__seconds(env: dict[str, str], seconds: float | None) -> None:
    """The interval is in seconds; it is None if unset, malformed or another process's."""
    assert watchdog_seconds(env) == seconds


def test_listen_fds__not_open() -> None:
    """A descriptor that was announced and is not open stops the start with a sentence."""
    program = (
        "import os; os.closerange(3, 20)\n"
        "from pypicached.systemd import listen_fds\n"
        'listen_fds({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})'
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "StartError: systemd announced a socket as descriptor 3" in done.stderr
