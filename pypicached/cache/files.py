"""Files of all indexes: hit, join a running download, or lead a new one.

A hit asks no page and no upstream. A miss is looked up on its project's page, linked if its bytes
are here already under another name, else downloaded by one owner task, whoever asks.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import msgspec

from pypicached.cache.blobs import Blobs
from pypicached.cache.committing import Committing
from pypicached.cache.digests import Expected, matches
from pypicached.cache.download import Download, Miss
from pypicached.cache.eviction import Eviction
from pypicached.cache.flight import Flights, to_the_end
from pypicached.cache.listing import Listings
from pypicached.cache.making import Making
from pypicached.cache.memory import Memory
from pypicached.cache.observe import Observations
from pypicached.cache.passthrough import STREAMS, PassThrough
from pypicached.cache.rereading import Rereading
from pypicached.cache.shared import Shared
from pypicached.cache.sidecars import SIDECAR, has_sidecar, url_of
from pypicached.cache.source import Source
from pypicached.cache.stored_files import FileKey, Hit, StoredFiles
from pypicached.cache.transfer import Arrived, Transfer
from pypicached.errors import (
    FileGoneError,
    FileNotListedError,
    NeverFitsError,
    NotFoundError,
    PypicachedError,
    RefusedError,
    StoppingError,
    UpstreamAnswerError,
    UpstreamDeniedError,
    VerificationError,
)
from pypicached.ledger import Kind
from pypicached.logs import event
from pypicached.simple.model import ProjectFile
from pypicached.upstream import Connection, MayAsk, head_length

logger = logging.getLogger(__name__)

# A bound for a memory of keys: some hundreds of them.
MAX_UNFIT_BYTES = 512 * 1024


class Files:
    """All files. Single-threaded; any number of requests."""

    def __init__(
        self,
        connections: Mapping[str, Connection],
        listings: Listings,
        stored: StoredFiles,
        *,
        blobs: Blobs,
        eviction: Eviction,
        rereading: Rereading,
        observations: Observations,
        on_bytes: Callable[[Kind, str, int], None],
        shared: Shared | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.stored = stored
        self._shared = shared
        self._connections = connections
        self._listings = listings
        self._blobs = blobs
        self._eviction = eviction
        self._observations = observations
        self._on_bytes = on_bytes
        self._committing = Committing(blobs, listings, rereading, observations, now)
        self._flights: Flights[FileKey, None] = Flights()
        # A key is here exactly as long as its flight runs.
        self._running: dict[FileKey, Miss] = {}
        self._turn = asyncio.Semaphore(STREAMS)
        # Files of unknown length that turned out not to fit: streamed through from then on.
        self._unfit: Memory[FileKey, str] = Memory(MAX_UNFIT_BYTES)
        self._making = Making(stored, blobs.store.disk, self.open, on_bytes, shared)

    @property
    def downloads(self) -> list[Download]:
        """The downloads that are running now."""
        return [miss.download for miss in self._running.values()]

    def uses(self, connection: Connection) -> bool:
        """Whether a running download may yet ask over a connection."""
        return any(miss.download.source.connection is connection for miss in self._running.values())

    def reconsider(self) -> None:
        """Other settings are in force: what was too large may fit, others may own what is here.

        A download that is not to be handed out any more ends, unless a reader has begun to get it.
        """
        self._unfit.clear()
        self.stored.forget_all()
        self._flights.cancel(self._give_up)

    def _give_up(self, key: FileKey) -> bool:
        """Tell the readers of a running download that nobody may have it by now, if so it is."""
        miss = self._running.get(key)
        if miss is None or miss.download.flowing or miss.download.sha256 is not None:
            return False
        try:
            self.check(key, miss)
        except (FileNotListedError, RefusedError) as error:
            miss.download.failed(error)
            return True
        return False

    async def close(self) -> None:
        """Cancel running downloads, whose readers are told; what is verified is still kept."""
        await self._flights.close()

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    async def open(self, key: FileKey) -> Hit | Miss:
        """Return the file, stored or on its way.

        Raises FileNotListedError, UpstreamError; what a download fails with is raised to its
        readers, NoRoomError among them: then `pass_through` is the way.
        """
        while True:
            hit = await self.stored.find(key)
            if hit is not None:
                return hit
            joined = self._join(key)
            if joined is not None:
                return joined
            project, entry = await self.describe(key)
            source = self._source(key, project, entry)
            if await self._committing.link(key, project, entry, source.expected):
                hit = await self.stored.get(key)
                if hit is not None:
                    return hit
            joined = self._join(key)  # others may have come this far meanwhile
            if joined is not None:
                return joined
            stands = source.connection is self._connections.get(key.index)
            if stands and key not in self._running:
                return self._lead(key, project, entry, source)
            # Overtaken by a reload: the index is reached in another way, or no more; or what it
            # gave up is just being cleared away.
            await self._flights.landed(key)

    def check(self, key: FileKey, miss: Miss) -> None:
        """Raise if a file on its way is not to be handed out by now.

        FileNotListedError, RefusedError.
        """
        self._listings.check(key.index, miss.project, miss.entry)

    def release(self, key: FileKey, miss: Miss) -> None:
        """As `check`, right before a first byte leaves: from then on its download goes on."""
        self.check(key, miss)
        miss.download.flowing = True

    def _join(self, key: FileKey) -> Miss | None:
        """Return the running download of a file; None if there is none that may come to anything.

        Raises FileNotListedError, RefusedError.
        """
        running = self._running.get(key)
        if running is None or running.download.error is not None:
            return None
        self.check(key, running)
        running.download.attach()
        return Miss(running.project, running.entry, running.download, leading=False)

    async def describe(self, key: FileKey) -> tuple[str, ProjectFile]:
        """Return (project, page entry) of a file.

        Raises FileNotListedError, RefusedError, UpstreamError.
        """
        project, entry = await self._listings.find(key.index, key.path)
        if key.kind == "metadata" and not has_sidecar(entry):
            raise FileNotListedError("that file is no wheel, and its index offers no metadata")
        return project, entry

    def pass_through(self, key: FileKey, miss: Miss) -> PassThrough:
        """Return a stream of the file for one client, kept by nobody."""
        download = miss.download
        kind, index = download.source.kind, download.source.connection.name
        may_ask = self._asking(key, miss.project, miss.entry)
        return PassThrough(
            msgspec.structs.replace(download.source, may_ask=may_ask),
            reason=str(download.error),
            turn=self._turn,
            on_bytes=lambda octets: self._on_bytes(kind, index, octets),
            on_failure=lambda error: self._observations.download_failed(download.filename, error),
        )

    async def describe_length(self, key: FileKey) -> tuple[str, int | None, str | None]:
        """Return (project, length, sha256) of a file that is not stored, without its body."""
        project, entry = await self.describe(key)
        source = self._source(key, project, entry)
        length = source.expected.size
        if length is None:
            head = functools.partial(
                head_length, source.connection, source.kind, may_ask=source.may_ask
            )
            length = await self._length_of_shared(source) or await source.ask(head)
        self._listings.check(key.index, project, entry)
        return project, length, source.expected.hashes.get("sha256")

    async def _length_of_shared(self, source: Source) -> int | None:
        """Return how long a file is of which the shared store has the bytes."""
        sha256 = source.expected.hashes.get("sha256")
        return None if self._shared is None or not sha256 else await self._shared.length_of(sha256)

    async def landed(self, key: FileKey) -> None:
        """Return once a file that was on its way has been kept or given up."""
        await self._flights.landed(key)

    async def metadata_of_stored(
        self, key: FileKey, project: str, entry: ProjectFile
    ) -> bytes | None:
        """Return core metadata as a stored wheel has it, None if there is none; nobody is asked."""
        wheels = self._source(FileKey(key.index, key.path, "file"), project, entry)
        return await self._making.from_stored(key, entry, wheels)

    def in_use(self, sha256: str) -> AbstractContextManager[None]:
        """Hold a blob against eviction while it is sent."""
        return self._blobs.in_use(sha256)

    def _source(self, key: FileKey, project: str, entry: ProjectFile) -> Source:
        connection = self._connections.get(key.index)
        if connection is None:
            raise FileNotListedError("there is no index of that name")
        if key.kind == "file":
            expected = Expected(size=entry.size, hashes=entry.hashes)
        else:
            hashes = entry.core_metadata if isinstance(entry.core_metadata, dict) else {}
            expected = Expected(hashes=hashes, limit_bytes=connection.limits.metadata_bytes)

        async def renew() -> str:
            return url_of(key.kind, await self._listings.current(key.index, project, key.path))

        may_ask = self._asking(key, project, entry)
        return Source(connection, key.kind, url_of(key.kind, entry), expected, may_ask, renew=renew)

    def _asking(
        self, key: FileKey, project: str, entry: ProjectFile, download: Download | None = None
    ) -> MayAsk:
        """Return what is asked right before each request for a file.

        The index is not to be told of a name that it has lost meanwhile, nor a file to come that
        is refused. What flows to a reader is fetched to its end all the same.
        """

        def may_ask() -> bool:
            try:
                self._listings.check(key.index, project, entry)
            except (FileNotListedError, RefusedError):
                if download is None or not download.flowing:
                    raise
                return False
            return True

        return may_ask

    # ── downloading ──────────────────────────────────────────────────────────────────────────

    def _lead(self, key: FileKey, project: str, entry: ProjectFile, source: Source) -> Miss:
        self._listings.check(key.index, project, entry)
        suffix = SIDECAR if key.kind == "metadata" else ""
        download = Download(entry.filename + suffix, source)
        may_ask = self._asking(key, project, entry, download)
        download.source = msgspec.structs.replace(source, may_ask=may_ask)
        download.attach()  # the owner's
        download.attach()  # this request's
        miss = Miss(project, entry, download, leading=True)
        self._running[key] = miss
        flight, _ = self._flights.join(key, lambda: self._bring(key, project, entry, download))
        # One that is cancelled before its first step comes to no end of its own.
        flight.add_done_callback(lambda _: self._ended(key, download))
        return miss

    def _ended(self, key: FileKey, download: Download) -> None:
        running = self._running.get(key)
        if running is not None and running.download is download:
            del self._running[key]
            download.detach()

    async def _bring(
        self, key: FileKey, project: str, entry: ProjectFile, download: Download
    ) -> None:
        """The owner task: receive, release to the readers, commit."""
        try:
            self._check_fits(key)
            if key.kind == "metadata":
                arrived = await self._receive_sidecar(key, project, entry, download)
            else:
                arrived = await self._receive(download)
            # A stop does not throw away what has been verified.
            await to_the_end(self._committing.keep(key, project, entry, arrived))
        except PypicachedError as error:
            if isinstance(error, NeverFitsError) and download.length is None and key.kind == "file":
                self._unfit.put(key, str(error), 0)
            if not isinstance(error, (NotFoundError, RefusedError)):
                self._observations.download_failed(download.filename, error)
            download.failed(error)
        except asyncio.CancelledError:
            download.failed(StoppingError("the daemon is stopping"))
            raise
        except BaseException:
            download.failed(PypicachedError("an internal error; see the daemon's log"))
            raise
        finally:
            self._ended(key, download)

    def _check_fits(self, key: FileKey) -> None:
        reason = self._unfit.get(key)
        if reason is not None:
            raise NeverFitsError(reason)

    async def _receive(self, download: Download) -> Arrived:
        source = download.source

        def count(octets: int) -> None:
            if source.made is None:
                self._on_bytes(source.kind, source.connection.name, octets)

        transfer = Transfer(
            download,
            blobs=self._blobs,
            eviction=self._eviction,
            on_bytes=count,
            shared=self._shared,
        )
        return await transfer.run()

    async def _receive_sidecar(
        self, key: FileKey, project: str, entry: ProjectFile, download: Download
    ) -> Arrived:
        """Make it of a wheel that is here; else take upstream's; else make it all the same.

        A wheel that is here needs no upstream: what it says is the sidecar, also in an outage. Only
        where upstream's hash is another one, upstream has the first word.
        """
        wheel = FileKey(key.index, key.path, "file")
        wheels = self._source(wheel, project, entry)
        here = await self._making.from_stored(key, entry, wheels)
        if here is not None and matches(download.source.expected, here):
            download.begin_again(here)
            return await self._receive(download)
        if entry.core_metadata:
            try:
                return await self._receive(download)
            # Object stores say 403 for what is not there.
            except (
                FileGoneError,
                UpstreamDeniedError,
                UpstreamAnswerError,
                VerificationError,
            ) as e:
                if not entry.filename.endswith(".whl"):
                    raise
                event(logger, logging.WARNING, f"sidecar of {entry.filename}: {e}")
        made = await self._making.make(key, entry, wheels)
        download.begin_again(made)
        return await self._receive(download)
