"""What a shared store gives of one download, as far as it gives it.

A store that breaks off is asked once more for the rest; what it does not give then, or gives too
slowly, comes from upstream. Its bytes are held until they are verified, for a while: damaged ones
are thrown away then, and no client has had them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from pypicached.cache.digests import Expected
from pypicached.cache.download import Download
from pypicached.cache.shared import Shared
from pypicached.errors import BlobMissingError, StoreError, StoreUnavailableError
from pypicached.store import BlobStream

TRIES = 2
# Until its first byte, which leaves upstream most of what a client's may take (`cold_deadline`).
FIRST_SECONDS = 2.5
# Clients wait for their first byte meanwhile: pip gives up after 15 s.
HOLD_SECONDS = 3.0
# Upstream is asked instead of a store that gave less than this, on the average of so many seconds.
SLOWEST_BYTES_PER_SECOND, SLOW_SECONDS = 256 * 1024, 5.0


class TooSlowError(StoreError):
    """The store gives bytes, but upstream will do better."""


class SharedPart:
    """Used by one transfer. `octets` is how much of the file the store has given."""

    def __init__(self, shared: Shared, download: Download) -> None:
        self.octets = 0
        self._shared = shared
        self._download = download
        self._expected: Expected = download.source.expected
        self._sha256 = self._expected.hashes.get("sha256", "")
        self._length: int | None = None
        self._kept_at = 0.0

    async def take(
        self,
        begin: Callable[[int], Awaitable[None]],
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Write as much of the file as the store gives; `begin` is told its length first.

        Raises what these two do, and nothing of the store's.
        """
        # Not every page gives a sha256, and bytes of our own making need no store.
        if len(self._sha256) != 64 or self._download.source.made is not None:
            return
        for _ in range(TRIES):
            if not self._shared.may_have(self._sha256):
                return
            try:
                await self._try(begin, write)
            except TimeoutError:
                self._shared.health.failed(StoreUnavailableError("does not answer in time"))
            except StoreError as error:
                if not isinstance(error, (BlobMissingError, TooSlowError)):
                    continue
            return

    async def _try(
        self,
        begin: Callable[[int], Awaitable[None]],
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Take what is missing. Raises StoreError, TimeoutError if nothing comes in time."""
        async with (
            asyncio.timeout(FIRST_SECONDS) as first,
            self._shared.open(self._sha256, offset=self.octets) as stream,
        ):
            fits = self._fits(stream)
            if fits:
                data = await stream.read_some()
                first.reschedule(None)
                if self._length is None:
                    self._length, self._kept_at = stream.length, stream.kept_at
                    await begin(stream.length)
                    self._download.hold_for(HOLD_SECONDS)
                await self._copy(stream, data, write)
        if not fits:
            await self.damaged(f"{stream.length} bytes long")

    async def damaged(self, problem: str) -> None:
        """What the store gave was not the file."""
        await self._shared.damaged(self._sha256, self._download.filename, problem)

    async def verified(self) -> None:
        """All that the store gave was the file."""
        await self._shared.verified(self._sha256, self.octets, self._kept_at)

    def _fits(self, stream: BlobStream) -> bool:
        """Whether the object may be the file by its length."""
        expected, limit = self._expected.size, self._expected.limit_bytes
        wanted = expected if self._length is None else self._length
        within = limit is None or stream.length <= limit
        return stream.start == self.octets and wanted in (None, stream.length) and within

    async def _copy(
        self, stream: BlobStream, data: bytes, write: Callable[[bytes], Awaitable[None]]
    ) -> None:
        began, so_far = time.monotonic(), self.octets
        while data:
            self._shared.received_bytes += len(data)
            await write(data)
            self.octets += len(data)
            passed = time.monotonic() - began
            if passed > SLOW_SECONDS:
                if self.octets - so_far < passed * SLOWEST_BYTES_PER_SECOND:
                    raise TooSlowError("is too slow")
                began, so_far = time.monotonic(), self.octets
            data = await stream.read_some()
