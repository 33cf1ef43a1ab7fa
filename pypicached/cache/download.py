"""One download as its readers see it: a growing spool, a length, and how it ended.

The owner (`transfer`) is the only one that writes the state; readers wait, open the spool and send.
What may be sent is `releasable`: never the last 64 KiB before length and digests matched, so that
no client ever completes a wrong file.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from pypicached.cache.progress import Progress
from pypicached.cache.source import Source
from pypicached.cache.uses import Uses
from pypicached.errors import PypicachedError
from pypicached.simple.model import ProjectFile
from pypicached.store import Spool

# Held back until verified; files up to this size are sent only when they are known to be right.
HOLD_BYTES = 64 * 1024


class Download:
    """State of one running download. Single-threaded; any number of readers.

    Whoever holds it has attached to it, the owner first; the last one to detach closes the spool.
    """

    def __init__(self, filename: str, source: Source) -> None:
        self.filename = filename
        self.source = source
        self.length: int | None = source.expected.size
        self.progress = Progress()
        self.error: PypicachedError | None = None
        self._began = time.monotonic()
        self.sha256: str | None = None
        # Whether a shared store gives it, at least in part.
        self.shared = False
        # What caches on upstream's side say of it (`chain.told_by`).
        self.told = ""
        # Whether a reader has begun to get it: it goes on whatever is decided meanwhile.
        self.flowing = False
        # A sidecar is small, and may turn out to be wrong and be made anew: all or nothing.
        self._held = source.kind == "metadata"
        self._hold: asyncio.TimerHandle | None = None
        self._attached = 0
        self._spool: Spool | None = None
        self._uses: Uses | None = None

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began

    @property
    def readers(self) -> int:
        """How many clients wait for it or read it (the owner is attached too)."""
        return self._attached - 1

    def attach(self) -> None:
        """Hold the download and its spool; `detach` once for each."""
        self._attached += 1
        if self._uses is not None and self.sha256 is not None:
            self._uses.begin(self.sha256)

    def detach(self) -> None:
        """Let go; the last one closes the spool."""
        self._attached -= 1
        if self._uses is not None and self.sha256 is not None:
            self._uses.end(self.sha256)
        if self._attached == 0 and self._spool is not None:
            self._spool.close()

    # ── the owner's side ─────────────────────────────────────────────────────────────────────

    def begin(self, spool: Spool, length: int | None) -> None:
        """There is a spool, with room for `length` (None: not even the answer's head told)."""
        self._spool = spool
        self.length = length
        self.progress.changed()

    @property
    def held(self) -> bool:
        """Whether nothing has left so far."""
        return self._held

    def hold_all(self) -> None:
        """Release nothing before everything matched; nothing may have left."""
        assert not self.releasable, "bytes may have left"
        self._end_hold()
        self._held = True

    def hold_for(self, seconds: float) -> None:
        """Release nothing before everything matched, or so much time has passed."""
        if not self._held and not self.releasable:
            self._held = True
            self._hold = asyncio.get_running_loop().call_later(seconds, self._let_flow)

    def _let_flow(self) -> None:
        self._hold, self._held = None, False
        self.progress.changed()

    def _end_hold(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None

    def start_over(self) -> None:
        """What came so far was not the file; nothing of it may have left."""
        assert not self.releasable, "bytes may have left"
        self._end_hold()
        self._held = self.source.kind == "metadata"
        self._spool = None
        self.length = self.source.expected.size
        self.progress.written = 0

    def begin_again(self, made: bytes) -> None:
        """What upstream sent was not the file, or not there: these bytes of ours are."""
        self.hold_all()
        self.start_over()
        self.source = msgspec.structs.replace(self.source, made=made)
        self.length = None

    def verified(self, sha256: str, length: int, uses: Uses) -> None:
        """Length and every digest matched: all bytes may leave."""
        self._end_hold()
        self.sha256 = sha256
        self.length = length
        self._uses = uses
        for _ in range(self._attached):
            uses.begin(sha256)
        self.progress.end()

    def failed(self, error: PypicachedError) -> None:
        """The download is over and nothing is kept; what was verified stays so.

        The first reason is the one that counts.
        """
        if self.sha256 is None and self.error is None:
            self._end_hold()
            self.error = error
            self.progress.end()

    # ── the readers' side ────────────────────────────────────────────────────────────────────

    @property
    def releasable(self) -> int:
        """How many bytes, from the file's start, may have left by now."""
        written = self.progress.written
        if self.sha256 is not None:
            return written
        if self._held:
            return 0
        whole = written if self.length is None else self.length
        return max(0, min(written, whole - HOLD_BYTES))

    async def wait_beyond(self, offset: int) -> int:
        """Wait until bytes beyond `offset` may leave; return how far they reach.

        Returns `offset` or less at the end of a file that has no more. Raises what the download
        failed with.
        """
        while self.releasable <= offset and not self.progress.ended:
            await self.progress.wait()
        self._raise_if_failed()
        return self.releasable

    async def wait_for_end(self) -> None:
        """Wait until it is whole, verified. Raises what the download failed with."""
        while not self.progress.ended:
            await self.progress.wait()
        self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        if self.error is not None:
            raise self.error

    def open_reader(self) -> int:
        """Return a file descriptor of the spool that is the reader's own to close."""
        assert self._spool is not None, "wait_beyond first"
        return self._spool.open_reader()


class Miss(msgspec.Struct, frozen=True):
    """A running download that the taker is attached to and must detach from."""

    project: str
    entry: ProjectFile
    download: Download
    leading: bool
