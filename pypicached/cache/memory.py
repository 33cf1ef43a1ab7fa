"""A byte-bounded, least-recently-used memory for ready pages and small blobs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# What one entry costs beyond its bytes: the dictionary slot, the tuple, headers.
ENTRY_BYTES = 1024


class Memory(Generic[K, V]):
    """Values with a size in bytes each. Single-threaded: only the event loop calls it."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def resize(self, limit_bytes: int) -> None:
        """Take another limit; what is beyond it goes now."""
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
        """Keep a value; the least recently used go until all fits. What never fits is not kept."""
        self.drop(key)
        size_bytes += ENTRY_BYTES
        if size_bytes > self.limit_bytes:
            return
        self._entries[key] = (value, size_bytes)
        self.used_bytes += size_bytes
        self._thin_out()

    def _thin_out(self) -> None:
        while self.used_bytes > self.limit_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self.used_bytes -= freed

    def drop(self, key: K) -> None:
        """Forget one value, if it is there."""
        found = self._entries.pop(key, None)
        if found is not None:
            self.used_bytes -= found[1]

    def drop_where(self, chosen: Callable[[K], bool]) -> None:
        """Forget every value whose key is chosen."""
        for key in [key for key in self._entries if chosen(key)]:
            self.drop(key)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.used_bytes = 0
