"""Before anything is written the address is asked, and only a pypicached will do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pypicached_client as program
import pytest

from tests.client.conftest import REDIRECT, Answerer, Machine


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (301, REDIRECT, ""),
        (
            301,
            {"Server": "nginx", "Cache-Status": "edge; hit, pypicached", "Location": "simple/"},
            "",
        ),
        (200, {"Server": "nginx"}, "is no pypicached (status 200)"),
        (301, {"Location": "simple/"}, "is no pypicached (status 301)"),
        (502, {"Server": "nginx"}, "is no pypicached (status 502)"),
        (404, REDIRECT, "the pypicached there has no such index"),
        (403, REDIRECT, "refuses this host: see its [server] allow_from"),
        (500, REDIRECT, "answers with status 500"),
        (200, REDIRECT, "answers with status 200"),
    ],
)
def test_ask__answers(
    answerer: Answerer, machine: Machine, status: int, headers: dict[str, str], reason: str
) -> None:
    """A pypicached that has the index is known by its redirect; all else is told in words."""
    answerer.status, answerer.headers = status, headers
    done = machine.run("enable", answerer.url)
    assert (done.code, machine.pip_conf.exists()) == ((1, False) if reason else (0, True))
    assert reason in done.err
    assert answerer.paths == ["/simple"]


def test_ask__a_redirect_is_not_followed(make_answerer: Callable[[], Answerer]) -> None:
    """What answers is what listens there, and not a place that it points to."""
    elsewhere, first = make_answerer(), make_answerer()
    first.headers = {"Location": elsewhere.url}
    assert program.ask(program.parse_address(first.url)).server == ""
    assert elsewhere.paths == []


def test_ask__no_proxy_is_asked(
    make_answerer: Callable[[], Answerer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address itself is asked, whatever proxies the environment has."""
    proxy, cache = make_answerer(), make_answerer()
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert program.ask(program.parse_address(cache.url)).server == "pypicached/0.1.0"
    assert proxy.paths == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_ask__no_web_server(machine: Machine, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else, or something that only accepts, is told as that within the patience."""
    monkeypatch.setattr(program, "PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        silent = machine.run("enable", url)

        def answer() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        other = machine.run("enable", url)
        thread.join()
    assert (silent.code, other.code) == (1, 1)
    assert "nothing answers there (" in silent.err
    assert "timed out" in silent.err
    assert "what answers there" in other.err or "Connection reset" in other.err
    assert not machine.pip_conf.exists()


def test_ask__nobody(machine: Machine) -> None:
    """Where nothing listens, nothing is written, and what to do is said; --force writes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/simple/"
    done = machine.run("enable", url)
    assert (done.code, done.out, machine.pip_conf.exists()) == (1, "", False)
    assert done.err == (
        f"pypicached-client: {url}: nothing answers there (Connection refused); is pypicached "
        "installed on this host, and does it run? Else name another address (--force writes "
        "anyway)\n"
    )
    done = machine.run("enable", url, "--force")
    assert (done.code, machine.pip_conf.exists()) == (0, True)
    assert "nothing answers there (Connection refused)" in done.err


def test_ask__no_name(machine: Machine) -> None:
    """A host that can be no name is told as that, and beyond loopback other advice is given."""
    done = machine.run("enable", f"http://{'a' * 64}.example:3143")
    assert done.code == 1
    assert "its host is no name that can be looked up; is that its address, and does" in done.err


def test_ask__remedies(answerer: Answerer, machine: Machine) -> None:
    """What is to be done fits what is wrong."""
    base = answerer.url.removesuffix("simple/")
    answerer.status = 404
    assert f"no such index; its own is {base}simple/ (--" in machine.run("enable", f"{base}x").err
    tls = base.replace("http:", "https:")
    assert f"; try {base} (--" in machine.run("enable", tls).err
    answerer.headers = {"Server": "nginx"}
    said = machine.run("enable", base).err
    assert "no pypicached (status 404); another program has that port: name that of" in said
    answerer.status, answerer.headers = 403, REDIRECT
    assert "see its [server] allow_from (--force" in machine.run("enable", base).err


@pytest.mark.parametrize(
    ("is_active", "listens", "remedy"),
    [
        (False, False, "start it: systemctl start pypicached.socket pypicached"),
        (False, True, "another program has that port: name that of pypicached"),
        (True, False, "pypicached.socket listens elsewhere: systemctl status pypicached.socket"),
        (True, True, "why not, says: journalctl -u pypicached -n 20"),
    ],
)
def test_ask__own_service(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    is_active: bool, listens: bool, remedy: str,
) -> None:  # fmt: skip
    """Of a pypicached on this host, what systemd says of its socket decides what to do."""
    machine.put("/usr/lib/systemd/system/pypicached.socket", "")
    machine.host.at("/run/systemd/system").mkdir(parents=True)
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(
        "#!/bin/sh\n"
        '[ "$*" = "is-active --quiet pypicached.socket" ] || exit 99\n'
        f"exit {0 if is_active else 3}\n"
    )
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(systemctl.parent), prepend=":")
    monkeypatch.setattr(program, "PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if not listens:
            listener.close()
        done = machine.run("enable", f"http://127.0.0.1:{port}")
    assert done.err.endswith(f"; {remedy} (--force writes anyway)\n")


def test_ask__no_port(machine: Machine) -> None:
    """A URL without a port is not that of a daemon's own listener, which is said."""
    done = machine.run("enable", "127.1.2.3")
    assert "(port 80, as the URL names none; pypicached's is 3143); " in done.err
    done = machine.run("enable", "127.1.2.3:3143")
    assert "as the URL names none" not in done.err
