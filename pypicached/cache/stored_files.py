"""Files that are here: from an entry to bytes in memory or an open descriptor.

The ledger is asked once per file; after that its entry, and a small file's bytes, live in bounded
memory, so that a hit costs no SQL and no thread.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from pypicached.cache.blobs import Blobs
from pypicached.cache.gate import Gate
from pypicached.cache.memory import Memory
from pypicached.cache.recall import Recall
from pypicached.cache.rereading import Rereading
from pypicached.cache.trouble import Trouble
from pypicached.errors import LedgerError
from pypicached.ledger import CachedFile, Kind, Ledger

logger = logging.getLogger(__name__)

# Entries that hits need not look up in the ledger again.
MAX_ENTRIES = 20_000
# Blobs up to this size are served from memory from their first hit on.
SMALL_BYTES = 64 * 1024


class FileKey(msgspec.Struct, frozen=True):
    """One file of one index; `path` is its canonical key (`simple.urls`)."""

    index: str
    path: str
    kind: Kind


class Hit(msgspec.Struct, frozen=True):
    """A stored file: its bytes, or a descriptor that the taker closes (then `body` is None)."""

    file: CachedFile
    body: bytes | None
    fd: int


class StoredFiles:
    """Finds and opens stored files. Single-threaded."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        memory: Memory[str, bytes],
        gate: Gate,
        rereading: Rereading,
        recall: Recall,
        may_answer: Callable[[str, str], bool],
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._memory = memory
        self._gate = gate
        self._rereading = rereading
        self._recall = recall
        self._may_answer = may_answer
        self._entries: OrderedDict[FileKey, CachedFile] = OrderedDict()
        # Grows whenever entries go.
        self._removals = 0
        self._trouble = Trouble(logger)
        blobs.on_removed.append(self._forget)

    def ready(self, key: FileKey) -> Hit | None:
        """Return a stored file if memory knows its entry: no SQL, no await. RefusedError."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return self._open(entry)

    def at_hand(self, key: FileKey) -> Hit | None:
        """Return a small stored file if memory has its entry and its bytes. RefusedError.

        None if it has to be opened, which `ready` does.
        """
        entry = self._entries.get(key)
        body = None if entry is None else self._memory.get(entry.sha256)
        if entry is None or body is None or not self._gate.check_stored(entry):
            return None
        self._entries.move_to_end(key)
        self._recall.met(entry.index, entry.project)
        return Hit(entry, body, -1)

    async def get(self, key: FileKey) -> Hit | None:
        """Return a stored file; None if it is not here or wrong, or its page has to be asked.

        With a ledger that cannot be read nothing is here, and upstream has it. Raises RefusedError
        if it is here and not to be served.
        """
        while True:
            removals = self._removals
            entry = await self._entry(key)
            if removals == self._removals:
                break  # else it may have gone meanwhile, and would stay in memory for ever
        hit = None if entry is None else self._open(entry)
        if entry is not None and hit is not None:
            self._entries[key] = entry
            if len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
        return hit

    async def find(self, key: FileKey) -> Hit | None:
        """Return a stored file by the shortest way; as `ready`, then as `get`."""
        return self.ready(key) or await self.get(key)

    async def _entry(self, key: FileKey) -> CachedFile | None:
        """Return the ledger's row, but for a project that is another index's by now."""
        try:
            entry = await self._ledger.files.get(key.index, key.path, key.kind)
        except LedgerError as error:
            self._trouble.tell(f"{error}; files come from upstream")
            return None
        if entry is not None and not self._may_answer(entry.index, entry.project):
            return None
        return entry

    def _open(self, entry: CachedFile) -> Hit | None:
        if not self._gate.check_stored(entry):
            return None
        self._recall.met(entry.index, entry.project)
        body = self._memory.get(entry.sha256)
        if body is not None:
            return Hit(entry, body, -1)
        fd = self._blobs.store.open(entry.sha256, entry.size_bytes)
        if fd is None:
            self._rereading.missed(entry)
            return None
        if entry.size_bytes > SMALL_BYTES:
            self._rereading.met(entry.sha256, fd)
            return Hit(entry, None, fd)
        body = self._read_small(entry, fd)
        if body is None:
            return None
        self._memory.put(entry.sha256, body, len(body))
        return Hit(entry, body, -1)

    def _read_small(self, entry: CachedFile, fd: int) -> bytes | None:
        """Return a small blob's bytes, or None if they are not those that were kept.

        Hashing takes 40 µs at most, once for as long as they live in memory.
        """
        try:
            body = os.read(fd, entry.size_bytes)
        except OSError as error:
            self.broke(entry, error)
            return None
        finally:
            os.close(fd)
        if hashlib.sha256(body).hexdigest() != entry.sha256:
            self._rereading.suspect(entry, "wrong digest")
            return None
        return body

    def broke(self, entry: CachedFile, error: OSError) -> None:
        """The disk failed while a stored file was read."""
        self._rereading.suspect(entry, f"cannot be read: {error.strerror or error}")

    def forget(self, key: FileKey) -> None:
        """Drop a file's entry from memory: its row has changed or gone."""
        self._removals += 1
        self._entries.pop(key, None)

    def forget_all(self) -> None:
        """Drop every entry from memory: others may own their projects by now."""
        self._removals += 1
        self._entries.clear()

    def _forget(self, digests: set[str]) -> None:
        self._removals += 1
        for digest in digests:
            self._memory.drop(digest)
        gone = [key for key, entry in self._entries.items() if entry.sha256 in digests]
        for key in gone:
            del self._entries[key]
