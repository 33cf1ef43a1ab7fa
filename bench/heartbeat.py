"""The daemon with a heartbeat in its event loop: `python -m bench.heartbeat FILE serve …`.

A callback is due every 5 ms. How late it is at worst is what another client would have waited, and
it is told two ways: by the clock, which counts what the machine gave to others, too, and by the
thread's own processor time, which is what the daemon itself did in one go. Both stand in a small
shared file, so that telling costs the loop nothing and stops for nobody.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import sys
import time
from pathlib import Path

import msgspec

BEAT_SECONDS = 0.005
# A number that the reader counts up to start again, and behind it what the loop tells.
_EPOCH = struct.Struct("=q")
_TOLD = struct.Struct("=qddd")
_FILE_BYTES = mmap.PAGESIZE


class Beats(msgspec.Struct, frozen=True):
    """What was seen since the last start: beats, and the worst of them."""

    beats: int
    late_seconds: float
    own_seconds: float


class Heartbeat:
    """The reader's end."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_FILE_BYTES))
        self._map = _map(path)
        self._epoch = 0

    def start(self) -> None:
        """Forget what was seen."""
        self._epoch += 1
        _EPOCH.pack_into(self._map, 0, self._epoch)

    def read(self) -> Beats | None:
        """Return what was seen since the start; None before the first beat."""
        epoch, beats, late, own = _TOLD.unpack_from(self._map, _EPOCH.size)
        return Beats(int(beats), late, own) if epoch == self._epoch else None


class _Beating:
    """The loop's end: calls itself again and again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: mmap.mmap) -> None:
        self._loop = loop
        self._map = shared
        self._epoch = -1
        self._beats, self._late, self._own = 0, 0.0, 0.0
        self._due = 0.0
        self._own_before = 0.0

    def begin(self) -> None:
        self._due = self._loop.time() + BEAT_SECONDS
        self._own_before = time.thread_time()
        self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        late, own = self._loop.time() - self._due, time.thread_time() - self._own_before
        (epoch,) = _EPOCH.unpack_from(self._map, 0)
        if epoch != self._epoch:
            self._epoch, self._beats, self._late, self._own = epoch, 0, 0.0, 0.0
        self._beats += 1
        self._late = max(self._late, late)
        # What it did until the beat was due held up nobody.
        self._own = max(self._own, min(late, own))
        _TOLD.pack_into(self._map, _EPOCH.size, epoch, self._beats, self._late, self._own)
        self.begin()


def _map(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), _FILE_BYTES)


def main() -> None:
    """Run pypicached with a heartbeat in each event loop that it makes."""
    shared = _map(Path(sys.argv[1]))
    make = asyncio.events.new_event_loop

    def make_beating() -> asyncio.AbstractEventLoop:
        loop = make()
        loop.call_soon(_Beating(loop, shared).begin)
        return loop

    # Where asyncio.run gets its loop from; a policy would do it too, but those are going.
    asyncio.events.new_event_loop = make_beating
    del sys.argv[1]
    from pypicached.__main__ import main as run  # noqa: PLC0415 - the loop's maker comes first

    run()


if __name__ == "__main__":
    main()
