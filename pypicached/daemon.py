"""The composition root: reads Settings, builds every part, starts, drains and stops them.

One stack unwinds backwards: requests drain first, the ledger closes last. Parts get plain values
and each other, never Settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import grp
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

from aiohttp import web

from pypicached import __version__, systemd
from pypicached.cache.blobs import Blobs
from pypicached.cache.budget import Budget
from pypicached.cache.catalog import Catalog
from pypicached.cache.eviction import Eviction
from pypicached.cache.files import Files
from pypicached.cache.listing import Listings
from pypicached.cache.memory import Memory
from pypicached.cache.observe import Observations
from pypicached.cache.pages import Pages
from pypicached.cache.project_list import ListRefresh, ProjectLists
from pypicached.cache.pruning import Pruning
from pypicached.cache.recovery import adopt_orphans, count_stored
from pypicached.cache.refresh import Refresh
from pypicached.cache.stored import StoredPage, Times
from pypicached.cache.stored_files import StoredFiles
from pypicached.cache.worker import Worker
from pypicached.control.app import build_app
from pypicached.credentials import Credentials
from pypicached.errors import LedgerError, StartError
from pypicached.host import (
    bind_tcp,
    bind_unix,
    lock_directory,
    make_directory,
    raise_descriptor_limit,
)
from pypicached.ledger import Kind, Ledger
from pypicached.logs import event
from pypicached.operations import Operations
from pypicached.ownership import IndexRule
from pypicached.settings import Index, Settings, split_listen
from pypicached.store import LocalStore
from pypicached.store.disk import DiskPool
from pypicached.upstream import Connection, Limits
from pypicached.web.app import PublicApp
from pypicached.web.files import FileHandler
from pypicached.web.lists import ListPages
from pypicached.web.metrics import Metrics
from pypicached.web.people import PeoplePages
from pypicached.web.simple import SimplePages
from pypicached.web.sweep import Sweep

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
# Longer than a reverse proxy keeps its side (nginx: 60 s), so that it never sends into a close.
KEEPALIVE_SECONDS = 75.0
# What is left of a transfer after the drain gets this long to notice that it is over.
CLOSE_SECONDS = 1.0
# The group whose members may use the system's control socket (PRODUCT.md section 3).
GROUP = "pypicached"


class Daemon:
    """Everything that runs, built from one Settings; used once."""

    def __init__(
        self,
        settings: Settings,
        notes: list[str],
        *,
        now: Callable[[], float] = time.time,
        on_ready: Callable[[list[str]], None] = lambda _listeners: None,
    ) -> None:
        self._settings = settings
        self._notes = notes
        self._now = now
        self._on_ready = on_ready
        self._stack = contextlib.AsyncExitStack()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Start, serve until a signal, stop in order. Raises StartError, LedgerError."""
        faulthandler.enable()
        async with self.running():
            self._catch_signals()
            systemd.notify(f"READY=1\nSTATUS=serving on {', '.join(self.operations.listeners)}")
            self._on_ready(self.operations.listeners)
            await self._stop.wait()
            systemd.notify("STOPPING=1")
            event(logger, logging.INFO, "stopping")
            await self._drain()
        event(logger, logging.INFO, "stopped")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything; at the end stop it, without a drain."""
        async with self._stack:
            await self._start()
            yield

    # ── building ─────────────────────────────────────────────────────────────────────────────

    async def _start(self) -> None:
        clients = self._prepare_host()
        await self._build_state()
        self._build_cache()
        await self._listen(self._build_faces(clients))

    def _prepare_host(self) -> int:
        """Take the directories; return how many clients the host allows."""
        cache, server = self._settings.cache, self._settings.server
        make_directory(cache.directory, "cache directory")
        make_directory(cache.ledger.parent, "directory of the ledger")
        if not server.control_socket.parent.is_dir():
            make_directory(server.control_socket.parent, "directory of the control socket")
        for directory in {cache.directory.resolve(), cache.ledger.parent.resolve()}:
            self._stack.callback(os.close, lock_directory(directory))
        clients = raise_descriptor_limit(self._settings.limits.clients)
        if clients < self._settings.limits.clients:
            self._notes.append(f"the limit of open files allows only {clients} clients")
        return clients

    async def _build_state(self) -> None:
        cache = self._settings.cache
        self.ledger = await self._stack.enter_async_context(
            Ledger.open(cache.ledger, now=self._now)
        )
        for note in self.ledger.notes:
            event(logger, logging.WARNING, note)
        self._notes.extend(self.ledger.notes)
        disk = DiskPool()
        self._stack.callback(disk.close)
        self.store = LocalStore(cache.directory, disk)
        left = self.store.prepare()
        if left:
            event(logger, logging.INFO, f"removed {left} unfinished downloads of the last run")
        total = self.store.total_bytes()
        self.budget = Budget(
            cache.max_size_bytes(total),
            min_free_bytes=cache.min_free_bytes(total),
            free_bytes=self.store.free_bytes,
        )
        self.blobs = Blobs(self.store, self.ledger, self.budget)
        await count_stored(self.ledger, self.blobs)
        self.observations = Observations(self._now)

    def _build_cache(self) -> None:
        settings = self._settings
        self.connections = {index.name: self._connection(index) for index in settings.indexes}
        memory: Memory[tuple[str, str], StoredPage] = Memory(settings.cache.memory // 2)
        worker = Worker(self.store)
        pages = {i.name: self._pages(i, Refresh, memory, worker) for i in settings.indexes}
        lists = {i.name: self._pages(i, ListRefresh, memory, worker) for i in settings.indexes}
        rules = [IndexRule(i.name, tuple(i.projects), tuple(i.exclude)) for i in settings.indexes]
        self.catalog = Catalog(pages, rules)
        self.lists = ProjectLists(lists, worker, self.store, self.budget)
        self.lists.prepare()
        self._stack.push_async_callback(self.lists.close)
        eviction = Eviction(self.blobs, self.ledger)
        self.files = Files(
            self.connections,
            Listings(self.catalog, self.ledger, now=self._now),
            StoredFiles(self.ledger, self.blobs, Memory(settings.cache.memory // 2)),
            blobs=self.blobs,
            eviction=eviction,
            observations=self.observations,
            on_bytes=self.ledger.usage.count_received,
            now=self._now,
        )
        self._stack.push_async_callback(self.files.close)
        self._background(eviction.run(), "eviction")
        self._background(adopt_orphans(self.ledger, self.blobs), "adoption of orphans")
        self._background(self._flush(), "flush of counters")

    def _connection(self, index: Index) -> Connection:
        limits = self._settings.limits
        credentials = Credentials(index)
        usage = self.ledger.usage

        def on_request(kind: Kind, outcome: str) -> None:
            usage.count_upstream(kind, index.name, outcome)

        tls: ssl.SSLContext | bool = True
        if index.ca_file is not None:
            try:
                tls = ssl.create_default_context(cafile=str(index.ca_file))
            except (OSError, ssl.SSLError) as error:
                raise StartError(f"index {index.name}: cannot use its ca_file: {error}") from error
        connection = Connection(
            index.name,
            index.url,
            limits=Limits(
                connect_seconds=index.connect_timeout,
                idle_seconds=index.timeout,
                page_bytes=limits.page_size,
                metadata_bytes=limits.metadata_size,
            ),
            authorization=credentials,
            reread=credentials.reread,
            on_request=on_request,
            tls=tls,
            now=self._now,
        )
        self._stack.push_async_callback(connection.close)
        return connection

    def _pages(
        self,
        index: Index,
        refresh: type[Refresh],
        memory: Memory[tuple[str, str], StoredPage],
        worker: Worker,
    ) -> Pages:
        usage = self.ledger.usage
        pages = Pages(
            index.name,
            refresh(
                self.connections[index.name],
                self.ledger,
                disk=self.store.disk,
                worker=worker,
                observations=self.observations,
                on_bytes=lambda octets: usage.count_received("page", index.name, octets),
                now=self._now,
            ),
            self.ledger,
            memory=memory,
            disk=self.store.disk,
            times=self._times(index),
            private=index.authentication != "none",
            now=self._now,
        )
        self._stack.push_async_callback(pages.close)
        return pages

    def _times(self, index: Index) -> Times:
        cache = self._settings.cache
        return Times(
            ttl=cache.page_ttl if index.ttl is None else index.ttl,
            negative_ttl=cache.negative_ttl,
            stale_while_revalidate=cache.stale_while_revalidate,
            stale_if_error=cache.stale_if_error,
            page_deadline=cache.page_deadline,
            cold_deadline=cache.cold_deadline,
        )

    def _build_faces(self, clients: int) -> PublicApp:
        settings, usage = self._settings, self.ledger.usage
        self.operations = Operations(
            ledger=self.ledger,
            blobs=self.blobs,
            files=self.files,
            pruning=Pruning(self.ledger, self.blobs, self.catalog, self.lists, now=self._now),
            connections=self.connections,
            observations=self.observations,
            notes=self._notes,
            now=self._now,
        )
        private = {i.name: i.authentication != "none" for i in settings.indexes}
        scope = "private" if any(private.values()) else "public"
        pages = SimplePages(self.catalog, usage, now=self._now)
        metrics = Metrics(usage, self.blobs, self.files, self.observations)
        self.sweep = Sweep(clients=clients, head_seconds=settings.limits.request_head)
        return PublicApp(
            pages=pages,
            lists=ListPages(
                self.lists,
                pages,
                usage,
                cache_control=f"{scope}, max-age={int(settings.cache.page_ttl)}",
                now=self._now,
            ),
            files=FileHandler(
                self.files,
                usage,
                private=private,
                cold_deadlines=dict.fromkeys(private, settings.cache.cold_deadline),
            ),
            people=PeoplePages(self.operations, metrics),
            metrics=metrics,
            indexes=private,
            sweep=self.sweep,
            access_log=settings.server.access_log,
        )

    # ── listening ────────────────────────────────────────────────────────────────────────────

    async def _listen(self, app: PublicApp) -> None:
        """Bind everything before the first answer; control first, public last."""
        control = bind_unix(self._settings.server.control_socket, 0o660)
        self._stack.callback(self._settings.server.control_socket.unlink, missing_ok=True)
        public = [bound for text in self._settings.server.listen for bound in self._bind(text)]
        if not public:
            raise StartError("none of the addresses in [server] listen can be used on this host")
        gid = _group_id()
        if gid is not None:
            with contextlib.suppress(PermissionError):
                os.chown(self._settings.server.control_socket, -1, gid)
        runner = web.AppRunner(build_app(self.operations, readers_gid=gid), access_log=None)
        await self._serve(runner, [control])
        server = web.Server(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            max_field_size=16 * 1024,
            logger=logging.getLogger("pypicached.http"),
        )
        self._app, self._server = app, server
        self._public_runner = web.ServerRunner(server, shutdown_timeout=CLOSE_SECONDS)
        await self._serve(self._public_runner, public)
        self._background(self.sweep.run(server), "sweep of connections")
        interval = systemd.watchdog_seconds()
        if interval is not None:
            self._background(_feed_watchdog(interval / 2), "watchdog")
        self.operations.listeners = [_address(bound) for bound in public]
        where = ", ".join(self.operations.listeners)
        event(logger, logging.INFO, f"pypicached {__version__} serves on {where}")

    def _bind(self, text: str) -> list[socket.socket]:
        where = split_listen(text)
        if isinstance(where, Path):
            bound: socket.socket | None = bind_unix(where, 0o666)
            self._stack.callback(where.unlink, missing_ok=True)
        else:
            bound = bind_tcp(*where)
        return [] if bound is None else [bound]

    async def _serve(self, runner: web.BaseRunner, bound: list[socket.socket]) -> None:
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        for one in bound:
            await web.SockSite(runner, one, backlog=1024).start()

    # ── running and stopping ─────────────────────────────────────────────────────────────────

    def _background(self, work: Coroutine[None, None, object], name: str) -> None:
        """Run something beside the requests until the stack unwinds; its end by error is told."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(_report)
        self._stack.push_async_callback(_cancel, task)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.ledger.usage.flush()
            except LedgerError as error:
                self.observations.failed("ledger", str(error))
                event(logger, logging.ERROR, str(error))

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        """The first signal stops in order, the second one at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _drain(self) -> None:
        """Accept nothing new, and let running answers end for as long as `drain` allows."""
        self._app.draining = True
        for site in list(self._public_runner.sites):
            await site.stop()
        self._sweep_idle()
        until = time.monotonic() + self._settings.server.drain
        while self._app.active and time.monotonic() < until and not self._hurry.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), 0.05)
        if self._app.active:
            event(logger, logging.WARNING, f"cut off {self._app.active} running answers")

    def _sweep_idle(self) -> None:
        self.sweep.close_idle(self._server.connections)


async def _feed_watchdog(seconds: float) -> None:
    while True:
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(seconds)


async def _cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


def _report(task: asyncio.Task[object]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.critical("%s ended unexpectedly", task.get_name(), exc_info=task.exception())


def _group_id() -> int | None:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def _address(bound: socket.socket) -> str:
    """Return a listener as a client writes it."""
    name = bound.getsockname()
    if bound.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if bound.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"
