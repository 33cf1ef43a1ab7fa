"""What `config` says of settings that the units of systemd decide: directories, needed drop-ins.

Only of the system's configuration, for which the service is there. What the units say now, systemd
is asked; where it is not running, or does not answer soon, nothing is said of sockets.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from pypicached import dropins
from pypicached.cli.service import show
from pypicached.settings import Settings, split_listen

# Where a package or an operator puts units (systemd.unit(5)).
_UNIT_DIRECTORIES = tuple(
    Path(f"/{place}/systemd/system") for place in ("etc", "usr/local/lib", "usr/lib", "lib")
)


def find_hints(settings: Settings, chosen: Iterable[str]) -> list[dropins.Hint]:
    """Return what has to be said in the units of this host to make the settings come true."""
    asked = set(chosen)
    found: list[dropins.Hint | None] = []
    if "server.listen" in asked and (streams := _listening(dropins.PUBLIC_UNIT)):
        found.append(dropins.compare_public(map(split_listen, settings.server.listen), streams))
    if "server.control_socket" in asked and (streams := _listening(dropins.CONTROL_UNIT)):
        found.append(dropins.compare_control(settings.server.control_socket, streams))
    places = settings.cache.directories
    found += _unwritable({key: place for key, place in places.items() if key in asked})
    return [hint for hint in found if hint is not None]


def _listening(unit: str) -> list[str]:
    """Return what an active socket unit listens on, as ListenStream= spells it."""
    facts = show(unit, "ActiveState", "Listen")
    if facts.get("ActiveState") != ["active"]:
        return []
    return [stream for line in facts.get("Listen", []) if (stream := parse_listen(line))]


def parse_listen(line: str) -> str | None:
    """Return the address of `127.0.0.1:3143 (Stream)`; None for what is no stream. Pure."""
    address, _, kind = line.rpartition(" ")
    return address if kind == "(Stream)" else None


def _unwritable(places: Mapping[str, Path]) -> Iterable[dropins.Hint]:
    outside = {key: place for key, place in places.items() if not dropins.is_writable(place)}
    if not outside:
        return []
    facts = show(dropins.SERVICE_UNIT, "LoadState", "ProtectSystem", "ReadWritePaths")
    if not facts:
        # A host that is being prepared: the unit will be as it comes.
        installed = any((place / dropins.SERVICE_UNIT).exists() for place in _UNIT_DIRECTORIES)
        facts = {"LoadState": ["loaded"], "ProtectSystem": ["strict"]} if installed else {}
    if facts.get("LoadState") != ["loaded"] or facts.get("ProtectSystem") != ["strict"]:
        return []
    opened = parse_paths(facts.get("ReadWritePaths", []))
    closed = {
        key: place
        for key, place in outside.items()
        if not any(place.is_relative_to(path) for path in opened)
    }
    return [
        dropins.explain_unwritable(key, place)
        for key, place in closed.items()
        # A ledger that lies in the directory is covered by the directory's.
        if not (key == "cache.ledger" and place == closed.get("cache.directory"))
    ]


def parse_paths(values: Iterable[str]) -> list[Path]:
    """Return the paths of ReadWritePaths= without their prefixes (systemd.exec(5)). Pure."""
    # Quoted where they have spaces, much as a shell wants it.
    return [Path(word.lstrip("-+")) for value in values for word in shlex.split(value)]
