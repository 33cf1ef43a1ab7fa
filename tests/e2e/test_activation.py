"""Sockets that the service manager hands over, by name: taken, refused, and left to it at the end.

The test holds them, as systemd does (`tests.e2e.units`).
"""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

WHEEL = make_wheel("alpha", "1.0")


@pytest.fixture
def activated(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> DaemonProcess:
    """Return a daemon that is not started, and that nobody has told where to listen."""
    daemon = make_daemon(upstream.url)
    del daemon.environment["PYPICACHED_SERVER__LISTEN"]
    return daemon


# ── taken ────────────────────────────────────────────────────────────────────────────────────


def test_activation__both_kinds(
    upstream: ThreadedFakeUpstream, activated: DaemonProcess, directory: Path
) -> None:
    """TCP over both protocols, a Unix socket and the control socket are served as handed over."""
    upstream.add("alpha", WHEEL)
    four = activated.units.tcp()
    activated.units.unix("control", activated.socket)
    six = activated.units.tcp(host="::1")
    activated.units.unix("public", directory / "public.sock")
    activated.start()
    listeners = activated.ask("status")["listeners"]
    assert listeners == [four, six, f"unix:{directory / 'public.sock'}"]
    for url in (four, six):
        activated.url = url
        assert activated.fetch("alpha") == {WHEEL.filename: WHEEL.body}
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(directory / "public.sock"))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert activated.ask("status")["problems"] == []


def test_activation__abstract_socket(activated: DaemonProcess) -> None:
    """A socket in the abstract namespace is named as its unit names it, with @."""
    name = f"pypicached-test-{os.getpid()}"
    held = activated.units.hold("public", socket.socket(socket.AF_UNIX))
    held.bind(f"\0{name}")
    held.listen()
    activated.start()
    assert activated.ask("status")["listeners"] == [f"unix:@{name}"]


def test_activation__path_that_is_not_utf8(activated: DaemonProcess, directory: Path) -> None:
    """A path of any bytes is told as far as it can be."""
    held = activated.units.hold("public", socket.socket(socket.AF_UNIX))
    held.bind(os.fsencode(directory) + b"/p\xff.sock")
    held.listen()
    activated.start()
    assert activated.ask("status")["listeners"] == [f"unix:{directory}/p\ufffd.sock"]


def test_activation__control_path_is_left_alone(activated: DaemonProcess) -> None:
    """A control socket that was handed over keeps mode, owner and name, also after the end."""
    activated.units.unix("control", activated.socket)
    activated.socket.chmod(0o600)
    before = activated.socket.stat()
    activated.environment["PYPICACHED_SERVER__LISTEN"] = "127.0.0.1:0"
    activated.start()
    assert activated.ask("status")["problems"] == []
    assert activated.stop() == 0
    after = activated.socket.stat()
    assert (after.st_ino, after.st_mode, after.st_gid) == (
        before.st_ino,
        before.st_mode,
        before.st_gid,
    )


def test_activation__public_only(activated: DaemonProcess) -> None:
    """Without a handed-over control socket there is one at the path of the settings."""
    activated.units.tcp()
    activated.start()
    assert stat.S_ISSOCK(activated.socket.stat().st_mode)
    assert activated.ask("status")["problems"] == []
    assert activated.stop() == 0
    assert not activated.socket.exists()


def test_activation__control_socket_needs_no_directory(activated: DaemonProcess) -> None:
    """Where the control socket is handed over, nothing is made at the place of the default."""
    elsewhere = activated.directory / "nowhere" / "control.sock"
    activated.units.tcp()
    activated.units.unix("control", activated.socket)
    activated.environment["PYPICACHED_SOCKET"] = str(elsewhere)
    activated.start()
    assert not elsewhere.parent.exists()


def test_activation__descriptors(activated: DaemonProcess) -> None:
    """Sockets that were handed over do not block the loop, and reach no child."""
    activated.units.tcp()
    activated.units.unix("control", activated.socket)
    activated.start()
    for number in (3, 4):
        lines = Path(f"/proc/{activated.pid}/fdinfo/{number}").read_text().splitlines()
        (flags,) = (int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
        assert flags & os.O_NONBLOCK
        assert flags & os.O_CLOEXEC


# ── refused ──────────────────────────────────────────────────────────────────────────────────


def refusal(daemon: DaemonProcess) -> str:
    """Return the one sentence of a daemon that does not start."""
    done = daemon.command("serve")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_activation__unknown_name(activated: DaemonProcess) -> None:
    """A socket of another name is refused by name, with what to write where."""
    url = activated.units.tcp("http")
    said = refusal(activated)
    assert f'handed over {url} as "http"' in said
    assert "FileDescriptorName=" in said


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_activation__no_listening_stream(kind: int, activated: DaemonProcess) -> None:
    """A datagram socket, or a stream that does not listen (Accept=yes), is refused."""
    held = activated.units.hold("public", socket.socket(socket.AF_INET, kind))
    held.bind(("127.0.0.1", 0))
    assert "no socket which listens for streams" in refusal(activated)


def test_activation__no_socket(activated: DaemonProcess) -> None:
    """A file in a socket's place is refused."""
    with tempfile.TemporaryFile() as file:
        # Popen passes descriptors by number; this one is closed here, not by `units`.
        held = activated.units.hold("public", socket.socket())
        os.dup2(file.fileno(), held.fileno())
        assert "that is no socket" in refusal(activated)


def test_activation__control_over_tcp(activated: DaemonProcess) -> None:
    """TCP tells nobody who calls: as control socket it is refused, and so are two of them."""
    activated.units.tcp("control")
    assert "commands are taken on a Unix socket only" in refusal(activated)


def test_activation__two_control_sockets(activated: DaemonProcess, directory: Path) -> None:
    """There is one control socket."""
    for number in (1, 2):
        activated.units.unix("control", directory / f"c{number}.sock")
    assert "2 sockets" in refusal(activated)


# ── where the settings say something else ────────────────────────────────────────────────────


def test_activation__settings_differ(activated: DaemonProcess) -> None:
    """Addresses that somebody has set and systemd's socket lacks are a problem with a remedy."""
    url = activated.units.tcp()
    activated.units.unix("control", activated.socket)
    activated.environment["PYPICACHED_SERVER__LISTEN"] = "192.0.2.7:3143, [::]:3143, unix:/run/p.s"
    activated.start()
    (problem,) = activated.ask("status")["problems"]
    where = url.removeprefix("http://")
    assert f"pypicached.socket of systemd listens on {where}, and that counts" in problem
    assert (
        "printf '%s\\n' '[Socket]' ListenStream= ListenStream=192.0.2.7:3143 "
        "'ListenStream=[::]:3143' ListenStream=/run/p.s BindIPv6Only=ipv6-only FreeBind=yes "
        ">/etc/systemd/system/pypicached.socket.d/zz-listen.conf && systemctl daemon-reload && "
        "systemctl restart pypicached.socket pypicached.service"
    ) in problem
    assert problem.isascii()


def test_activation__settings_differ_after_a_reload(
    activated: DaemonProcess, directory: Path
) -> None:
    """No restart helps against a socket of systemd: a reload says what does, and so does status."""
    activated.units.tcp()
    activated.units.unix("control", activated.socket)
    config = directory / "pypicached.toml"
    config.write_text("")
    activated.start("--config", str(config))
    config.write_text('[server]\nlisten = ["127.0.0.1:9"]\n[cache]\nledger = "other.sqlite"\n')
    answer = activated.ask("reload")
    assert answer["needs_restart"] == ["cache.ledger"]
    assert "socket.d/zz-listen.conf" in answer["warnings"][0]
    problems = activated.ask("status")["problems"]
    assert "socket.d/zz-listen.conf" in problems[0]
    assert problems[1:] == ["needs a restart: cache.ledger"]


def test_activation__settings_agree(activated: DaemonProcess) -> None:
    """The same addresses, differently spelled and in another order, are no problem."""
    ports = [activated.units.tcp(host=host).rpartition(":")[2] for host in ("127.0.0.1", "::1")]
    activated.environment["PYPICACHED_SERVER__LISTEN"] = (
        f"[0:0::1]:{ports[1]}, localhost:{ports[0]}"
    )
    activated.start()
    assert activated.ask("status")["problems"] == []


# ── the sandbox ──────────────────────────────────────────────────────────────────────────────


# A read-only mount over everything is what ProtectSystem=strict makes (systemd.exec(5)).
STRICT = ["unshare", "--mount", "sh", "-c", 'mount --bind -o ro "$0" "$0" && exec "$@"']


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize("exists", [True, False])
def test_sandbox__directory_that_it_hides(
    exists: bool, make_daemon: MakeDaemon, directory: Path
) -> None:
    """Under systemd, a directory that cannot be written is told with the drop-in that opens it."""
    outside = directory / "outside"
    outside.mkdir()
    daemon = make_daemon(PYPICACHED_CACHE__DIRECTORY=str(outside / "cache"))
    if exists:
        (outside / "cache").mkdir()
    daemon.environment["SYSTEMD_EXEC_PID"] = "set by the shell"
    run = [*STRICT[:-1], STRICT[-1].replace("exec", "export SYSTEMD_EXEC_PID=$$; exec")]
    done = daemon.command("serve", within=[*run, str(outside)])
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"cannot write the cache directory {outside / 'cache'}: " in done.stderr
    assert f"ReadWritePaths={outside / 'cache'}" in done.stderr
    assert "pypicached.service.d/directory.conf" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_sandbox__a_read_only_disk_without_systemd(
    make_daemon: MakeDaemon, directory: Path
) -> None:
    """Without systemd the disk itself is read-only, and no drop-in helps."""
    outside = directory / "outside"
    outside.mkdir()
    daemon = make_daemon(PYPICACHED_CACHE__DIRECTORY=str(outside / "cache"))
    done = daemon.command("serve", within=[*STRICT, str(outside)])
    assert "its disk is mounted read-only" in done.stderr
    assert "ReadWritePaths" not in done.stderr
