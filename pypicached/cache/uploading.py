"""Putting what is here into the store that a fleet shares, behind the clients.

The queue is in the ledger, written with the file it is about: it survives whatever ends the daemon,
and takes no memory, however long it grows. A few blobs go at a time, each held against eviction
meanwhile. What the store does not take now waits, and is in nobody's way.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable

from pypicached.cache.blobs import Blobs
from pypicached.cache.health import Health
from pypicached.cache.memory import Memory
from pypicached.cache.pace import Pace
from pypicached.cache.renewing import Renewing
from pypicached.cache.rereading import Rereading
from pypicached.cache.trouble import Trouble
from pypicached.errors import (
    LedgerError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    WrongBytesError,
)
from pypicached.ledger import Ledger, Waiting
from pypicached.logs import event
from pypicached.store import Store

logger = logging.getLogger(__name__)

# A large one is 16 MiB of memory; small ones wait for the store most of the time.
AT_ONCE = 4
# What nobody has told of is looked for so often: what was postponed, too.
LOOK_SECONDS = 15.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 3600.0
# While the store fails, the queue is looked at so often: `Health` says when it is asked.
FAILING_SECONDS = 1.0
# Digests of objects to replace whatever their length is: thousands of them.
MAX_REPLACED_BYTES = 1024 * 1024
# `/metrics` has a queue that is so old.
MEASURE_SECONDS = 5.0


class Uploads:
    """The queue's worker, and what it knows of the store. Single-threaded.

    `uploaded_blobs` are those that were put there since the daemon's start, `lost_blobs` those that
    were evicted first: who wants them fetches them from upstream. `waiting_blobs` and
    `waiting_bytes` are the queue as it was seconds ago.
    """

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        store: Store,
        health: Health,
        writing: Health,
        rereading: Rereading,
        renewing: Renewing,
        *,
        identity: str,
    ) -> None:
        self.uploaded_blobs = 0
        self.uploaded_bytes = 0
        self.lost_blobs = 0
        self.waiting_blobs = 0
        self.waiting_bytes = 0
        self._ledger = ledger
        self._shared = ledger.shared
        self._blobs = blobs
        self._store = store
        self._health = health
        # Of those who have the right to read only, or no room any more: reading goes on.
        self._writing = writing
        self._rereading = rereading
        self._renewing = renewing
        self._identity = identity
        self._replaced: Memory[str, bool] = Memory(MAX_REPLACED_BYTES)
        self._measured_at = float("-inf")
        self._running: dict[str, asyncio.Task[None]] = {}
        self._wanted = asyncio.Event()
        self._trouble = Trouble(logger)
        blobs.on_kept.append(lambda _: self._wanted.set())

    # ── what is known ────────────────────────────────────────────────────────────────────────

    async def arrived(self, sha256: str, size_bytes: int, kept_at: float) -> None:
        """A blob has come from there, and is verified. Raises LedgerError.

        `kept_at` is its object's time.
        """
        self._renewing.arrived(sha256, kept_at)
        await self._shared.arrived(sha256, size_bytes, kept_at)

    async def vanished(self, sha256: str, *, damaged: bool = False) -> None:
        """A blob is not there: it is put there if it is here. Raises LedgerError.

        `damaged`: something else is in its place, and is to be replaced.
        """
        if damaged:
            self._replaced.put(sha256, True, len(sha256))
        await self._shared.vanished(sha256)
        self._wanted.set()

    async def confirm(self, sha256: str) -> bool:
        """Whether a blob that this host knows to be there still is; its time is renewed if due.

        Raises StoreError, LedgerError.
        """
        at = await self._shared.known_at(sha256)
        if at is None:
            return False
        there = await self._renewed(sha256) if self._renewing.is_due(at) else None
        if there is None:
            there = await self._store.stat(sha256) is not None
        self._health.succeeded()
        if not there:
            await self.vanished(sha256)
        return there

    async def _renewed(self, sha256: str) -> bool | None:
        """Renew an object's time; return whether there is one, None if the store refuses that."""
        if self._writing.failing:
            return None
        try:
            return await self._renewing.renew(sha256)
        except StoreRefusedError as error:
            self._writing.failed(error)
            return None

    # ── the queue ────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Work the queue off, until cancelled; what is under way then is begun anew next time."""
        try:
            await self._until_done(self._begin)
            while True:
                self._wanted.clear()
                await self._until_done(self._start_some)
                await self._until_done(self._measure)
                pause = FAILING_SECONDS if self._failing else LOOK_SECONDS
                await self._wait(pause)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except LedgerError as error:
                self._trouble.tell(f"cannot see what the shared store is to have: {error}")
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return

    async def _begin(self) -> None:
        """Say which store it is; queue what is here and was not kept for it."""
        if await self._shared.begin(self._identity):
            event(logger, logging.INFO, "what is cached is put into the shared store")
        pace = Pace()
        more = True
        while more:
            began = time.monotonic()
            more = await self._shared.queue_some()
            await pace.worked(time.monotonic() - began)

    async def _start_some(self) -> None:
        """Begin as many uploads as may run."""
        free = AT_ONCE - len(self._running)
        if not free:
            return
        # One that ends while the ledger is read may still stand there.
        begun = set(self._running)
        waiting = await self._shared.next(AT_ONCE + free)
        for blob in [b for b in waiting if b.sha256 not in begun][:free]:
            if not (self._writing.allows() and self._health.allows()):
                return
            task = asyncio.get_running_loop().create_task(self._upload(blob))
            self._running[blob.sha256] = task
            task.add_done_callback(functools.partial(self._ended, blob.sha256))

    def _ended(self, sha256: str, task: asyncio.Task[None]) -> None:
        self._running.pop(sha256, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # It waits for the next look: at once, it would fail again.
            logger.critical("an upload ended unexpectedly", exc_info=error)
            return
        self._wanted.set()

    async def _measure(self) -> None:
        if time.monotonic() - self._measured_at >= MEASURE_SECONDS:
            self.waiting_blobs, self.waiting_bytes, _ = await self._shared.waiting()
            self._measured_at = time.monotonic()

    @property
    def _failing(self) -> bool:
        return self._health.failing or self._writing.failing

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            # `wait_for` swallows a cancel that comes as the wait ends, and a stop would never end.
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        if self._failing:
            # Each failure ends an upload, and so would begin the next one at once.
            await asyncio.sleep(FAILING_SECONDS)

    async def _upload(self, blob: Waiting) -> None:
        try:
            with self._blobs.in_use(blob.sha256):
                await self._put(blob)
        except StoreError as error:
            await self._postpone(blob, error, self._health)
        except LedgerError as error:
            self._trouble.tell(f"what the shared store has got is not remembered: {error}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _put(self, blob: Waiting) -> None:
        """Put one blob there, unless somebody has. Raises StoreError, LedgerError."""
        sha256 = blob.sha256
        about = self._blobs.store.stat(sha256)
        if about is None:
            self.lost_blobs += 1
            await self._shared.drop(blob)
            return
        if await self._is_there(sha256, about.st_size):
            return
        try:
            await self._store.put(sha256, self._blobs.store.path_of(sha256))
        except WrongBytesError:
            await self._tell_damaged(blob)
            return
        except StoreRefusedError as error:
            await self._postpone(blob, error, self._writing)
            return
        except OSError as error:
            self._trouble.tell(f"cannot read a stored file for the shared store: {error}")
            await self._shared.postpone(sha256, _pause(blob))
            return
        self._replaced.drop(sha256)
        self.uploaded_blobs += 1
        self.uploaded_bytes += about.st_size
        self._health.succeeded()
        self._writing.succeeded()
        await self._shared.arrived(sha256, about.st_size)

    async def _is_there(self, sha256: str, size_bytes: int) -> bool:
        """Whether somebody has put a blob there; that is noted. Raises StoreError, LedgerError."""
        if self._replaced.get(sha256):
            return False
        there = await self._store.stat(sha256)
        self._health.succeeded()
        if there is None or there.size_bytes != size_bytes:
            return False
        await self.arrived(sha256, size_bytes, there.kept_at)
        return True

    async def _tell_damaged(self, blob: Waiting) -> None:
        """Our own copy is not what its name says."""
        files = await self._ledger.files.of_blob(blob.sha256)
        if files:
            self._rereading.suspect(files[0], "wrong digest")
        await self._shared.drop(blob)

    async def _postpone(self, blob: Waiting, error: StoreError, health: Health) -> None:
        health.failed(error)
        unavailable = isinstance(error, StoreUnavailableError)
        if not (unavailable or health.failing):
            text = f"blob {blob.sha256} cannot be put into the shared store: {error.reason}"
            event(logger, logging.WARNING, text)
        try:
            # One that the whole store failed is no later than the others.
            pause = FIRST_PAUSE_SECONDS if health.failing else _pause(blob)
            await self._shared.postpone(blob.sha256, pause)
        except LedgerError as ledger_error:
            self._trouble.tell(f"what the shared store refused is not remembered: {ledger_error}")
            await asyncio.sleep(LOOK_SECONDS)


def _pause(blob: Waiting) -> float:
    """Return the seconds until a blob that could not be put there is tried again."""
    pause: float = FIRST_PAUSE_SECONDS * 2.0 ** min(blob.tries, 12)
    return min(pause, LONGEST_PAUSE_SECONDS)
