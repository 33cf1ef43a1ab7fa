"""One body on its way into a spool: its room, its bytes, its digests.

Room is reserved in the budget before it is taken on the disk. Where bytes come from, and who may
read them when, is not decided here (`transfer`, `encoded`, `download`).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from pypicached.cache.blobs import Blobs
from pypicached.cache.digests import Digests, Expected
from pypicached.cache.eviction import Eviction
from pypicached.errors import NoRoomError, UpstreamAnswerError
from pypicached.store import Spool
from pypicached.store.disk import blocks_for
from pypicached.store.spool import STEP_BYTES

# Below this a hop to a thread costs more than hashing and writing inline; and so much of each file,
# which may be all of it, for its clients wait for that.
INLINE_BYTES, FIRST_INLINE_BYTES = 16 * 1024, 64 * 1024

T = TypeVar("T")


class Filling:
    """A spool that one task fills. Its maker drops it, or hands on `spool` and `reserved`."""

    def __init__(self, index: str, expected: Expected, blobs: Blobs, eviction: Eviction) -> None:
        self.index = index
        self.expected = expected
        self.digests = Digests(expected)
        self.written = 0
        self.reserved = 0
        self._spool: Spool | None = None
        self._blobs = blobs
        self._disk = blobs.store.disk
        self._eviction = eviction

    @property
    def begun(self) -> bool:
        """Whether there is a spool."""
        return self._spool is not None

    @property
    def spool(self) -> Spool:
        """The spool; `make_room` first."""
        assert self._spool is not None, "make_room first"
        return self._spool

    def room(self, length: int) -> bool:
        """Whether `length` bytes fit without evicting anything; NoRoomError if they never will.

        A page's claim alone evicts nothing: upstream's own word does.
        """
        wanted = self._blocks_for_spool(length)
        budget = self._blobs.budget
        budget.check_fits(wanted)
        missing = budget.missing(wanted)
        if missing > budget.used_bytes:
            raise NoRoomError("no room on the cache disk")
        return missing == 0

    async def make_room(self, length: int | None) -> None:
        """Make the spool, with room for `length` (None: a first step). Raises NoRoomError."""
        await self._reserve(self._blocks_for_spool(STEP_BYTES if length is None else length))
        self._spool = await _disk(self._blobs.store.create_spool(length))

    async def write(self, data: bytes) -> None:
        """Take in the next bytes. Raises NoRoomError, UpstreamAnswerError beyond the bound."""
        end = self.written + len(data)
        self.check_bound(end)
        while end > self.spool.allocated_bytes:
            # What does not say how long it is may push out half of the cache, and no more.
            self._blobs.budget.check_fits(2 * (self.reserved + STEP_BYTES))
            await self._reserve(blocks_for(STEP_BYTES, self._blobs.store.block_bytes))
            room = self.spool.allocated_bytes + STEP_BYTES
            await _disk(self._disk.run(self.spool.allocate, room))
        if len(data) <= INLINE_BYTES or end <= FIRST_INLINE_BYTES:
            self._take(data)
        else:
            await _disk(self._disk.run(self._take, data))
        self.written = end

    async def read(self, length: int, offset: int) -> bytes:
        """Return up to `length` of the bytes written, from `offset` on."""
        count = min(length, self.written - offset)
        return await self._disk.run(self.spool.read_at, count, offset)

    def check_bound(self, length: int) -> None:
        """Raise UpstreamAnswerError if the file may not be so long."""
        limit = self.expected.limit_bytes
        if limit is not None and length > limit:
            raise UpstreamAnswerError(
                self.index, "its metadata is larger than [limits] metadata_size"
            )

    def mismatch(self) -> str | None:
        """Return what is not as the index said, or None."""
        return self.digests.mismatch(self.written)

    def drop(self) -> None:
        """Give everything back: nothing is kept."""
        self._blobs.budget.release(self.reserved)
        self.reserved = 0
        if self._spool is not None:
            self._spool.discard()

    def _blocks_for_spool(self, length: int) -> int:
        """Return what a spool takes, and the directory that its blob may be the first one in."""
        store = self._blobs.store
        return blocks_for(length, store.block_bytes) + store.new_directory_bytes

    async def _reserve(self, wanted: int) -> None:
        await self._eviction.reserve(wanted)
        self.reserved += wanted

    def _take(self, data: bytes) -> None:
        self.digests.update(data)
        self.spool.write_at(data, self.written)


async def _disk(work: Awaitable[T]) -> T:
    """Tell a disk that has no room (or fails) from an upstream that fails."""
    try:
        return await work
    except OSError as error:
        raise NoRoomError(f"cannot write to the cache disk: {error.strerror}") from error
