"""Which blobs are being read now: those are never evicted or pruned."""

from __future__ import annotations

from collections import Counter


class Uses:
    """Readers per blob, by sha256. Single-threaded."""

    def __init__(self) -> None:
        self._readers: Counter[str] = Counter()

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._readers

    def begin(self, sha256: str) -> None:
        """One more reader of a blob."""
        self._readers[sha256] += 1

    def end(self, sha256: str) -> None:
        """One reader less."""
        self._readers[sha256] -= 1
        if self._readers[sha256] <= 0:
            del self._readers[sha256]
