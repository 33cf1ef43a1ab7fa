"""Configurations for a machine's daemon."""

from __future__ import annotations

from tests.deb.index import Index
from tests.deb.machine import Machine

CONFIGURATION = "/etc/pypicached/pypicached.toml"


def configure(machine: Machine, index: Index, *before: str, extra: str = "") -> None:
    """Write a configuration: the lines `before`, then this index with the lines `extra`."""
    machine.write(CONFIGURATION, render(index.url, *before, extra=extra))


def render(url: str, *before: str, extra: str = "") -> str:
    """Return the text of a configuration with an index at that URL."""
    return "\n".join([*before, "[[index]]", 'name = "local"', f'url = "{url}"', extra, ""])


def drop_in(machine: Machine, unit: str, text: str, name: str = "test") -> None:
    """Write a drop-in of an administrator for a unit, and tell systemd."""
    machine.write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
    machine.systemctl("daemon-reload")
