"""`pypicached serve` as an operator meets it: what it refuses, how it says so, what it mends."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

_TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (DEBUG|INFO |WARN |ERROR|FATAL) \S")


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line on standard error, without its opening; nothing else was printed."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert done.stdout == ""
    opening, _, sentence = lines[0].partition("pypicached: ")
    assert opening == ""
    return sentence


# ── refusing to start ────────────────────────────────────────────────────────────────────────


def test_serve__wrong_configuration(make_daemon: MakeDaemon) -> None:
    """Every problem is told at once, with the nearest key, and nothing is made; exit 2."""
    daemon = make_daemon()
    path = daemon.directory / "wrong.toml"
    path.write_text('[cache]\nmax_sise = "1GiB"\npage_ttl = "soon"\n[[index]]\nname = "simple"\n')
    done = daemon.command("serve", "--config", str(path))
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert all(line.startswith("pypicached: ") for line in lines), done.stderr
    assert any("cache.max_sise" in line and "max_size" in line for line in lines)
    assert any("cache.page_ttl" in line for line in lines)
    assert any("index" in line and "simple" in line for line in lines)
    assert not daemon.cache.exists()


def test_serve__configuration_file_missing(make_daemon: MakeDaemon) -> None:
    """A file that is named and not there is wrong configuration, never the defaults."""
    done = make_daemon().command("serve", "--config", "nowhere.toml")
    assert (done.returncode, "nowhere.toml: does not exist" in one_sentence(done)) == (2, True)


def test_serve__port_in_use(make_daemon: MakeDaemon) -> None:
    """A port that is taken is told with the way out, exit 1; once free, the same command serves."""
    daemon = make_daemon()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = daemon.command("serve", "--listen", where)
        assert done.returncode == 1
        assert one_sentence(done).startswith(f"{where} is in use: ")
    assert not daemon.socket.exists()
    assert daemon.start("--listen", where).url == f"http://{where}"


def test_serve__cache_directory_is_a_file(make_daemon: MakeDaemon) -> None:
    """A file where the cache directory should be is told and left alone; exit 1."""
    daemon = make_daemon()
    daemon.cache.write_text("mine")
    done = daemon.command("serve")
    assert (done.returncode, str(daemon.cache) in one_sentence(done)) == (1, True)
    assert daemon.cache.read_text() == "mine"


def test_serve__cache_directory_not_writable(make_daemon: MakeDaemon) -> None:
    """A cache directory that only can be read is told with the way out; exit 1."""
    daemon = make_daemon()
    daemon.cache.mkdir()
    daemon.cache.chmod(0o500)
    # Without this root may write everywhere (capabilities(7)).
    obeying = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    done = daemon.command("serve", within=obeying if os.geteuid() == 0 else ())
    assert done.returncode == 1
    assert one_sentence(done).startswith(
        f"cannot read and write the cache directory {daemon.cache}"
    )
    assert list(daemon.cache.iterdir()) == []


@pytest.mark.parametrize("own_socket", [False, True])
def test_serve__second_daemon_on_the_same_directory(
    own_socket: bool, upstream: ThreadedFakeUpstream, daemon: DaemonProcess
) -> None:
    """The second one is refused with the first one's number, exit 1; the first goes on."""
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    pid = daemon.ask("status")["pid"]
    first = daemon.environment["PYPICACHED_SOCKET"]
    if own_socket:
        daemon.environment["PYPICACHED_SOCKET"] = str(daemon.directory / "other.sock")
    done = daemon.command("serve")
    assert (done.returncode, f"process {pid}" in one_sentence(done)) == (1, True)
    daemon.environment["PYPICACHED_SOCKET"] = first
    assert daemon.ask("status")["pid"] == pid
    assert list(daemon.fetch("alpha")) == ["alpha-1.0-py3-none-any.whl"]


def test_serve__control_socket_path_is_a_file(make_daemon: MakeDaemon) -> None:
    """Something else than a socket at the control socket's place is left alone; exit 1."""
    daemon = make_daemon()
    daemon.socket.write_text("mine")
    done = daemon.command("serve")
    assert (done.returncode, str(daemon.socket) in one_sentence(done)) == (1, True)
    assert daemon.socket.read_text() == "mine"


# ── mending what was left behind ─────────────────────────────────────────────────────────────


def test_serve__garbage_ledger(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> None:
    """A garbage ledger is set aside whole and told; pages come anew, files from the disk."""
    wheel = make_wheel("alpha", "1.0", size_bytes=100_000)
    upstream.add("alpha", wheel)
    daemon = make_daemon(upstream.url).start()
    daemon.fetch("alpha")
    daemon.settle()
    assert daemon.stop() == 0
    ledger = daemon.cache / "ledger.sqlite"
    ledger.write_bytes(b"this is no database\n" * 100)
    daemon.start()
    assert daemon.fetch("alpha") == {wheel.filename: wheel.body}
    assert upstream.count("*.whl") == 1
    kept = daemon.cache / "ledger.sqlite.garbage"
    assert kept.read_bytes() == b"this is no database\n" * 100
    assert any(str(kept) in problem for problem in daemon.ask("status")["problems"])


def test_serve__stale_control_socket(daemon: DaemonProcess) -> None:
    """A control socket that a killed daemon left behind is replaced."""
    daemon.stop(signal.SIGKILL)
    assert stat.S_ISSOCK(daemon.socket.stat().st_mode)
    daemon.start()
    assert daemon.ask("status")["problems"] == []


# ── what it says ─────────────────────────────────────────────────────────────────────────────


def test_serve__unknown_environment_variable(make_daemon: MakeDaemon) -> None:
    """A variable that is nearly ours is a warning with the right name; injected ones are none."""
    stray = {"PYPICACHED_CACHE__MAX_SIZ": "1GiB", "PYPICACHED_PORT_3143_TCP": "tcp://x"}
    daemon = make_daemon(**stray).start()
    warnings = [line for line in daemon.log.splitlines() if " WARN " in line]
    assert len(warnings) == 1, daemon.log
    assert "PYPICACHED_CACHE__MAX_SIZ is unknown" in warnings[0]
    assert "PYPICACHED_CACHE__MAX_SIZE" in warnings[0]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_serve__log_lines(
    log_format: str, upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """Each line of the log, from start to stop, is a record in the format that was asked for."""
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    settings = {"PYPICACHED_SERVER__LOG_FORMAT": log_format, "PYPICACHED_SERVER__ACCESS_LOG": "yes"}
    daemon = make_daemon(upstream.url, **settings).start()
    daemon.fetch("alpha")
    upstream.down()
    assert daemon.get("/simple/beta/")[0] == 503
    assert daemon.stop() == 0
    lines = daemon.log.splitlines()
    for text in ("serves on", "cached alpha-1.0", "GET /simple/alpha/", "answered 503", "stopped"):
        assert any(text in line for line in lines), text
    if log_format == "json":
        assert all(
            {"time", "level", "logger", "event"} <= json.loads(line).keys() for line in lines
        )
    else:
        assert [line for line in lines if not _TEXT_LINE.match(line)] == []


# ── where it listens ─────────────────────────────────────────────────────────────────────────


def test_serve__host_without_ipv6(make_daemon: MakeDaemon) -> None:
    """Where there is no IPv6 the default addresses are no error."""
    # A network of its own has nothing but a loopback device that is down, so no ::1.
    apart = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("this host does not let us make a network namespace")
    daemon = make_daemon(PYPICACHED_SERVER__LISTEN="127.0.0.1:0,[::1]:0").start(within=apart)
    assert daemon.ask("status")["listeners"] == [daemon.url]
    assert daemon.url.startswith("http://127.0.0.1:")


def test_serve__unix_socket(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> None:
    """The public listener may be a Unix socket; it goes when the daemon goes."""
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    daemon = make_daemon(upstream.url)
    path = daemon.directory / "public.sock"
    daemon.start("--listen", f"unix:{path}")
    assert _get_unix(path, "/simple/alpha/") == 200
    assert daemon.stop() == 0
    assert not path.exists()


def _get_unix(path: Path, target: str) -> int:
    connection = http.client.HTTPConnection("localhost", timeout=10)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(str(path))
        connection.sock = stream
        connection.request("GET", target)
        return connection.getresponse().status


# ── what it says to who starts it by hand ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "program",
    [[str(Path(sys.executable).parent / "pypicached")], [sys.executable, "-m", "pypicached"]],
)
def test_serve__commands_to_copy(directory: Path, program: list[str]) -> None:
    """The commands that are shown work as they stand, also where no PATH leads to the program."""
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(directory),
        "PYPICACHED_SOCKET": str(directory / "control.sock"),
    }
    line = [*program, "serve", "--listen", "127.0.0.1:0"]
    # Those who copy may have another daemon's socket in mind.
    copying = {**env, "PYPICACHED_SOCKET": str(directory / "other.sock")}
    with subprocess.Popen(line, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            shown: list[str] = []
            while "--help" not in (shown[-1:] or [""])[0]:
                shown.append(process.stdout.readline())
                assert shown[-1], "it has ended"
            commands = [words for words in shown if re.match("  (mkdir|.* client pip .*>)", words)]
            assert len(commands) == 2
            subprocess.run(
                ["/bin/sh", "-ec", "".join(commands)], env=copying, check=True, timeout=20
            )
        finally:
            process.terminate()
    address = re.search(r"http://127\.0\.0\.1:\d+/simple/", shown[0])
    assert address is not None
    assert f"index-url = {address[0]}" in (directory / ".config/pip/pip.conf").read_text()
