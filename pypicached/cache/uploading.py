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
from pypicached.cache.pace import Pace
from pypicached.cache.rereading import Rereading
from pypicached.cache.trouble import Trouble
from pypicached.errors import LedgerError, StoreError, StoreUnavailableError, WrongBytesError
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
# An object's time is renewed when its blob is used, at most so often.
REFRESH_SECONDS = 86400.0
LOOK_AT_USES_SECONDS = 600.0
REFRESHED_AT_ONCE = 100


class Uploads:
    """The queue's worker, and what it knows of the store. Single-threaded.

    `uploaded_blobs` are those that were put there since the daemon's start, `lost_blobs` those that
    were evicted first: who wants them fetches them from upstream.
    """

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        store: Store,
        health: Health,
        writing: Health,
        rereading: Rereading,
        *,
        identity: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.uploaded_blobs = 0
        self.uploaded_bytes = 0
        self.refreshed_blobs = 0
        self.lost_blobs = 0
        self._ledger = ledger
        self._shared = ledger.shared
        self._blobs = blobs
        self._store = store
        self._health = health
        self._writing = writing
        self._rereading = rereading
        self._identity = identity
        self._now = now
        self._running: dict[str, asyncio.Task[None]] = {}
        self._wanted = asyncio.Event()
        self._trouble = Trouble(logger)
        blobs.on_kept.append(lambda _: self._wanted.set())

    # ── what is known ────────────────────────────────────────────────────────────────────────

    async def arrived(self, sha256: str, size_bytes: int, kept_at: float) -> None:
        """A blob is there, with that time: its bytes have been verified. Raises LedgerError.

        One that nobody has renewed for a day is renewed by the next look at what is used.
        """
        await self._shared.arrived(sha256, size_bytes, min(kept_at, self._now()))

    async def vanished(self, sha256: str) -> None:
        """A blob is not there: it is put there if it is here. Raises LedgerError."""
        await self._shared.vanished(sha256)
        self._wanted.set()

    async def confirm(self, sha256: str) -> bool:
        """Whether a blob that this host knows to be there still is; its time is renewed if due.

        Raises StoreError, LedgerError.
        """
        at = await self._shared.known_at(sha256)
        if at is None:
            return False
        due = self._now() - at > REFRESH_SECONDS
        there = await self._renew(sha256) if due else await self._store.stat(sha256) is not None
        self._health.succeeded()
        if not there:
            await self.vanished(sha256)
        return there

    async def _renew(self, sha256: str) -> bool:
        """Renew an object's time; return whether there is one. Raises StoreError, LedgerError."""
        if not await self._store.refresh(sha256):
            return False
        self.refreshed_blobs += 1
        about = self._blobs.store.stat(sha256)
        await self._shared.arrived(sha256, about.st_size if about else 0)
        return True

    # ── the queue ────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Work the queue off, until cancelled; what is under way then is begun anew next time."""
        try:
            await self._until_done(self._begin)
            while True:
                self._wanted.clear()
                await self._until_done(self._start_some)
                pause = FAILING_SECONDS if self._health.failing else LOOK_SECONDS
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
        """Say which store it is; queue what was here before it."""
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

    def _ended(self, sha256: str, _: asyncio.Task[None]) -> None:
        self._running.pop(sha256, None)
        self._wanted.set()

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            # `wait_for` swallows a cancel that comes as the wait ends, and a stop would never end.
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        if self._health.failing:
            # Each failure ends an upload, and so would begin the next one at once.
            await asyncio.sleep(FAILING_SECONDS)

    async def _upload(self, blob: Waiting) -> None:
        try:
            with self._blobs.in_use(blob.sha256):
                await self._put(blob)
        except StoreError as error:
            await self._postpone(blob, error)
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
        there = await self._store.stat(sha256)
        if there is None or there.size_bytes != about.st_size:
            try:
                await self._store.put(sha256, self._blobs.store.path_of(sha256))
            except WrongBytesError:
                await self._tell_damaged(blob)
                return
            except OSError as error:
                self._trouble.tell(f"cannot read a stored file for the shared store: {error}")
                await self._shared.postpone(sha256, _pause(blob))
                return
            self._writing.succeeded()
            self.uploaded_blobs += 1
            self.uploaded_bytes += about.st_size
        self._health.succeeded()
        await self._shared.arrived(sha256, about.st_size)

    async def _tell_damaged(self, blob: Waiting) -> None:
        """Our own copy is not what its name says."""
        files = await self._ledger.files.of_blob(blob.sha256)
        if files:
            self._rereading.suspect(files[0], "wrong digest")
        await self._shared.drop(blob)

    async def _postpone(self, blob: Waiting, error: StoreError) -> None:
        unavailable = isinstance(error, StoreUnavailableError)
        failing = self._health if unavailable else self._writing
        failing.failed(error)
        if not (unavailable or failing.failing):
            text = f"blob {blob.sha256} cannot be put into the shared store: {error.reason}"
            event(logger, logging.WARNING, text)
        try:
            # One that the whole store failed is no later than the others.
            pause = FIRST_PAUSE_SECONDS if failing.failing else _pause(blob)
            await self._shared.postpone(blob.sha256, pause)
        except LedgerError as ledger_error:
            self._trouble.tell(f"what the shared store refused is not remembered: {ledger_error}")
            await asyncio.sleep(LOOK_SECONDS)

    # ── objects' times ───────────────────────────────────────────────────────────────────────

    async def run_refreshing(self) -> None:
        """Renew the times of objects whose blobs are used here, until cancelled."""
        last = (self._now() - REFRESH_SECONDS, "")
        while True:
            try:
                last = await self._refresh_used(last)
            except LedgerError as error:
                self._trouble.tell(f"cannot see which shared files are used: {error}")
            except StoreError as error:
                self._health.failed(error)
            await asyncio.sleep(LOOK_AT_USES_SECONDS)

    async def _refresh_used(self, last: tuple[float, str]) -> tuple[float, str]:
        """Renew what was used after `last`; return up to where. Raises StoreError, LedgerError."""
        await self._ledger.usage.flush()
        while used := await self._shared.used_since(last, REFRESH_SECONDS, REFRESHED_AT_ONCE):
            for sha256, at in used:
                if not self._health.allows():
                    return last
                if not await self._renew(sha256):
                    await self.vanished(sha256)
                self._health.succeeded()
                last = (at, sha256)
        return last


def _pause(blob: Waiting) -> float:
    """Return the seconds until a blob that could not be put there is tried again."""
    pause: float = FIRST_PAUSE_SECONDS * 2.0 ** min(blob.tries, 12)
    return min(pause, LONGEST_PAUSE_SECONDS)
