"""The daemon's life: takes its directories, starts the parts, listens, drains, stops.

One stack unwinds backwards: requests drain first, the ledger closes last. What the parts are, and
what they get, is `assembly`.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import itertools
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

from aiohttp import web

from pypicached import __version__, dropins, reporting, systemd
from pypicached.assembly import Assembly
from pypicached.cache.recovery import reconcile
from pypicached.configuration import Configuration
from pypicached.control.app import Services, build_app
from pypicached.ending import AFTER_DRAIN_SECONDS, HURRIED_SECONDS
from pypicached.errors import LedgerError
from pypicached.host import lock_directory, make_directory, raise_descriptor_limit
from pypicached.listening import (
    LONGEST_QUEUE,
    address_of,
    find_group,
    open_control,
    open_public,
    take_handed,
)
from pypicached.logs import event
from pypicached.reloading import STARTING, STOPPING, Reloading
from pypicached.settings import Loaded, Server, Settings, Source, split_listen
from pypicached.upstream import Probing
from pypicached.web.admission import describe_open
from pypicached.web.app import PublicApp, PublicServer
from pypicached.web.draining import drain

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
# 1,000 remembered 404s go each time: more than upstream can be asked for in between.
FORGET_TICKS = 6
# Longer than a reverse proxy keeps its side (nginx: 60 s), so that it never sends into a close.
KEEPALIVE_SECONDS = 75.0
# What is left of a transfer or a command after the drain gets this long to notice that it is over;
# aiohttp waits it twice, before and after it cancels, and by itself would wait for a minute.
CLOSE_SECONDS = 0.2
# Connections that are accepted in one go, and for sockets of our own the kernel's queue.
BACKLOG = 1024


class Daemon:
    """Everything that runs, built from one Settings; used once."""

    def __init__(
        self,
        loaded: Loaded,
        source: Source,
        *,
        now: Callable[[], float] = time.time,
        configure_logs: Callable[[Server], None] = lambda _server: None,
        on_ready: Callable[[list[str]], None] = lambda _listeners: None,
        end_within: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self.configuration = Configuration(loaded, source)
        self._notes: list[str] = []
        self._now = now
        self._configure_logs = configure_logs
        self._on_ready = on_ready
        # Told how long the process may take from now on, whatever hangs.
        self._end_within = end_within
        self._stack = contextlib.AsyncExitStack()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._states = systemd.Outbox()
        self.reloading: Reloading | None = None

    @property
    def _settings(self) -> Settings:
        return self.configuration.settings

    async def run(self) -> None:
        """Start, serve until a signal, stop in order. Raises StartError, LedgerError."""
        faulthandler.enable()
        # First of all: its default action would end a daemon that was meant to reload.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)
        async with self.running():
            self._catch_signals()
            # Modules and parts stay till the end. Walking them again took a full collection 20 ms.
            gc.collect()
            gc.freeze()
            self._states.put(reporting.ready(self.parts.operations.listeners))
            report = self._background(self._reporting().run(), "report to the service manager")
            self._on_ready(self.parts.operations.listeners)
            await self._stop.wait()
            self._refuse_reloads()
            report.cancel()
            limit = self._settings.server.drain
            self._states.put(reporting.stopping(limit))
            event(logger, logging.INFO, "stopping")
            await drain(self._app, self._public_runner, self._hurry, limit, reporting.Draining())
            reporting.stopped_serving()
            self._end_within(HURRIED_SECONDS if self._hurry.is_set() else AFTER_DRAIN_SECONDS)
        event(logger, logging.INFO, "stopped")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything; at the end stop it, without a drain."""
        async with self._stack:
            await self._start()
            yield

    # ── starting ─────────────────────────────────────────────────────────────────────────────

    async def _start(self) -> None:
        self._background(self._states.run(), "states for the service manager")
        self._handed = take_handed(systemd.listen_fds(), self._stack)
        self.configuration.handed = self._handed
        clients = self._prepare_host()
        parts = self.parts = Assembly(
            self._settings, self._stack, self.configuration.problems, self._notes, self._now
        )
        await parts.open_state()
        parts.build_cache()
        self._background(parts.eviction.run(), "eviction")
        comparison = reconcile(parts.ledger, parts.blobs)
        self._comparing = self._background(comparison, "comparison of ledger and disk")
        self._background(parts.clearing.run(), "removal of pages of where indexes were")
        self._background(parts.rereading.run(), "reading of what was sent")
        self._background(parts.recall.run(parts.catalog.look), "looking for what was withdrawn")
        if parts.fleet is not None:
            self._background(parts.fleet.uploads.run(), "uploads to the shared store")
            renewal = parts.fleet.renewing.run()
            self._background(renewal, "renewal of what is in the shared store")
        self._background(self._flush(), "flush of counters")
        self._background(Probing(parts.connections.values()).run(), "probes of failing upstreams")
        app = parts.build_faces(clients)
        self.reloading = Reloading(
            self.configuration,
            parts,
            on_switched=self._on_switched,
            tell_manager=self._states.put,
            now=self._now,
        )
        self._background(parts.ageing.run(), "dropping of what is unused")
        self._background(parts.retiring.run(), "closing of connections that were replaced")
        await self._listen(app, self.reloading)
        self._background(self.reloading.run(), "reloads by a signal")
        self._stack.push_async_callback(self.reloading.close)
        self.reloading.refusal = None

    def _prepare_host(self) -> int:
        """Take the directories; return how many clients the host allows."""
        cache, server = self._settings.cache, self._settings.server
        size_bytes = cache.ledger.stat().st_size if cache.ledger.exists() else 0
        self._states.put(reporting.starting(size_bytes))
        for directory, what in (
            (cache.directory, "cache directory"),
            (cache.ledger.parent, "directory of the ledger"),
        ):
            make_directory(directory, what, remedy=_remedy(directory))
        if self._handed.control is None and not server.control_socket.parent.is_dir():
            make_directory(server.control_socket.parent, "directory of the control socket")
        for directory in {cache.directory.resolve(), cache.ledger.parent.resolve()}:
            self._stack.callback(os.close, lock_directory(directory))
        return raise_descriptor_limit(self._settings.limits.clients)

    # ── listening ────────────────────────────────────────────────────────────────────────────

    async def _listen(self, app: PublicApp, reloading: Reloading) -> None:
        """Bind everything before the first answer; control first, public last."""
        server = self._settings.server
        gid = find_group()
        control = open_control(server.control_socket, self._handed, gid, self._stack)
        public = open_public(map(split_listen, server.listen), self._handed, self._stack)
        runner = web.AppRunner(
            build_app(
                Services(
                    operations=self.parts.operations,
                    keeping=self.parts.keeping,
                    explaining=self.parts.explaining,
                    history=self.parts.history,
                    warming=self.parts.warming,
                    reload=reloading.reload,
                ),
                readers_gid=gid,
            ),
            access_log=None,
            shutdown_timeout=CLOSE_SECONDS,
        )
        await self._serve(runner, [control])
        public_server = PublicServer(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            max_field_size=16 * 1024,
            # No body of a request means anything here: none is worth unpacking.
            auto_decompress=False,
            logger=logging.getLogger("pypicached.http"),
        )
        self._app = app
        self._public_runner = web.ServerRunner(public_server, shutdown_timeout=CLOSE_SECONDS)
        await self._serve(self._public_runner, public)
        self._background(self.parts.sweep.run(public_server), "sweep of connections")
        interval = systemd.watchdog_seconds()
        if interval is not None:
            self._background(reporting.feed_watchdog(interval), "watchdog")
        self.parts.operations.listeners = [address_of(bound) for bound in public]
        self._note_hosting()
        for note in self.configuration.other_sockets():
            event(logger, logging.WARNING, note)
        where = ", ".join(self.parts.operations.listeners)
        event(logger, logging.INFO, f"pypicached {__version__} serves on {where}")

    def _note_hosting(self) -> None:
        """Say where the settings in force and this host do not go together."""
        settings, found = self._settings, []
        clients = self.parts.sweep.clients
        if clients < settings.limits.clients:
            found.append(f"the limit of open files allows only {clients} clients")
        private = [i.name for i in settings.indexes if i.authentication != "none"]
        listeners = [] if settings.server.allow_from else self.parts.operations.listeners
        problem = describe_open(listeners, private)
        if problem is not None:
            found.append(problem)
        for note in found:
            if note not in self.configuration.notes:
                event(logger, logging.WARNING, note)
        self.configuration.notes = found

    def _on_switched(self, server: Server) -> None:
        self._configure_logs(server)
        self._note_hosting()

    async def _serve(self, runner: web.BaseRunner, bound: list[socket.socket]) -> None:
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        for one in bound:
            await web.SockSite(runner, one, backlog=BACKLOG).start()
            if one in (*self._handed.public, self._handed.control):
                one.listen(LONGEST_QUEUE)

    # ── running and stopping ─────────────────────────────────────────────────────────────────

    def _reporting(self) -> reporting.Reporting:
        parts = self.parts
        return reporting.Reporting(
            operations=parts.operations,
            connections=parts.connections,
            offline=parts.offline,
            budget=parts.blobs.budget,
            files=parts.files,
            is_comparing=lambda: not self._comparing.done(),
        )

    def _background(self, work: Coroutine[None, None, object], name: str) -> asyncio.Task[object]:
        """Run something beside the requests until the stack unwinds; its end by error is told."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(_report)
        self._stack.push_async_callback(_cancel, task)
        return task

    async def _flush(self) -> None:
        """Write what was gathered, and forget absence that has run out, and what is too old."""
        ledger = self.parts.ledger
        told = False
        for tick in itertools.count(1):
            await asyncio.sleep(FLUSH_SECONDS)
            lost = ledger.lost()
            if lost is not None and not told:
                event(logger, logging.ERROR, lost)
            told = lost is not None
            try:
                await ledger.usage.flush()
                if tick % FORGET_TICKS == 0:
                    lasts = self._settings.cache.negative_ttl
                    await ledger.pages.drop_absent(self._now() - lasts)
                    await ledger.audit.drop_old()
            except LedgerError as error:
                self.parts.observations.failed("ledger", str(error))
                event(logger, logging.ERROR, str(error))

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def _on_hangup(self) -> None:
        if self.reloading is None:
            event(logger, logging.WARNING, STARTING)
        else:
            self.reloading.want()

    def _refuse_reloads(self) -> None:
        if self.reloading is not None:
            self.reloading.refusal = STOPPING

    def _on_signal(self) -> None:
        """The first signal stops in order, the second one at once."""
        if self._stop.is_set():
            self._hurry.set()
            self._end_within(HURRIED_SECONDS)
        self._stop.set()


async def _cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


def _report(task: asyncio.Task[object]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.critical("%s ended unexpectedly", task.get_name(), exc_info=task.exception())


def _remedy(directory: Path) -> str:
    """Return what to do about a directory that cannot be written, if the sandbox is why."""
    if not systemd.is_service() or dropins.is_writable(directory):
        return ""
    command = dropins.write_below(directory).command_line
    return f"the sandbox of {dropins.SERVICE_UNIT} does not let it; as root, run: {command}"
