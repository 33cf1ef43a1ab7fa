"""The parts of a daemon, built from Settings and wired by constructor arguments, nothing else.

Parts get plain values and each other, never Settings. What must be closed is put on the stack as it
is made, so that it all unwinds backwards: files and pages before upstream connections, the ledger
last.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Set

from pypicached.cache.ageing import Ageing
from pypicached.cache.blobs import Blobs
from pypicached.cache.bringing import Bringing
from pypicached.cache.budget import Budget
from pypicached.cache.catalog import Catalog
from pypicached.cache.changes import Changes
from pypicached.cache.clearing import Clearing
from pypicached.cache.copying import Copying
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.eviction import Eviction
from pypicached.cache.files import Files
from pypicached.cache.fleet import Fleet
from pypicached.cache.gate import Gate
from pypicached.cache.listing import Listings
from pypicached.cache.memory import Memory
from pypicached.cache.observe import Observations
from pypicached.cache.pins import Pins
from pypicached.cache.project_list import ProjectLists
from pypicached.cache.pruning import Pruning
from pypicached.cache.quarantine import Quarantine
from pypicached.cache.recall import Recall
from pypicached.cache.recovery import count_stored
from pypicached.cache.rereading import Rereading
from pypicached.cache.store_pruning import StorePruning
from pypicached.cache.stored import StoredPage
from pypicached.cache.stored_files import StoredFiles
from pypicached.cache.verifying import Verifying
from pypicached.cache.worker import Worker
from pypicached.chain import Chain
from pypicached.errors import SettingsError, StartError, StoreError
from pypicached.explaining import Explaining
from pypicached.history import History
from pypicached.host import own
from pypicached.indexes import IndexBuilder, IndexParts, prepare
from pypicached.keeping import Keeping
from pypicached.ledger import Ledger
from pypicached.logs import event
from pypicached.operations import Operations
from pypicached.plain import (
    bucket_of,
    clients_of,
    index_rules_of,
    list_cache_control_of,
    manner_of,
    rules_of,
    terms_of,
)
from pypicached.settings import Settings
from pypicached.store import Bucket, LocalStore, open_bucket
from pypicached.store.disk import DiskPool
from pypicached.upstream import Connection, Offline, Retiring
from pypicached.warm.warming import Warming
from pypicached.web.admission import Admission
from pypicached.web.app import PublicApp
from pypicached.web.files import FileHandler
from pypicached.web.lists import ListPages
from pypicached.web.metrics import Metrics
from pypicached.web.people import PeoplePages
from pypicached.web.redirects import Manner, Redirects
from pypicached.web.simple import SimplePages
from pypicached.web.sweep import Sweep

logger = logging.getLogger(__name__)


class Assembly:
    """Builds and holds the parts of one daemon: state, then cache, then faces."""

    def __init__(
        self,
        settings: Settings,
        stack: contextlib.AsyncExitStack,
        configuration: Callable[[], Awaitable[list[str]]],
        notes: list[str],
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._configuration = configuration
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
        bucket = await self._open_bucket(disk)
        self.blobs = Blobs(self.store, self.ledger, budget, pins, shares=bucket is not None)
        self._bucket = bucket
        await count_stored(self.ledger, self.blobs)
        self.observations = Observations(self._now)
        self.clearing = Clearing(self.ledger)
        await self.tell_ledger(self._settings)
        quarantine = Quarantine(await self.ledger.pages.quarantined())
        self.gate = Gate(rules_of(self._settings.policy), quarantine, now=self._now)

    async def _open_bucket(self, disk: DiskPool) -> Bucket | None:
        """Open the store that is shared with others, if there is one; nothing is asked of it."""
        try:
            access = await disk.run(bucket_of, self._settings.store)
            if access is None:
                return None
            return await self._stack.enter_async_context(open_bucket(access, disk))
        except (SettingsError, StoreError) as error:
            raise StartError(f"[store.s3]: {error}") from error

    async def tell_ledger(self, settings: Settings) -> None:
        """Have the ledger forget what settings leave no place for. LedgerError: it did nothing."""
        addresses = {index.name: index.url for index in settings.indexes}
        moved, dropped = await self.ledger.take_in(addresses, settings.audit.keep)
        self.clearing.look()
        for name in moved:
            text = f"index {name} is now at another address: its pages are asked anew"
            event(logger, logging.WARNING, text, index=name)
        if dropped:
            text = f"[audit] keep is off: the records of who fetched what were removed ({dropped})"
            event(logger, logging.WARNING, text)

    def build_cache(self) -> None:
        """Build what answers for pages and files."""
        settings = self._settings
        prepared = prepare(settings, {})
        self.offline = Offline(on=settings.cache.offline)
        self.chain = Chain()
        # The current ones, by name in file order: all who look at them share this one mapping.
        self.connections: dict[str, Connection] = {}
        self.standing: dict[str, IndexParts] = {}
        self.retiring = Retiring(self._needs)
        self._stack.push_async_callback(self._close_connections)
        self.page_memory: Memory[tuple[str, str], StoredPage] = Memory(settings.cache.memory // 2)
        self.small_memory: Memory[str, bytes] = Memory(settings.cache.memory // 2)
        self.rereading = Rereading(self.ledger, self.blobs, self.observations, now=self._now)
        self._stack.push_async_callback(self.rereading.close)
        self.recall = Recall(now=self._now)
        rules = index_rules_of(settings)
        self.stored = StoredFiles(
            self.ledger,
            self.blobs,
            self.small_memory,
            self.gate,
            self.rereading,
            self.recall,
            self._may_answer,
        )
        self.decoded = DecodedPages()
        self.changes = Changes(
            self.ledger, self.stored, self.decoded, self.observations, now=self._now
        )
        worker = Worker(self.store)
        self.builder = IndexBuilder(
            ledger=self.ledger,
            store=self.store,
            gate=self.gate,
            offline=self.offline,
            chain=self.chain,
            memory=self.page_memory,
            decoded=self.decoded,
            changes=self.changes,
            observations=self.observations,
            worker=worker,
            may_answer=self._may_answer,
            now=self._now,
        )
        for index in settings.indexes:
            stands = self.builder.build(index, settings, prepared[index.name])
            self.standing[index.name] = stands
            self.connections[index.name] = stands.connection
        self._stack.push_async_callback(self._close_pages)
        pages = {name: stands.pages for name, stands in self.standing.items()}
        lists = {name: stands.lists for name, stands in self.standing.items()}
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
        self.fleet = None
        if self._bucket is not None:
            self.fleet = Fleet(self._bucket, self.ledger, self.blobs, self.rereading, self._now)
        self.files = Files(
            self.connections,
            Listings(self.catalog, self.gate, self.decoded, self.changes, now=self._now),
            self.stored,
            blobs=self.blobs,
            eviction=self.eviction,
            rereading=self.rereading,
            observations=self.observations,
            on_bytes=self.ledger.usage.count_received,
            shared=None if self.fleet is None else self.fleet.shared,
            now=self._now,
        )
        self._stack.push_async_callback(self.files.close)

    def redirects_by(self, manner: Manner | None) -> Redirects | None:
        """Return what sends clients to the shared store; None where there is none, or none go."""
        return None if self.fleet is None or manner is None else Redirects(self.fleet, manner)

    def _may_answer(self, index: str, project: str) -> bool:
        return self.catalog.may_answer(index, project)

    def _needs(self, connection: Connection) -> bool:
        return self.files.uses(connection)

    def forget_indexes(self, names: Set[str]) -> None:
        """Drop from memory what indexes said that are gone, or at another address."""
        if names >= self.standing.keys():
            self.page_memory.clear()
        else:
            self.page_memory.drop_where(lambda key: key[0] in names)
        self.decoded.drop_indexes(names)
        self.recall.forget(names)

    async def _close_pages(self) -> None:
        for stands in self.standing.values():
            await stands.pages.close()
            await stands.lists.close()

    async def _close_connections(self) -> None:
        await self.retiring.close()
        for connection in self.connections.values():
            await connection.close()

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
            configuration=self._configuration,
            notes=self._notes,
            fleet=self.fleet,
            now=self._now,
        )
        pruning = Pruning(self.ledger, self.blobs, self.catalog, self.lists, now=self._now)
        self.ageing = Ageing(pruning, settings.cache.prune_after, now=self._now)
        self.keeping = Keeping(
            ledger=self.ledger,
            pins=self.blobs.pins,
            pruning=pruning,
            verifying=Verifying(self.ledger, self.blobs),
            copying=Copying(self.ledger, self.blobs, self.eviction),
            indexes=self.connections,
            store_pruning=None if self._bucket is None else StorePruning(self._bucket, self.blobs),
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
        pages = SimplePages(self.catalog, usage, self.decoded, self.gate, now=self._now)
        metrics = Metrics(
            usage, self.blobs, self.files, self.observations, self.connections.values(), self.fleet
        )
        self.sweep = Sweep(clients=clients, head_seconds=settings.limits.request_head)
        self.list_pages = ListPages(
            self.lists, pages, usage, cache_control=list_cache_control_of(settings), now=self._now
        )
        self.file_handler = FileHandler(
            self.files,
            usage,
            self.ledger.audit,
            terms_of(settings),
            self.redirects_by(manner_of(settings.store)),
        )
        self.admission = Admission(clients_of(settings.server), self.chain)
        self.app = PublicApp(
            pages=pages,
            lists=self.list_pages,
            files=self.file_handler,
            people=PeoplePages(self.operations, metrics),
            metrics=metrics,
            audit=self.ledger.audit,
            indexes=self.connections,
            admission=self.admission,
            sweep=self.sweep,
            access_log=settings.server.access_log,
        )
        return self.app
