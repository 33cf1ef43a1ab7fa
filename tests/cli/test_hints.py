"""`config check` beside the units of a host: what it asks systemd, and what it says then.

systemd is a program of that name on PATH, which says what the real one says (systemd 252).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pypicached.cli import hints, service
from pypicached.cli.config import app
from pypicached.settings import places
from tests.cli.fake_systemd import FakeSystemd

SOCKET = """LoadState=loaded
ActiveState=active
Listen=127.0.0.1:3143 (Stream)
Listen=[::1]:3143 (Stream)
"""
CONTROL = """LoadState=loaded
ActiveState=active
Listen=/run/pypicached/control.sock (Stream)
"""
SERVICE = "LoadState=loaded\nActiveState=active\nProtectSystem=strict\nReadWritePaths={}\n"


class Host:
    """A host with a configuration for the system and a `systemctl`."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "pypicached.toml"
        self._systemd = FakeSystemd(directory)
        self.tell("pypicached.socket", SOCKET)
        self.tell("pypicached-control.socket", CONTROL)
        self.tell("pypicached.service", SERVICE.format(""))

    def tell(self, unit: str, properties: str) -> None:
        """Let systemd say this of a unit."""
        self._systemd.tell(unit, properties)

    def check(self, configuration: str) -> list[dict[str, str]]:
        """Return the hints for a configuration that has no problem, but for what they mend."""
        self.file.write_text(configuration)
        result = CliRunner().invoke(app, ["check", str(self.file), "--json"])
        document = json.loads(result.stdout)
        assert result.exit_code == (1 if document["problems"] else 0), result.output
        found: list[dict[str, str]] = document["hints"]
        told = {(hint["key"], f"as root: {hint['command']}") for hint in found}
        assert {(p["key"], p["suggestion"]) for p in document["problems"]} <= told
        return found


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return a host whose configuration for the system is the test's."""
    made = Host(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(places, "SYSTEM_FILE", made.file)
    return made


def test_hints__none_needed(host: Host) -> None:
    """What the units say already, and what nobody has set, needs no drop-in."""
    assert host.check("") == []
    same = 'listen = ["[::1]:3143", "localhost:3143"]'
    assert host.check(f'[server]\n{same}\n[cache]\ndirectory = "/var/cache/pypicached/x"\n') == []


def test_hints__listen(host: Host) -> None:
    """Other addresses are told with the drop-in for the socket unit, ready to be run."""
    (hint,) = host.check('[server]\nlisten = ["0.0.0.0:3143"]\n')
    assert hint["key"] == "server.listen"
    assert "listens on 127.0.0.1:3143, [::1]:3143, and that counts" in hint["message"]
    assert hint["unit"] == "pypicached.socket"
    assert hint["drop_in"] == "[Socket]\nListenStream=\nListenStream=0.0.0.0:3143\n"
    assert hint["command"].endswith("systemctl restart pypicached.socket pypicached.service")


def test_hints__text(host: Host) -> None:
    """On a terminal a hint is one paragraph after the good news, and no error."""
    host.file.write_text('[server]\ncontrol_socket = "/run/other.sock"\n')
    result = CliRunner().invoke(app, ["check", str(host.file)])
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.endswith(": no problem")
    assert second.startswith("hint: [server] control_socket is /run/other.sock, but ")
    assert "pypicached-control.socket.d/zz-listen.conf" in second


@pytest.mark.parametrize(
    "properties", ["", "LoadState=not-found\nActiveState=inactive\n", "Listen=\n"]
)
def test_hints__no_socket_unit(properties: str, host: Host) -> None:
    """Where systemd holds no socket, the daemon binds its own: nothing is to be said."""
    host.tell("pypicached.socket", properties)
    assert host.check('[server]\nlisten = ["0.0.0.0:3143"]\n') == []


def test_hints__directory(host: Host) -> None:
    """A directory that the sandbox does not let the service write is told with its drop-in."""
    (hint,) = host.check('[cache]\ndirectory = "/srv/cache"\nledger = "/srv/cache/l.sqlite"\n')
    assert hint["key"] == "cache.directory"
    assert hint["drop_in"] == (
        "[Unit]\nRequiresMountsFor=/srv/cache\n"
        "[Service]\nReadWritePaths=/srv/cache\nNoExecPaths=/srv/cache\n"
    )
    assert hint["command"].startswith(
        "install -d -m 0700 -o pypicached -g pypicached /srv/cache && "
    )
    result = CliRunner().invoke(app, ["check", str(host.file)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("cache.directory: /srv/cache is outside of what the sandbox ")


@pytest.mark.parametrize(
    "properties",
    [
        SERVICE.format("/opt -/srv"),
        SERVICE.format('"/srv/big cache" /opt'),
        "LoadState=not-found\nProtectSystem=no\n",
        "LoadState=loaded\nProtectSystem=no\n",
    ],
)
def test_hints__directory_that_may_be_written(properties: str, host: Host) -> None:
    """With the drop-in in place, without the unit or without its sandbox nothing is to be said."""
    host.tell("pypicached.service", properties)
    assert host.check('[cache]\ndirectory = "/srv/big cache/pypicached"\n') == []


def test_hints__systemd_does_not_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A systemd that hangs, or none, is no complaint and no long wait."""
    monkeypatch.setattr(service, "ANSWER_SECONDS", 0.1)
    systemctl = host.file.parent / "bin" / "systemctl"
    systemctl.write_text("#!/bin/sh\nexec sleep 60\n")
    assert host.check('[server]\nlisten = ["0.0.0.0:3143"]\n') == []
    systemctl.unlink()
    monkeypatch.setenv("PATH", str(host.file.parent / "bin"))
    assert host.check('[server]\nlisten = ["0.0.0.0:3143"]\n') == []


def test_hints__a_host_that_is_being_prepared(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a running systemd the unit counts as it comes, if there is one."""
    (host.file.parent / "bin" / "systemctl").unlink()
    monkeypatch.setenv("PATH", str(host.file.parent / "bin"))
    monkeypatch.setattr(hints, "_UNIT_DIRECTORIES", (tmp_path / "lib",))
    configuration = '[cache]\ndirectory = "/srv/cache"\n'
    assert host.check(configuration) == []
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "pypicached.service").touch()
    assert [hint["key"] for hint in host.check(configuration)] == ["cache.directory"]


def test_hints__another_file(host: Host, tmp_path: Path) -> None:
    """A file that is not the system's is of no concern to the system's units."""
    other = tmp_path / "other.toml"
    other.write_text('[server]\nlisten = ["0.0.0.0:3143"]\n')
    result = CliRunner().invoke(app, ["check", str(other), "--json"])
    assert json.loads(result.stdout) == {"problems": [], "hints": []}


def test_show__directories_of_the_service(host: Host) -> None:
    """What the system's file leaves to systemd is where the service has it, not where we would."""
    host.tell(
        "pypicached.service",
        SERVICE.format("") + "CacheDirectory=pypicached\nStateDirectory=pypicached\n",
    )
    host.file.write_text("")
    result = CliRunner().invoke(app, ["show", str(host.file), "--json"])
    shown = json.loads(result.stdout)
    assert shown["cache.directory"] == {
        "value": "/var/cache/pypicached",
        "source": "environment CACHE_DIRECTORY",
    }
    assert shown["cache.ledger"]["value"] == "/var/lib/pypicached/ledger.sqlite"


def test_show__directories_of_another_file(host: Host, tmp_path: Path) -> None:
    """A file that is not the system's is for a daemon of one's own."""
    host.tell("pypicached.service", SERVICE.format("") + "CacheDirectory=pypicached\n")
    other = tmp_path / "other.toml"
    other.write_text("")
    result = CliRunner().invoke(app, ["show", str(other), "--json"])
    shown = json.loads(result.stdout)
    assert shown["cache.directory"]["source"] == "default"


def test_show__environment_of_the_service(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's file is shown in the environment of its unit, and not in that of this shell."""
    default = host.file.parent / "default"
    default.write_text(
        'PYPICACHED_CACHE__MAX_SIZE="7 GiB"\nHTTPS_PROXY=http://proxy.example:3128\n'
    )
    host.tell(
        "pypicached.service",
        SERVICE.format("")
        + 'Environment=PYPICACHED_CACHE__MAX_SIZE=1GiB "PYPICACHED_CACHE__MIN_FREE=3 GiB"\n'
        + f"EnvironmentFiles={default} (ignore_errors=yes)\n"
        + "EnvironmentFiles=/nowhere/else (ignore_errors=yes)\n",
    )
    monkeypatch.setenv("PYPICACHED_CACHE__MEMORY", "1MiB")
    host.file.write_text("")
    result = CliRunner().invoke(app, ["show", str(host.file)])
    assert result.stdout.splitlines()[0] == f"# {host.file} and {default}"
    assert 'max_size = "7GiB"  # from environment PYPICACHED_CACHE__MAX_SIZE' in result.stdout
    assert 'min_free = "3GiB"  # from environment PYPICACHED_CACHE__MIN_FREE' in result.stdout
    assert 'memory = "64MiB"  # from default' in result.stdout
    assert "http://proxy.example:3128" in result.stdout


def test_check__environment_of_the_service(host: Host) -> None:
    """A mistake in the service's environment is a problem, one that cannot be read a warning."""
    default = host.file.parent / "default"
    default.write_text("PYPICACHED_CACHE__MAX_SIZE=big\n")
    files = f"EnvironmentFiles={default} (ignore_errors=yes)\n"
    host.tell("pypicached.service", SERVICE.format("") + files)
    host.file.write_text("")
    result = CliRunner().invoke(app, ["check", str(host.file)])
    assert result.exit_code == 2
    assert "(environment PYPICACHED_CACHE__MAX_SIZE)" in result.stderr
    default.unlink()
    default.mkdir()
    result = CliRunner().invoke(app, ["check", str(host.file)])
    assert result.exit_code == 0
    assert f"warning: {default} cannot be read (Is a directory)" in result.stderr
