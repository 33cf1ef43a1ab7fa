"""What a cache holds, told as simply as can be: the model that the real one is compared with."""

from __future__ import annotations

import msgspec

from pypicached.cache.eviction import HIGH, LOW


class Held(msgspec.Struct):
    """One blob; `names` are the (project, file name) pairs that it is stored under."""

    size: int
    used_at: int
    names: set[tuple[str, str]]


class Model(msgspec.Struct):
    """All blobs by digest, what is pinned and what is being read."""

    limit: int
    blobs: dict[str, Held] = msgspec.field(default_factory=dict)
    pins: set[str] = msgspec.field(default_factory=set)
    reading: list[str] = msgspec.field(default_factory=list)

    @property
    def used(self) -> int:
        """Bytes of all blobs."""
        return sum(held.size for held in self.blobs.values())

    def is_pinned(self, sha256: str) -> bool:
        """Whether one of a blob's names is of a pinned project."""
        return any(project in self.pins for project, _ in self.blobs[sha256].names)

    def may_go(self, *, read: bool = False) -> list[str]:
        """Return what may go, least recently used first; `read`: what is being read counts too."""
        return sorted(
            (d for d in self.blobs if not self.is_pinned(d) and (read or d not in self.reading)),
            key=lambda d: (self.blobs[d].used_at, d),
        )

    def evict(self, needed: int) -> None:
        """Let the least recently used go until so many bytes are free."""
        for sha256 in self.may_go():
            if needed <= 0:
                return
            needed -= self.blobs.pop(sha256).size

    def reserve(self, wanted: int) -> bool:
        """Make room; return whether there is enough. What could not be enough costs nothing."""
        missing = self.used + wanted - self.limit
        if wanted > self.limit or missing > self.used:
            return False
        could_go = sum(self.blobs[sha256].size for sha256 in self.may_go())
        # Without pins only readers can be in the way, and they leave: what can go, goes.
        if not self.pins or could_go >= missing:
            self.evict(missing)
        return self.used + wanted <= self.limit

    def thin_out(self) -> None:
        """Do what the worker does between its marks."""
        if self.used > int(self.limit * HIGH):
            self.evict(self.used - int(self.limit * LOW))

    def keep(self, sha256: str, size: int, name: tuple[str, str], now: int) -> None:
        """Store a blob under a name, which leaves the blob that had it."""
        for other in self.blobs.values():
            other.names.discard(name)
        held = self.blobs.setdefault(sha256, Held(size, now, set()))
        held.names.add(name)
        held.used_at = max(held.used_at, now)
