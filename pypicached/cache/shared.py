"""The store that a fleet shares, as a download asks it: between the own disk and upstream.

Nothing of it is believed before its digest matched, and nothing that upstream or the own disk can
give fails because of it: it is asked for a bounded time, and left alone while it fails (`health`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Protocol

from pypicached.cache.health import Health
from pypicached.cache.memory import Memory
from pypicached.errors import LedgerError, StoreError
from pypicached.logs import event
from pypicached.store import BlobStream, Store

logger = logging.getLogger(__name__)

# Digests of damaged objects that could not be removed: thousands of them.
MAX_DAMAGED_BYTES = 4 * 1024 * 1024


class Known(Protocol):
    """What is remembered of the store between requests (`uploading`). Raises LedgerError."""

    async def arrived(self, sha256: str, size_bytes: int, kept_at: float) -> None:
        """A blob has come from there, and is verified; `kept_at` is its object's time."""

    async def vanished(self, sha256: str, *, damaged: bool = False) -> None:
        """A blob is not there, or damaged: it is put there again if its bytes are here."""


class Shared:
    """Reads from the store. Single-threaded; any number of downloads.

    `received_bytes` and `received_blobs` are what it gave since the daemon's start, verified or
    not; `damaged_blobs` are objects that were not what their name says.
    """

    def __init__(self, store: Store, known: Known, health: Health) -> None:
        self.health = health
        self.received_bytes = 0
        self.received_blobs = 0
        self.damaged_blobs = 0
        self._store = store
        self._known = known
        self._damaged: Memory[str, bool] = Memory(MAX_DAMAGED_BYTES)

    def may_have(self, sha256: str) -> bool:
        """Whether asking for a blob is worth it now."""
        return self._damaged.get(sha256) is None and self.health.allows()

    @contextlib.asynccontextmanager
    async def open(self, sha256: str, *, offset: int = 0) -> AsyncIterator[BlobStream]:
        """Open a blob from `offset` on, as `Store.get`; how that went is taken into account."""
        try:
            async with self._store.get(sha256, offset=offset) as stream:
                yield stream
        except StoreError as error:
            self.health.failed(error)
            raise
        self.health.succeeded()

    async def length_of(self, sha256: str) -> int | None:
        """Return how long a blob is, None if it is not there or the store does not tell."""
        if not self.may_have(sha256):
            return None
        try:
            about = await self._store.stat(sha256)
        except StoreError as error:
            self.health.failed(error)
            return None
        self.health.succeeded()
        return None if about is None else about.size_bytes

    async def verified(self, sha256: str, size_bytes: int, kept_at: float) -> None:
        """All of a blob has come from the store, and is what its digest says."""
        self.received_blobs += 1
        self._damaged.drop(sha256)
        try:
            await self._known.arrived(sha256, size_bytes, kept_at)
        except LedgerError as error:
            event(logger, logging.ERROR, f"what the shared store has is not remembered: {error}")

    async def damaged(self, sha256: str, filename: str, problem: str) -> None:
        """A blob of the store is not what its name says: it goes, and nobody here asks for it."""
        self.damaged_blobs += 1
        self._damaged.put(sha256, True, len(sha256))
        text = f"the shared store has damaged bytes of {filename} ({problem}): they are replaced"
        event(logger, logging.ERROR, text, sha256=sha256)
        try:
            refused = await self._store.delete([sha256])
        except StoreError as error:
            self.health.failed(error)
            refused = {sha256: error.reason}
        for reason in refused.values():
            text = f"a damaged object cannot be removed from the shared store: {reason}"
            event(logger, logging.ERROR, text, sha256=sha256)
        try:
            await self._known.vanished(sha256, damaged=True)
        except LedgerError as error:
            event(logger, logging.ERROR, f"what the shared store lacks is not remembered: {error}")
