"""A file for one client when there is no room to keep it: straight through, verified, not stored.

Each client gets an upstream stream of its own, a few at a time. The last 64 KiB wait in memory
until everything matched, so a wrong file is never completed here either.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from pypicached.cache.digests import Digests
from pypicached.cache.download import HOLD_BYTES
from pypicached.cache.encoded import coding_of
from pypicached.cache.source import Source
from pypicached.errors import PypicachedError, UpstreamAnswerError, VerificationError
from pypicached.upstream import FileStream

# More clients wait for their turn: without a spool each costs the upstream a whole body.
STREAMS = 4


class PassThrough:
    """How one file is streamed without being kept. `reason` says why, for logs and `status`."""

    def __init__(
        self,
        source: Source,
        *,
        reason: str,
        turn: asyncio.Semaphore,
        on_bytes: Callable[[int], None],
        on_failure: Callable[[PypicachedError], None],
    ) -> None:
        self.reason = reason
        self.length = source.expected.size
        self._source = source
        self._connection = source.connection
        self._turn = turn
        self._on_bytes = on_bytes
        self._on_failure = on_failure

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """Wait for a turn, ask upstream, yield the body's chunks; `length` is then known.

        Reading raises VerificationError before the last bytes if the file is not right.
        """
        async with self._turn, self._source.open() as stream:
            if coding_of(stream):
                # Which of two files it is shows only at its end (rule 51).
                raise UpstreamAnswerError(
                    self._connection.name, "encoded a file that there is no room to decode"
                )
            if stream.length is not None:
                if self.length not in (None, stream.length):
                    raise VerificationError(
                        self._connection.name,
                        f"announced {stream.length} bytes for a file of {self.length}",
                    )
                self.length = stream.length
            yield self._told(self._chunks(stream))

    async def _told(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass chunks on, and tell of what ends them: nobody else sees it once headers left."""
        try:
            async for chunk in chunks:
                yield chunk
        except PypicachedError as error:
            self._on_failure(error)
            raise

    async def _chunks(self, stream: FileStream) -> AsyncIterator[bytes]:
        digests = Digests(self._source.expected)
        held = b""
        read = 0
        while data := await stream.read_some():
            self._on_bytes(len(data))
            read += len(data)
            self._check_bounds(read)
            digests.update(data)
            held += data
            if len(held) > HOLD_BYTES:
                ready, held = held[:-HOLD_BYTES], held[-HOLD_BYTES:]
                yield ready
        wrong = digests.mismatch(read)
        if wrong is None and self.length is not None and read != self.length:
            wrong = f"sent {read} bytes of a file of {self.length}"
        if wrong is not None:
            raise VerificationError(self._connection.name, wrong)
        if held:
            yield held

    def _check_bounds(self, read: int) -> None:
        # More than was announced would fill the client's Content-Length before the verdict.
        if self.length is not None and read > self.length:
            raise VerificationError(
                self._connection.name, f"sent more than the {self.length} bytes of the file"
            )
        limit = self._source.expected.limit_bytes
        if limit is not None and read > limit:
            raise UpstreamAnswerError(
                self._connection.name, "its metadata is larger than [limits] metadata_size"
            )
