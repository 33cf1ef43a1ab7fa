"""A host's pip and uv, as ordinary users run them."""

from __future__ import annotations

from tests.deb.index import Index
from tests.deb.machine import Machine
from tests.deb.packages import HERE, Packages

_PIP = """
    cd && python3 -m venv --clear env
    env/bin/pip install six
    env/bin/python -c 'import six; print(six.__version__)'
"""
_UV = """
    cd && uv venv --no-progress --clear env
    uv pip install --no-progress --python env/bin/python six
    env/bin/python -c 'import six; print(six.__version__)'
"""


def test_pip__plain(host: Machine, index: Index) -> None:
    """After `enable`, plain pip of any user installs through the cache."""
    host.run("pypicached-client", "enable")
    assert host.shell(_PIP, user="builder").endswith("1.16.0")
    assert host.shell(_PIP, user="member").endswith("1.16.0")
    # The second one had it from the cache: pip keeps none for another user.
    assert index.count("*/six-*.whl") == 1
    assert not host.exists("/etc/uv/uv.toml")
    assert "six" in host.out("pypicached", "who", "six")


def test_uv__plain(host: Machine, index: Index) -> None:
    """After `enable --uv`, plain uv does so, too, and is told of committed lock files."""
    told = host.run("pypicached-client", "enable", "--uv")
    assert "uv.lock" in told.stdout + told.stderr
    assert host.shell(_UV, user="builder").endswith("1.16.0")
    assert host.shell(_UV, user="member").endswith("1.16.0")
    assert index.count("*/six-*.whl") == 1


def test_client__removal_undoes_enable(host: Machine, packages: Packages) -> None:
    """Removing the client's package removes what `enable` wrote, and nothing else."""
    host.run("pypicached-client", "enable", "--uv")
    assert host.exists("/etc/pip.conf")
    assert host.exists("/etc/uv/uv.toml")
    host.run("apt-get", "-qq", "remove", "pypicached-client")
    assert not host.exists("/etc/pip.conf")
    assert not host.exists("/etc/uv")
    host.write("/etc/pip.conf", "[global]\ntimeout = 60\n")
    host.run("apt-get", "-qq", "install", f"{HERE}/{packages.client.name}")
    host.run("apt-get", "-qq", "purge", "pypicached-client")
    assert host.read("/etc/pip.conf") == "[global]\ntimeout = 60\n"


def test_client__upgrade_keeps_it(host: Machine, packages: Packages) -> None:
    """An upgrade, or an installation over itself, leaves what `enable` wrote as it is."""
    host.run("pypicached-client", "enable")
    written = host.read("/etc/pip.conf")
    host.run("apt-get", "-qq", "install", "--reinstall", f"{HERE}/{packages.client.name}")
    assert host.read("/etc/pip.conf") == written


def test_client__status(host: Machine) -> None:
    """`status` succeeds if the address answers as pypicached, and is 1 if it does not."""
    host.run("pypicached-client", "enable")
    assert host.run("pypicached-client", "status", user="builder").returncode == 0
    host.systemctl("stop", "pypicached.socket", "pypicached.service")
    assert host.run("pypicached-client", "status", user="builder", check=False).returncode == 1
