"""What settings are read from, kept so that a running daemon can read the same again.

Blocks on the disk; changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pypicached.errors import SettingsError
from pypicached.settings import places as where
from pypicached.settings.document import digest_of, read_raw
from pypicached.settings.load import Loaded, load


class Seen(NamedTuple):
    """The configuration file as it is; no `path`: there is none, no `digest`: it is unreadable."""

    path: Path | None
    digest: str | None


class Source:
    """The configuration file that was named, if any, an environment and a command line."""

    def __init__(
        self,
        config: Path | None,
        env: Mapping[str, str],
        overrides: Mapping[str, object] | None = None,
    ) -> None:
        self._config = config
        self._env = env
        self._overrides = overrides
        # What the file was when it was read last, so that looking at it need not read it.
        self._known: tuple[tuple[Path, int, int, int], Seen] | None = None

    def load(self) -> Loaded:
        """Return the settings as they are now. SettingsError with all that is wrong."""
        return load(self._config, self._env, self._overrides)

    def look(self) -> Seen:
        """Return which file would be read now, and what it is."""
        try:
            path = where.find_file(self._config, self._env, where.find_places(self._env))
        except SettingsError:
            path = None
        if path is None:
            return Seen(None, None)
        try:
            about = path.stat()
        except OSError:
            return Seen(path, None)
        # The time of its last change in whatever, its rights included.
        identity = (path, about.st_ino, about.st_size, about.st_ctime_ns)
        if self._known is None or self._known[0] != identity:
            self._known = (identity, _read(path))
        return self._known[1]


def _read(path: Path) -> Seen:
    try:
        return Seen(path, digest_of(read_raw(path)))
    except SettingsError:
        return Seen(path, None)
