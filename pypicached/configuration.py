"""The settings in force, where they came from, and what `status` has to say of them."""

from __future__ import annotations

from collections.abc import Sequence

from pypicached.apart import Apart, NoAnswerError
from pypicached.errors import SettingsError
from pypicached.listening import Handed, describe_differences
from pypicached.messages import iso
from pypicached.settings import (
    Change,
    Loaded,
    Problem,
    Seen,
    Settings,
    Source,
    describe,
    split_listen,
)

# A file that takes longer is on a disk that hangs: `status` must not.
LOOK_SECONDS = 2.0
CHECK = "`pypicached config check` tells all"


class Configuration:
    """What was loaded last; its settings but for those that wait for a restart are in force."""

    def __init__(self, loaded: Loaded, source: Source) -> None:
        self.source = source
        self.settings = loaded.settings
        # What this host makes of the settings in force: told beside the warnings of the file.
        self.notes: list[str] = []
        # The sockets of systemd, which decide in the place of settings.
        self.handed = Handed()
        self.needs_restart: list[str] = []
        self._loaded = loaded
        # Why it was refused, and what the file was then, as far as that is known.
        self._refused: tuple[str, Seen | None] | None = None
        self._looking = Apart("look at the configuration", LOOK_SECONDS)

    @property
    def place(self) -> str:
        """The file, as the key of a problem that is about all of it."""
        return str(self._loaded.path or "configuration")

    def check_path(self, loaded: Loaded) -> None:
        """Raise SettingsError if the file that is in force has gone.

        Whoever loses a file does not mean to lose its indexes and its rules. At a start nothing
        tells that there was one; a running daemon knows it.
        """
        path = self._loaded.path
        if path is not None and loaded.path != path:
            what = "is gone, and what it said stays in force"
            raise SettingsError([(str(path), what, "for the defaults put an empty one there")])

    def accept(self, loaded: Loaded, settings: Settings, restart: Sequence[Change]) -> None:
        """Note that `settings` are in force now, and all of `loaded` after a restart."""
        self.settings = settings
        decided = self.handed.decides
        self.needs_restart = [change.key for change in restart if change.key not in decided]
        self._loaded = loaded
        self._refused = None

    def refuse(self, problems: Sequence[Problem], seen: Seen | None, now: float) -> None:
        """Note that what was read just now is bad, and changed nothing.

        `seen` is what the configuration file was, if that could be found out.
        """
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        first = describe(problems[0])
        told = (
            f"the configuration was refused at {iso(now)}, and the settings of before stay in "
            f"force: {first}{more}; {CHECK}"
        )
        self._refused = (told, seen)

    def other_sockets(self, loaded: Loaded | None = None) -> list[str]:
        """Return where systemd's sockets are not what was set. Looks host names up; any thread."""
        loaded = loaded or self._loaded
        server = loaded.settings.server
        return describe_differences(
            self.handed,
            [*map(split_listen, server.listen)] if "server.listen" in loaded.chosen else None,
            server.control_socket if "server.control_socket" in loaded.chosen else None,
        )

    async def problems(self) -> list[str]:
        """Return what an operator should know."""
        try:
            seen, sockets = await self._looking.run(self._look)
            news = self._compare(seen)
        except NoAnswerError:
            sockets, news = [], f"{self.place} cannot be looked at: its disk does not answer"
        found = [*self._loaded.warnings, *self.notes, *sockets]
        if self.needs_restart:
            found.append(f"needs a restart: {', '.join(self.needs_restart)}")
        if self._refused is not None:
            found.append(self._refused[0])
        elif news is not None:
            found.append(news)
        return found

    def _look(self) -> tuple[Seen, list[str]]:
        return self.source.look(), self.other_sockets()

    def _compare(self, seen: Seen) -> str | None:
        """Return what is new about the configuration file since it was loaded, if anything."""
        news = _news(self._loaded, seen)
        if news is not None:
            return news
        if self._refused is not None:
            was = self._refused[1]
            # What was refused is undone, where it was in that file, and not in one that it names.
            if was is not None and _news(self._loaded, was) is not None:
                self._refused = None
        return None


def _news(loaded: Loaded, seen: Seen) -> str | None:
    """Return what is new about the configuration file since it was loaded, and what to do."""
    reload = "`pypicached reload`"
    if seen.path is None and loaded.path is not None:
        return f"the configuration file {loaded.path} is gone, and what it said is in force"
    if seen.digest is None and seen.path is not None:
        # A reload would be refused.
        return f"the daemon cannot read the configuration file {seen.path}: as root, {CHECK}"
    if seen.path != loaded.path:
        return f"the configuration file {seen.path} is not loaded: {reload}"
    if seen.digest != loaded.digest:
        return f"the configuration file {seen.path} is newer than what is loaded: {reload}"
    return None
