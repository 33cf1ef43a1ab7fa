"""The parts of a daemon, built from Settings and wired by constructor arguments, nothing else.

Parts get plain values and each other, never Settings. What must be closed is put on the stack as it
is made, so that it all unwinds backwards: files and pages before upstream connections, the ledger
last.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from pypicached.cache.ageing import Ageing
from pypicached.cache.blobs import Blobs
from pypicached.cache.bringing import Bringing
from pypicached.cache.budget import Budget
from pypicached.cache.catalog import Catalog
from pypicached.cache.changes import Changes
from pypicached.cache.copying import Copying
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.eviction import Eviction
from pypicached.cache.files import Files
from pypicached.cache.gate import Gate
from pypicached.cache.listing import Listings
from pypicached.cache.memory import Memory
from pypicached.cache.observe import Observations
from pypicached.cache.pages import Pages
from pypicached.cache.pins import Pins
from pypicached.cache.project_list import ListRefresh, ProjectLists
from pypicached.cache.pruning import Pruning
from pypicached.cache.quarantine import Quarantine
from pypicached.cache.recall import Recall
from pypicached.cache.recovery import count_stored
from pypicached.cache.refresh import Refresh
from pypicached.cache.renderer import Renderer
from pypicached.cache.rereading import Rereading
from pypicached.cache.serials import Serials
from pypicached.cache.stored import StoredPage
from pypicached.cache.stored_files import StoredFiles
from pypicached.cache.verifying import Verifying
from pypicached.cache.worker import Worker
from pypicached.credentials import Credentials
from pypicached.explaining import Explaining
from pypicached.history import History
from pypicached.host import own
from pypicached.keeping import Keeping
from pypicached.ledger import Kind, Ledger
from pypicached.logs import event
from pypicached.operations import Operations
from pypicached.ownership import may_answer
from pypicached.plain import (
    file_deadline_of,
    index_rules_of,
    limits_of,
    rules_of,
    times_of,
)
from pypicached.reach import build_reach
from pypicached.settings import Index, Settings
from pypicached.store import LocalStore
from pypicached.store.disk import DiskPool
from pypicached.upstream import Connection, Offline
from pypicached.warm.warming import Warming
from pypicached.web.admission import Admission
from pypicached.web.app import PublicApp
from pypicached.web.clients import Clients
from pypicached.web.files import FileHandler
from pypicached.web.lists import ListPages
from pypicached.web.metrics import Metrics
from pypicached.web.people import PeoplePages
from pypicached.web.simple import SimplePages
from pypicached.web.sweep import Sweep

logger = logging.getLogger(__name__)


class Assembly:
    """Builds and holds the parts of one daemon: state, then cache, then faces."""

    def __init__(
        self,
        settings: Settings,
        stack: contextlib.AsyncExitStack,
        notes: list[str],
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._stack = stack
        self._notes = notes
        self._now = now

    async def open_state(self) -> None:
        """Open store and ledger, and count what they hold. Raises LedgerError, StartError.

        The store comes first: where what a crash left in `tmp/` has filled the disk, the ledger
        could not be opened before that is gone.
        """
        cache = self._settings.cache
        disk = DiskPool()
        self._stack.callback(disk.close)
        self.store = LocalStore(cache.directory, disk)
        with own(cache.directory):
            left = self.store.prepare()
            total = self.store.total_bytes()
        if left:
            event(logger, logging.INFO, f"removed {left} unfinished downloads of the last run")
        self.ledger = await self._stack.enter_async_context(
            Ledger.open(cache.ledger, now=self._now)
        )
        for note in self.ledger.notes:
            event(logger, logging.WARNING, note)
        self._notes.extend(self.ledger.notes)
        budget = Budget(
            cache.max_size_bytes(total),
            min_free_bytes=cache.min_free_bytes(total),
            free_bytes=self.store.free_bytes,
            beside_bytes=lambda: self.store.directory_bytes,
        )
        pins = Pins(cache.ledger.with_name("pins.txt"), disk)
        await pins.read()
        for problem in pins.problems:
            event(logger, logging.WARNING, problem)
        self.blobs = Blobs(self.store, self.ledger, budget, pins)
        await count_stored(self.ledger, self.blobs)
        self.observations = Observations(self._now)
        for index in self._settings.indexes:
            if await self.ledger.pages.note_address(index.name, index.url):
                text = f"index {index.name} is now at another address: its pages are asked anew"
                event(logger, logging.WARNING, text, index=index.name)
        dropped = await self.ledger.audit.keep(self._settings.audit.keep)
        if dropped:
            text = f"[audit] keep is off: the records of who fetched what were removed ({dropped})"
            event(logger, logging.WARNING, text)
        quarantine = Quarantine(await self.ledger.pages.quarantined())
        self.gate = Gate(rules_of(self._settings.policy), quarantine, now=self._now)

    def build_cache(self) -> None:
        """Build what answers for pages and files."""
        settings = self._settings
        self.offline = Offline(on=settings.cache.offline)
        self.connections = {index.name: self._connection(index) for index in settings.indexes}
        memory: Memory[tuple[str, str], StoredPage] = Memory(settings.cache.memory // 2)
        small: Memory[str, bytes] = Memory(settings.cache.memory // 2)
        self.rereading = Rereading(self.ledger, self.blobs, self.observations, now=self._now)
        self._stack.push_async_callback(self.rereading.close)
        self.recall = Recall(now=self._now)
        rules = index_rules_of(settings)
        self.stored = StoredFiles(
            self.ledger,
            self.blobs,
            small,
            self.gate,
            self.rereading,
            self.recall,
            lambda index, project: may_answer(index, project, rules),
        )
        self.decoded = DecodedPages()
        self.changes = Changes(
            self.ledger, self.stored, self.decoded, self.observations, now=self._now
        )
        worker = Worker(self.store)
        pages = {i.name: self._pages(i, Refresh, memory, worker) for i in settings.indexes}
        lists = {i.name: self._pages(i, ListRefresh, memory, worker) for i in settings.indexes}
        self.catalog = Catalog(
            pages, rules, offline=self.offline, changes=lambda: self.ledger.files.changes
        )
        self.lists = ProjectLists(
            lists,
            worker,
            self.store,
            self.blobs.budget,
            rules,
            files=self.ledger.files,
            offline=self.offline,
            now=self._now,
        )
        with own(settings.cache.directory):
            self.lists.prepare()
        self._stack.push_async_callback(self.lists.close)
        self.eviction = Eviction(self.blobs, self.ledger)
        self.files = Files(
            self.connections,
            Listings(
                self.catalog, self.ledger, self.gate, self.decoded, self.changes, now=self._now
            ),
            self.stored,
            self.gate,
            blobs=self.blobs,
            eviction=self.eviction,
            rereading=self.rereading,
            observations=self.observations,
            on_bytes=self.ledger.usage.count_received,
            now=self._now,
        )
        self._stack.push_async_callback(self.files.close)

    def _connection(self, index: Index) -> Connection:
        credentials = Credentials(index)
        usage = self.ledger.usage

        def on_request(kind: Kind, outcome: str) -> None:
            usage.count_upstream(kind, index.name, outcome)

        connection = Connection(
            index.name,
            index.url,
            limits=limits_of(index, self._settings),
            authorization=credentials,
            reread=credentials.reread,
            on_request=on_request,
            reach=build_reach(index, self._settings.proxies),
            offline=self.offline,
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
        times = times_of(index, self._settings)
        pages = Pages(
            index.name,
            refresh(
                self.connections[index.name],
                self.ledger,
                disk=self.store.disk,
                worker=worker,
                observations=self.observations,
                quarantine=self.gate.quarantine,
                changes=self.changes,
                serials=Serials(times.ttl, self._now),
                on_bytes=lambda octets: usage.count_received("page", index.name, octets),
                now=self._now,
            ),
            self.ledger,
            memory=memory,
            renderer=Renderer(
                index.name,
                self.ledger,
                self.decoded,
                self.store.disk,
                self.gate,
                private=index.authentication != "none",
                ttl=times.ttl,
                now=self._now,
            ),
            times=times,
            offline=self.offline,
            now=self._now,
        )
        self._stack.push_async_callback(pages.close)
        return pages

    def build_faces(self, clients: int) -> PublicApp:
        """Build what commands ask and the public listener's handler."""
        settings, usage = self._settings, self.ledger.usage
        self.operations = Operations(
            ledger=self.ledger,
            blobs=self.blobs,
            files=self.files,
            connections=self.connections,
            offline=self.offline,
            gate=self.gate,
            observations=self.observations,
            notes=self._notes,
            now=self._now,
        )
        pruning = Pruning(self.ledger, self.blobs, self.catalog, self.lists, now=self._now)
        after = settings.cache.prune_after
        self.ageing = None if after is None else Ageing(pruning, after, now=self._now)
        self.keeping = Keeping(
            ledger=self.ledger,
            pins=self.blobs.pins,
            pruning=pruning,
            verifying=Verifying(self.ledger, self.blobs),
            copying=Copying(self.ledger, self.blobs, self.eviction),
            indexes=self.connections,
        )
        self.explaining = Explaining(self.catalog, self.decoded, self.gate, self.ledger)
        self.warming = Warming(
            self.catalog,
            self.decoded,
            self.gate,
            self.files,
            Bringing(self.files, self.blobs),
            self.ledger,
            self.blobs.pins,
            now=self._now,
        )
        self._stack.push_async_callback(self.warming.close)
        self.history = History(self.ledger)
        private = {i.name: i.authentication != "none" for i in settings.indexes}
        scope = "private" if any(private.values()) else "public"
        # A list of all indexes is fresh for no longer than each of them is (rule 36).
        list_ttl = min(times_of(index, settings).ttl for index in settings.indexes)
        server = settings.server
        allowed = Clients(trusted=server.trusted_proxies, allowed=server.allow_from)
        pages = SimplePages(self.catalog, usage, self.decoded, self.gate, now=self._now)
        metrics = Metrics(
            usage, self.blobs, self.files, self.observations, self.connections.values()
        )
        self.sweep = Sweep(clients=clients, head_seconds=settings.limits.request_head)
        return PublicApp(
            pages=pages,
            lists=ListPages(
                self.lists,
                pages,
                usage,
                cache_control=f"{scope}, max-age={int(list_ttl)}",
                now=self._now,
            ),
            files=FileHandler(
                self.files,
                usage,
                self.ledger.audit,
                private=private,
                cold_deadlines={i.name: file_deadline_of(i, settings) for i in settings.indexes},
            ),
            people=PeoplePages(self.operations, metrics),
            metrics=metrics,
            audit=self.ledger.audit,
            indexes=private,
            admission=Admission(allowed),
            sweep=self.sweep,
            access_log=settings.server.access_log,
        )
