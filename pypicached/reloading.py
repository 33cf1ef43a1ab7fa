"""`pypicached reload` and SIGHUP: read the configuration again; all of it is in force, or nothing.

What may fail comes first: reading, making what indexes need, telling the ledger. Then `switching`
does the rest in one step. One reload at a time; each tells the log and the service manager.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from pypicached.apart import Apart, NoAnswerError
from pypicached.assembly import Assembly
from pypicached.configuration import Configuration
from pypicached.errors import BusyError, PypicachedError, SettingsError
from pypicached.indexes import Prepared, prepare
from pypicached.logs import event
from pypicached.messages import ConfigProblem, ReloadAnswer, ReloadedKey
from pypicached.settings import (
    Change,
    Loaded,
    Problem,
    Seen,
    Server,
    Settings,
    describe,
    differences,
    needs_restart,
    without_restart,
)
from pypicached.switching import switch

logger = logging.getLogger(__name__)

# Thousands of indexes and rules take seconds on a busy host; what takes longer hangs.
READ_SECONDS = 20.0

STARTING = "not reloaded: the daemon is still starting; try again when it serves"
FAILED = "something went wrong inside the daemon while it was read; its log has the details"
STOPPING = "not reloaded: the daemon is stopping; the next one reads the configuration as it is"


class _Read(NamedTuple):
    """A configuration that is good: all of it was read, and every file that it names."""

    loaded: Loaded
    # What can be put in force now, what of it is new, and what has to wait for a restart.
    settings: Settings
    changes: list[Change]
    restart: list[Change]
    prepared: dict[str, Prepared]
    disk_bytes: int
    # What an operator should know of it.
    warnings: list[str]


class _Refused(NamedTuple):
    """A configuration that is bad; what its file was, if that is known."""

    problems: list[Problem]
    seen: Seen | None


class Reloading:
    """Any number of callers; they wait for each other.

    `on_switched` is called when other settings are in force, to do what is not the parts' own.
    """

    def __init__(
        self,
        configuration: Configuration,
        parts: Assembly,
        *,
        on_switched: Callable[[Server], None],
        tell_manager: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._configuration = configuration
        self._parts = parts
        self._on_switched = on_switched
        self._tell_manager = tell_manager
        self._now = now
        self._reading = Apart("read the configuration", READ_SECONDS)
        self._turn = asyncio.Lock()
        # Held from the first step that cannot be taken back to the last.
        self._switching = asyncio.Lock()
        self._wanted = asyncio.Event()
        # Why nothing is reloaded, in a sentence; None: it is.
        self.refusal: str | None = STARTING

    def want(self) -> None:
        """Reload soon: a signal's word. However many come meanwhile, they are one more reload."""
        self._wanted.set()

    async def run(self) -> None:
        """Do what `want` wants, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.reload()
            except PypicachedError as error:
                event(logger, logging.ERROR, str(error))
            except Exception:
                # The next one may go well, and somebody has to be there for it.
                logger.exception("a reload by a signal failed")

    async def close(self) -> None:
        """Wait for what a reload changes just now; nothing is read and changed any more."""
        self.refusal = STOPPING
        async with self._switching:
            pass

    async def reload(self) -> ReloadAnswer:
        """Read the configuration and put it in force; an answer with problems changed nothing.

        Raises BusyError while the daemon starts or stops, LedgerError: then nothing changed either.
        """
        # To its end whatever becomes of the caller.
        turn = asyncio.ensure_future(self._in_turn())
        try:
            return await asyncio.shield(turn)
        except asyncio.CancelledError:
            turn.add_done_callback(_log_failure)
            raise

    async def _in_turn(self) -> ReloadAnswer:
        async with self._turn:
            self._check()
            self._tell_manager(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                return await self._reload()
            finally:
                if self.refusal is None:
                    self._tell_manager("READY=1")

    def _check(self) -> None:
        if self.refusal is not None:
            raise BusyError(self.refusal)

    async def _reload(self) -> ReloadAnswer:
        try:
            read = await self._reading.run(self._attempt)
        except NoAnswerError:
            why = f"cannot be read within {READ_SECONDS:.0f} s: a disk does not answer"
            read = _Refused([(self._configuration.place, why, "")], None)
        except Exception:
            # Of a mistake of ours nothing may come but this: neither a change nor the last reload.
            logger.exception("reading the configuration failed")
            read = _Refused([(self._configuration.place, FAILED, "")], None)
        if isinstance(read, _Refused):
            return self._refuse(read)
        async with self._switching:
            # It may have taken long to read.
            self._check()
            if read.changes:
                await self._put_in_force(read)
            self._configuration.accept(read.loaded, read.settings, read.restart)
        return self._tell(read)

    def _attempt(self) -> _Read | _Refused:
        """Read all that is to be read; blocking."""
        try:
            return self._read()
        except SettingsError as error:
            return _Refused(error.problems, self._configuration.source.look())

    def _read(self) -> _Read:
        """Raise SettingsError if any of it is bad."""
        running = self._configuration.settings
        loaded = self._configuration.source.load()
        self._configuration.check_path(loaded)
        settings = without_restart(running, loaded.settings)
        prepared = prepare(settings, self._parts.standing)
        changes = differences(running, settings) + self._altered_files(prepared)
        restart = [c for c in differences(running, loaded.settings) if needs_restart(c)]
        try:
            disk_bytes = self._parts.store.total_bytes()
        except OSError as error:
            why = f"{settings.cache.directory} cannot be used: {error.strerror}"
            raise SettingsError([("cache.directory", why, "")]) from error
        warnings = [*loaded.warnings, *self._configuration.other_sockets(loaded)]
        return _Read(loaded, settings, changes, restart, prepared, disk_bytes, warnings)

    def _altered_files(self, prepared: dict[str, Prepared]) -> list[Change]:
        """Return the settings of indexes whose file has other content under the same name."""
        standing = self._parts.standing
        return [
            Change(f"index.{name}.{key}")
            for name, one in prepared.items()
            if name in standing
            for key in standing[name].access.altered_files(one.access)
        ]

    async def _put_in_force(self, read: _Read) -> None:
        """Tell the ledger, then switch; LedgerError: neither was done."""
        await self._parts.tell_ledger(read.settings)
        # Nothing may come in between: what an old address says would be recorded as a new one's.
        old = self._configuration.settings
        switch(self._parts, old, read.settings, read.prepared, read.disk_bytes)
        self._configuration.settings = read.settings
        self._on_switched(read.settings.server)

    # ── telling ──────────────────────────────────────────────────────────────────────────────

    def _refuse(self, refused: _Refused) -> ReloadAnswer:
        self._configuration.refuse(refused.problems, refused.seen, self._now())
        for problem in refused.problems:
            event(logger, logging.ERROR, f"configuration refused: {describe(problem)}")
        return ReloadAnswer(problems=[ConfigProblem(*problem) for problem in refused.problems])

    def _tell(self, read: _Read) -> ReloadAnswer:
        loaded = read.loaded
        told = ", ".join(
            change.key if change.what == "changed" else f"{change.key} ({change.what})"
            for change in read.changes
        )
        event(logger, logging.INFO, f"configuration reloaded: {told or 'nothing changed'}")
        restart = self._configuration.needs_restart
        if restart:
            event(logger, logging.WARNING, f"needs a restart: {', '.join(restart)}")
        for warning in read.warnings:
            event(logger, logging.WARNING, warning)
        return ReloadAnswer(
            file=None if loaded.path is None else str(loaded.path),
            changed=[ReloadedKey(change.key, change.what) for change in read.changes],
            needs_restart=restart,
            warnings=read.warnings,
        )


def _log_failure(turn: asyncio.Task[ReloadAnswer]) -> None:
    """Log why nothing came of a reload whose caller has gone."""
    error = None if turn.cancelled() else turn.exception()
    if isinstance(error, PypicachedError):
        event(logger, logging.WARNING, str(error))
    elif error is not None:
        logger.error("a reload failed", exc_info=error)
