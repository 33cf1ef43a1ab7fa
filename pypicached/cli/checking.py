"""What `config` reads: a file, in the environment of the process that it is for.

The system's file is for the service, which has another environment than this shell: without its
variables, with those of its unit.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from pypicached import dropins
from pypicached.cli.permissions import (
    Caller,
    ServiceUser,
    explain_unreadable,
    explain_unusable_directory,
)
from pypicached.cli.service import Environment, find_environment
from pypicached.errors import SettingsError
from pypicached.settings import INDEX_FILES, Loaded, Problem, credential_files, load, places


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
    if path is None and (closed := places.find_unreadable(here)) is not None:
        # Other commands pass it over: a daemon of one's own does not want it.
        raise SettingsError([(str(closed), "cannot be read: Permission denied", "ask as root")])
    service = None
    # systemd has told a process that is the service already.
    if _is_system(path) and "CACHE_DIRECTORY" not in os.environ:
        service = find_environment()
    if service is None:
        return Read(load(path, os.environ), None)
    return Read(load(path, service.variables), service)


def find_problems(read: Read, closed: Collection[Path]) -> list[Problem]:
    """Return what of good settings this host does not allow.

    `closed` are directories that are to be opened to the service first, and made by the way.
    """
    found: list[Problem | None] = []
    user: ServiceUser | Caller = Caller()
    if read.service is not None:
        user = ServiceUser(read.service.user)
        found += explain_unreadable(user, _files(read.loaded))
    cache = read.loaded.settings.cache
    # Where the ledger lies in the directory, that one is told.
    for directory, key in {d: k for k, d in reversed(cache.directories.items())}.items():
        # systemd makes those that it hands over, and gives them to the service.
        by_systemd = read.service is not None and dropins.is_writable(directory)
        if not by_systemd and directory not in closed:
            found.append(explain_unusable_directory(key, directory, user))
    return [problem for problem in found if problem is not None]


def _files(loaded: Loaded) -> Iterator[tuple[str, Path]]:
    """Yield the files that the settings are read from, each with its key."""
    if loaded.path is not None:
        yield str(loaded.path), loaded.path
    for index in loaded.settings.indexes:
        for name in INDEX_FILES:
            path: Path | None = getattr(index, name)
            # A credential is handed over by systemd, which may read everything.
            if path is not None and not credential_files.is_credential(path):
                yield f"index.{index.name}.{name}", path
    secret = loaded.settings.store.s3.secret_access_key_file
    if secret is not None and not credential_files.is_credential(secret):
        yield "store.s3.secret_access_key_file", secret


def _is_system(path: Path | None) -> bool:
    return path is not None and path.resolve() == places.SYSTEM_FILE.resolve()
