"""`apt install`: it runs when apt returns, and it leaves nothing when it is purged."""

from __future__ import annotations

import re

from tests.deb.configuring import CONFIGURATION
from tests.deb.index import Index
from tests.deb.layers import YES, Layers, install, listing
from tests.deb.machine import Machine
from tests.deb.packages import HERE, Packages, make_next
from tests.deb.visitor import Visitor
from tests.fake.wheels import DistFile

UNITS = ("pypicached.service", "pypicached.socket", "pypicached-control.socket")
# What any installation changes, and what comes and goes by itself.
_OF_OTHERS = re.compile(
    r"/var/(lib/(dpkg|apt|systemd/(catalog|random-seed))|log|tmp|cache/(apt|ldconfig|debconf))\b"
    r"|/tmp\b|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?( \(content\))?$"
    r"|/etc/ld\.so\.cache|/run/(utmp|log|user|lock|mount|dbus|host|initctl|credentials)\b"
    r"|/etc/\.pwd\.lock"
)


def leftover_units(machine: Machine) -> str:
    """Return the units of ours that systemd still runs, or holds to have failed."""
    states = "--state=active,activating,deactivating,failed"
    return machine.out("systemctl", "list-units", states, "--plain", "--no-legend", "pypicached*")


def test_install__minimal_debian(layers: Layers, packages: Packages) -> None:
    """On a Debian with nothing but systemd, apt brings what is needed, and it runs and answers."""
    with layers.booted(layers.fetched) as machine, Visitor(machine) as visitor:
        machine.write("/etc/apt/apt.conf.d/yes", YES)
        install(machine)
        assert {unit: machine.state(unit) for unit in UNITS} == dict.fromkeys(UNITS, "active")
        assert visitor.get("/healthz").status == 200
        assert machine.run("pypicached", "--version").stdout.split()[-1] in packages.version


def test_install__fast_and_running(layers: Layers) -> None:
    """On a host that has Python it takes 15 s at most, and everything runs when apt returns."""
    _, facts = layers.installation
    assert facts.states == dict.fromkeys(UNITS, "active")
    assert facts.processor_seconds < 15
    complaints = re.compile(r"^(W:|E:|dpkg: warning|Failed|Warning)", re.MULTILINE)
    assert not complaints.findall(facts.output)


def test_install__after_a_boot(machine: Machine, visitor: Visitor) -> None:
    """It runs after a boot, and nothing on the machine has failed."""
    assert {unit: machine.state(unit) for unit in UNITS} == dict.fromkeys(UNITS, "active")
    assert machine.out("systemctl", "is-system-running", "--wait") == "running"
    assert visitor.get("/readyz").status == 200
    # It is shipped for those who want it.
    assert machine.state("pypicached-prune.timer") == "inactive"


def test_install__taken_port(host: Machine) -> None:
    """Where another program has the port, apt's last words say so, and it starts once that ends."""
    host.run("apt-get", "-qq", "remove", "pypicached")
    server = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "3143"]
    host.run("systemd-run", "--unit=other", *server)
    reached = "import socket; socket.create_connection(('127.0.0.1', 3143))"
    host.shell(f'until python3 -c "{reached}" 2>/dev/null; do sleep 0.1; done')
    assert "port 3143 is in use (ss -ltnp)" in install(host)
    assert host.state("pypicached.socket") == "failed"
    host.systemctl("stop", "other.service")
    active = [f"systemctl -q is-active {unit}" for unit in UNITS]
    host.shell(f"until {' && '.join(active)}; do sleep 0.2; done")


def test_remove__while_pip_leads_here(host: Machine) -> None:
    """Who removes the cache is told of the files that lead to it; the removal goes on."""
    host.run("pypicached-client", "enable", "--uv")
    done = host.run("apt-get", "-qq", "remove", "pypicached")
    said = done.stdout + done.stderr
    for file in ("/etc/pip.conf", "/etc/uv/uv.toml"):
        assert f"pypicached: {file} leads to the cache that is being removed" in said
    assert not host.exists("/usr/bin/pypicached")


def test_remove__keeps_settings_and_cache(
    host: Machine, visitor: Visitor, index: Index, six: DistFile
) -> None:
    """Removing keeps what an administrator wrote and what is cached; installing takes it up."""
    visitor.fetch("six", six)
    written = host.read(CONFIGURATION)
    host.run("apt-get", "-qq", "remove", "pypicached")
    assert not host.exists("/usr/lib/pypicached")
    assert not host.exists("/run/pypicached/control.sock")
    assert leftover_units(host) == ""
    assert host.read(CONFIGURATION) == written
    install(host)
    visitor.fetch("six", six)
    assert index.count("*/six-*.whl") == 1


def test_upgrade__keeps_what_was_edited(host: Machine, packages: Packages) -> None:
    """An upgrade asks nothing about an edited configuration that it does not change."""
    written = host.read(CONFIGURATION)
    newer = make_next(host, packages.daemon, "9.9")
    host.run("apt", "install", "--yes", newer)
    assert host.read(CONFIGURATION) == written
    assert host.out("pypicached", "--version").endswith("9.9")
    # Back to the version before, which is the older program.
    host.run("apt", "install", "--yes", "--allow-downgrades", f"{HERE}/{packages.daemon.name}")
    assert {unit: host.state(unit) for unit in UNITS} == dict.fromkeys(UNITS, "active")


def test_purge__leaves_nothing_but_the_user(
    host: Machine, visitor: Visitor, layers: Layers
) -> None:
    """After use, purging takes all of it along but the user, and installing again works."""
    host.write("/etc/pypicached/credentials/acme", "secret\n", 0o600)
    host.write("/etc/systemd/system/pypicached.service.d/own.conf", "[Service]\nNice=5\n")
    host.systemctl("daemon-reload")
    host.systemctl("enable", "--now", "pypicached-prune.timer")
    host.systemctl("start", "pypicached-prune.service")
    assert visitor.get("/simple/six/").status == 200
    host.run("pypicached-client", "enable", "--uv")
    host.run("apt-get", "-qq", "purge", "pypicached", "pypicached-client")
    assert leftover_units(host) == ""
    before, after = layers.installation[1].before, listing(host)
    left = {path: after[path] for path in after if before.get(path) != after[path]}
    gone = before.keys() - after.keys()
    # The administrator's own file is his to keep.
    own = "/etc/systemd/system/pypicached.service.d"
    assert {path for path in left if path.startswith(own)} == {
        own,
        f"{own}/own.conf",
        f"{own}/own.conf (content)",
    }
    assert not {
        path: what for path, what in left.items() if not _OF_OTHERS.match(path) and own not in path
    }
    assert not {path for path in gone if not _OF_OTHERS.match(path)}
    assert "pypicached" in host.read("/etc/passwd")
    install(host)
    assert host.state("pypicached.service") == "active"
    assert visitor.get("/healthz").status == 200
