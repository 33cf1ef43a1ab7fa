"""The byte budget of the blob disk: used, reserved, limit; all in disk blocks.

Every byte that lands there is reserved first, then committed (it became a blob) or released (it did
not). Pure bookkeeping: who makes room, and how, is `eviction`.
"""

from __future__ import annotations

from collections.abc import Callable

from pypicached.errors import NeverFitsError, NoRoomError


class Budget:
    """Single-threaded. Invariant: used + reserved + beside ≤ limit after every `reserve`.

    `limit_bytes` None is unlimited. `free_bytes` is asked of the disk; `min_free_bytes` of it are
    always left to others. `beside_bytes` is what the directories take.
    """

    def __init__(
        self,
        limit_bytes: int | None,
        *,
        min_free_bytes: int,
        free_bytes: Callable[[], int],
        beside_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self.limit_bytes = limit_bytes
        self.min_free_bytes = min_free_bytes
        self.used_bytes = 0
        self.reserved_bytes = 0
        self._free_bytes = free_bytes
        self._beside_bytes = beside_bytes

    @property
    def held_bytes(self) -> int:
        """What is on the disk by us, or may be at any moment."""
        return self.used_bytes + self.reserved_bytes + self._beside_bytes()

    def missing(self, wanted: int) -> int:
        """Return how many bytes must go before `wanted` more may come; 0 if there is room.

        Raises NoRoomError if the disk cannot be asked: that is no reason for anything to go.
        """
        over = 0
        if self.limit_bytes is not None:
            over = self.held_bytes + wanted - self.limit_bytes
        # What is reserved is allocated on disk when its spool is made, so it is gone from `free`.
        try:
            short = self.min_free_bytes + wanted - self._free_bytes()
        except OSError as error:
            raise NoRoomError(f"the cache directory cannot be used: {error.strerror}") from error
        return max(0, over, short)

    def check_fits(self, wanted: int) -> None:
        """Raise NeverFitsError if `wanted` is more than the whole budget."""
        if self.limit_bytes is not None and wanted > self.limit_bytes:
            raise NeverFitsError("the file is larger than [cache] max_size")

    def reserve(self, wanted: int) -> None:
        """Take room that is there; NeverFitsError or NoRoomError if it is not."""
        self.check_fits(wanted)
        if self.missing(wanted):
            raise NoRoomError("no room on the cache disk")
        self.reserved_bytes += wanted

    def release(self, reserved: int) -> None:
        """Give reserved room back: nothing was kept."""
        self.reserved_bytes -= reserved

    def commit(self, reserved: int, used: int) -> None:
        """Turn reserved room into what a blob really takes."""
        self.reserved_bytes -= reserved
        self.used_bytes += used

    def removed(self, used: int) -> None:
        """A blob of `used` bytes went."""
        self.used_bytes -= used
