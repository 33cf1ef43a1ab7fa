"""A byte-bounded, least-recently-used memory for ready pages and small blobs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, MutableMapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# What one entry costs beyond its bytes: the dictionary slot, the tuple, headers.
ENTRY_BYTES = 1024
# What goes at once, a millisecond or two; where more is to go, the rest follows after a pause. A
# million values are given back in seconds, and nobody waits for it.
STEP = 1000
PAUSE_SECONDS = 0.005


class Memory(Generic[K, V]):
    """Values with a size in bytes each. Single-threaded: only the event loop calls it."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._thinning: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def resize(self, limit_bytes: int) -> None:
        """Take another limit; what is beyond it goes in steps."""
        self.limit_bytes = limit_bytes
        self._thin_out()

    def get(self, key: K) -> V | None:
        """Return a value and make it the most recently used."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Keep a value; the least recently used go until all fits. What never fits is not kept.

        Where a thousand have to go, they do so in steps.
        """
        self.drop(key)
        size_bytes += ENTRY_BYTES
        if size_bytes > self.limit_bytes:
            return
        self._entries[key] = (value, size_bytes)
        self.used_bytes += size_bytes
        self._thin_out()

    def _thin_out(self) -> None:
        for _ in range(STEP):
            if self.used_bytes <= self.limit_bytes:
                return
            _, (_, freed) = self._entries.popitem(last=False)
            self.used_bytes -= freed
        if self._thinning is None and self.used_bytes > self.limit_bytes:
            loop = asyncio.get_running_loop()
            self._thinning = loop.call_later(PAUSE_SECONDS, self._thin_on)

    def _thin_on(self) -> None:
        self._thinning = None
        self._thin_out()

    def drop(self, key: K) -> None:
        """Forget one value, if it is there."""
        found = self._entries.pop(key, None)
        if found is not None:
            self.used_bytes -= found[1]

    def drop_where(self, chosen: Callable[[K], bool]) -> None:
        """Forget every value whose key is chosen."""
        gone = {key: self._entries.pop(key) for key in list(self._entries) if chosen(key)}
        self.used_bytes -= sum(size for _, size in gone.values())
        _free(gone)

    def clear(self) -> None:
        """Forget everything."""
        gone, self._entries = self._entries, OrderedDict()
        self.used_bytes = 0
        _free(gone)


def _free(gone: MutableMapping[K, tuple[V, int]]) -> None:
    """Give back what nobody finds any more, in steps."""
    for _ in range(min(STEP, len(gone))):
        gone.popitem()
    if gone:
        asyncio.get_running_loop().call_later(PAUSE_SECONDS, _free, gone)
