"""Configurations for a machine's daemon."""

from __future__ import annotations

from tests.deb.index import Index
from tests.deb.machine import Machine

CONFIGURATION = "/etc/pypicached/pypicached.toml"


def configure(machine: Machine, index: Index, *before: str, extra: str = "") -> None:
    """Write a configuration: the lines `before`, then this index with the lines `extra`."""
    table = ["[[index]]", 'name = "local"', f'url = "{index.url}"', extra]
    machine.write(CONFIGURATION, "\n".join([*before, *table, ""]))


def drop_in(machine: Machine, unit: str, text: str, name: str = "test") -> None:
    """Write a drop-in of an administrator for a unit, and tell systemd."""
    machine.write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
    machine.systemctl("daemon-reload")
