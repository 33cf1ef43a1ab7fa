"""What `config` reads: a file, in the environment of the process that it is for.

The system's file is for the service, which has another environment than this shell: without its
variables, with those of its unit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from pypicached.cli.service import Environment, find_environment
from pypicached.settings import Loaded, load, places


class Read(NamedTuple):
    """Settings, and whose they are; no `service`: those of a daemon started from this shell."""

    loaded: Loaded
    service: Environment | None

    @property
    def is_system(self) -> bool:
        """Whether the system's file was read, which the units have a say in."""
        return _is_system(self.loaded.path)

    @property
    def chosen(self) -> frozenset[str]:
        """The dotted keys that somebody has set for the daemon that the settings are for."""
        if self.service is not None:
            return self.loaded.chosen
        # The environment of this shell is not the service's.
        here = f"file {self.loaded.path}"
        return frozenset(k for k, source in self.loaded.sources.items() if source == here)

    @property
    def origin(self) -> str:
        """What was read, in words."""
        named = [self.loaded.path] if self.loaded.path else []
        named += [] if self.service is None else self.service.files
        return " and ".join(map(str, named))


def read(config: Path | None) -> Read:
    """Return the settings of a file, or of the one that a daemon of ours would read.

    SettingsError with all that is wrong.
    """
    here = places.find_places(os.environ)
    path = places.find_file(config, os.environ, here)
    service = None
    # systemd has told a process that is the service already.
    if _is_system(path) and "CACHE_DIRECTORY" not in os.environ:
        service = find_environment()
    if service is None:
        return Read(load(path, os.environ), None)
    return Read(load(path, service.variables), service)


def _is_system(path: Path | None) -> bool:
    return path is not None and path.resolve() == places.SYSTEM_FILE.resolve()
