"""Who may do what on the system's control socket."""

from __future__ import annotations

import json

import pytest

from tests.deb.machine import Machine


@pytest.mark.parametrize("user", ["root", "member", "pypicached"])
def test_status__allowed(host: Machine, user: str) -> None:
    """Root, the members of the group and the daemon's own user see how it is."""
    assert "local" in host.out("pypicached", "status", user=user)
    listeners = json.loads(host.out("pypicached", "status", "--json", user=user))["listeners"]
    assert listeners == ["http://127.0.0.1:3143", "http://[::1]:3143"]


def test_status__others_are_told_what_to_do(host: Machine) -> None:
    """Anybody else gets exit code 4 and the name of the group."""
    done = host.run("pypicached", "status", user="builder", check=False)
    assert done.returncode == 4
    assert "group pypicached" in done.stderr


def test_group__reads_and_warms(host: Machine) -> None:
    """A member may warm and invalidate; pruning and reloading are for root."""
    host.run("pypicached", "warm", "six", user="member")
    host.run("pypicached", "invalidate", "six", user="member")
    for command in (["prune", "--days", "0"], ["reload"], ["offline", "on"]):
        assert host.run("pypicached", *command, user="member", check=False).returncode == 4
    assert "uid" in host.journal()


def test_status__no_daemon(host: Machine) -> None:
    """With everything stopped, the exit code is 3, and how to start it is said."""
    host.systemctl("stop", "pypicached.socket", "pypicached-control.socket", "pypicached.service")
    done = host.run("pypicached", "status", check=False)
    assert done.returncode == 3
    assert "systemctl start pypicached" in done.stderr


def test_status__line_for_systemctl(host: Machine) -> None:
    """`systemctl status` has a line that says what it serves on and how the indexes are."""
    host.wait_for(
        lambda: "index ok" in host.show("pypicached.service", "StatusText"), "a status line"
    )
    assert "127.0.0.1:3143" in host.out("systemctl", "status", "pypicached.service")


def test_manual__is_there(machine: Machine) -> None:
    """The manual page and the completions are in the packages."""
    files = machine.out("dpkg", "-L", "pypicached", "pypicached-client").split("\n")
    for name in (
        "/usr/share/man/man1/pypicached.1.gz",
        "/usr/share/bash-completion/completions/pypicached",
        "/usr/share/zsh/vendor-completions/_pypicached",
        "/usr/share/fish/vendor_completions.d/pypicached.fish",
        "/usr/share/bash-completion/completions/pypicached-client",
        "/usr/share/zsh/vendor-completions/_pypicached-client",
        "/usr/share/fish/vendor_completions.d/pypicached-client.fish",
        "/usr/share/doc/pypicached/README.Debian",
        "/usr/share/doc/pypicached/copyright",
    ):
        assert any(file.startswith(name) for file in files), name
