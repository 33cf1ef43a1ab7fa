"""Ledger, store, budget, pins and eviction under whatever happens in whatever order.

Everything is real but the clock. After each step disk, ledger and budget are what the model says:
so what goes is exactly what was used longest ago and is neither pinned nor being read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pypicached.cache.eviction import HIGH
from pypicached.cache.pruning import Asked, Pruning
from pypicached.cache.recovery import count_stored, reconcile
from pypicached.errors import NoRoomError
from pypicached.ledger import CachedFile
from pypicached.requirement import parse_requirement
from tests.cache.building import BLOCK, Cache, building, content_of, make_file
from tests.cache.model import Held, Model

T = TypeVar("T")

LIMIT = 16 * BLOCK
names = st.tuples(st.sampled_from("abc"), st.integers(0, 3)).map(lambda n: f"{n[0]}-{n[1]}.tar.gz")
sizes = st.integers(1, 5).map(lambda n: n * BLOCK)
some = st.randoms(use_true_random=False)


class CacheMachine(RuleBasedStateMachine):
    """One cache directory, through several lives of its daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="machine-"))
        self.runner = asyncio.Runner()
        self.now = 1000
        self.model = Model(LIMIT)
        self.readers: list[contextlib.ExitStack] = []
        self.start()

    # ── lives ────────────────────────────────────────────────────────────────────────────────

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something; time passes."""
        self.now += 1
        return self.runner.run(work)

    def start(self) -> None:
        """Open everything as a daemon does."""
        self.life = contextlib.AsyncExitStack()

        async def start() -> Cache:
            cache = await self.life.enter_async_context(
                building(self.root, LIMIT, now=lambda: float(self.now))
            )
            await cache.blobs.pins.read()
            await count_stored(cache.ledger, cache.blobs)
            await reconcile(cache.ledger, cache.blobs)
            return cache

        self.cache = self.do(start())

    def stop(self) -> None:
        """Close everything; readers leave first."""
        while self.readers:
            self.end_reading()
        self.do(self.life.aclose())

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.stop()
        self.runner.close()
        shutil.rmtree(self.root)

    # ── what clients do ──────────────────────────────────────────────────────────────────────

    @initialize(downloads=st.lists(st.tuples(names, sizes), min_size=3, max_size=8))
    def keep_some(self, downloads: list[tuple[str, int]]) -> None:
        """A cache is rarely empty."""
        for name, size in downloads:
            self._keep(name, size)

    @rule(downloads=st.lists(st.tuples(names, sizes), min_size=1, max_size=3), chance=some)
    def keep(self, downloads: list[tuple[str, int]], chance: Any) -> None:
        """Most of what happens are hits and downloads."""
        for name, size in downloads:
            if self.named():
                self.use(chance)
            self._keep(name, size)

    def _keep(self, name: str, size: int) -> None:
        """A download: room is made, and it is kept, or there is no room and nothing was."""
        file = self.file(name, size)
        self.assume_unpinned_names_move(file)
        fits = self.model.reserve(size)
        try:
            self.do(self.cache.keep(name, size, used_at=self.now))
        except NoRoomError:
            assert not fits
        else:
            assert fits
            self.model.keep(file.sha256, size, key(file), self.now - 1)

    @rule(name=names, chance=some)
    @precondition(lambda self: self.model.blobs)
    def link(self, name: str, chance: Any) -> None:
        """The same bytes under another name take no room."""
        sha256 = self.one(chance, list(self.model.blobs))
        held = self.model.blobs[sha256]
        file = msgspec.structs.replace(
            self.file(name, held.size), sha256=sha256, last_used_at=float(self.now)
        )
        self.assume_unpinned_names_move(file)
        assert self.do(self.cache.blobs.link(file))
        self.model.keep(sha256, held.size, key(file), self.now - 1)

    @rule(chance=some)
    @precondition(lambda self: self.named())
    def use(self, chance: Any) -> None:
        """A hit: its time is only in memory until somebody needs it."""
        sha256 = self.one(chance, self.named())
        held = self.model.blobs[sha256]
        _, filename = min(held.names)
        self.cache.ledger.usage.touch_file("pypi", f"files.test/{filename}", "file", sha256)
        held.used_at = self.now
        self.now += 1

    @rule(chance=some)
    @precondition(lambda self: self.model.blobs)
    def begin_reading(self, chance: Any) -> None:
        """A client begins to read."""
        sha256 = self.one(chance, list(self.model.blobs))
        reader = contextlib.ExitStack()
        reader.enter_context(self.cache.blobs.in_use(sha256))
        self.readers.append(reader)
        self.model.reading.append(sha256)

    @rule()
    @precondition(lambda self: self.readers)
    def end_reading(self) -> None:
        """The client that began first is done."""
        self.readers.pop(0).close()
        self.model.reading.pop(0)

    # ── what operators do ────────────────────────────────────────────────────────────────────

    @rule(project=st.sampled_from("abc"))
    def pin(self, project: str) -> None:
        """From now on nothing of a project goes."""
        self.do(self.cache.blobs.pins.add([parse_requirement(project)]))
        self.model.pins.add(project)

    @rule(project=st.sampled_from("abc"))
    def unpin(self, project: str) -> None:
        """It may go again."""
        self.do(self.cache.blobs.pins.remove([parse_requirement(project)]))
        self.model.pins.discard(project)

    @rule(size=st.integers(0, 16).map(lambda n: n * BLOCK))
    def prune_to_size(self, size: int) -> None:
        """Down to a size, the least recently used first."""
        self.do(self.prune(Asked(to_size_bytes=size)))
        self.model.evict(self.model.used - size)

    @rule(ago=st.integers(1, 40))
    def prune_unused(self, ago: int) -> None:
        """What was not used for so long goes."""
        before = self.now + 1 - ago
        self.do(self.prune(Asked(days=ago / 86400)))
        for sha256 in self.model.may_go():
            if self.model.blobs[sha256].used_at < before:
                del self.model.blobs[sha256]

    async def prune(self, asked: Asked) -> None:
        """Prune as `keeping` does; pages are not of this test."""
        pruning = Pruning(
            self.cache.ledger, self.cache.blobs, *cast("Any", (None, None)), now=lambda: self.now
        )
        async for batch in pruning.candidates(asked):
            removal = await pruning.remove(batch)
            assert (removal.gone, removal.failed) == (set(batch.blobs), {})

    # ── what happens by itself ───────────────────────────────────────────────────────────────

    @rule()
    def thin_out(self) -> None:
        """The worker looks."""

        async def look() -> None:
            if self.cache.eviction._above(HIGH) > 0:
                await self.cache.eviction._thin_out()

        self.do(look())
        self.model.thin_out()

    @rule()
    def flush(self) -> None:
        """Pending times are written."""
        self.do(self.cache.ledger.usage.flush())

    @rule()
    def restart(self) -> None:
        """An orderly stop and a start."""
        self.stop()
        self.start()

    @rule(name=names, size=sizes)
    def crash_before_the_row(self, name: str, size: int) -> None:
        """Killed between blob and row: the next start takes the blob back, without a name."""
        file = self.file(name, size)
        assume(file.sha256 not in self.model.blobs and self.model.used + size <= LIMIT)
        path = self.path(file.sha256)
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content_of(name, size))
        os.utime(path, (self.now, self.now))
        self.model.blobs[file.sha256] = Held(size, self.now, set())
        self.restart()

    @rule(chance=some)
    @precondition(lambda self: len(self.model.blobs) > 1)
    def power_cut(self, chance: Any) -> None:
        """A row without a blob after a power cut: the next start drops it."""
        sha256 = self.one(chance, list(self.model.blobs))
        self.stop()
        self.path(sha256).unlink()
        del self.model.blobs[sha256]
        self.start()

    # ── what always holds ────────────────────────────────────────────────────────────────────

    @invariant()
    def all_tell_the_same(self) -> None:
        """Disk, rows, sums and budget are those of the model, and within the limit."""
        self.runner.run(self.cache.check())
        assert self.cache.budget.used_bytes == self.model.used <= LIMIT
        rows = self.runner.run(self.cache.ledger.files.get_blobs(list(self.model.blobs)))
        assert {sha256: row.size_bytes for sha256, row in rows.items()} == {
            sha256: held.size for sha256, held in self.model.blobs.items()
        }
        assert self.cache.stored() == set(self.model.blobs)

    @invariant()
    def names_are_kept(self) -> None:
        """Each blob has the names that it was given."""
        found = self.runner.run(self.cache.ledger.files.names_of_blobs(list(self.model.blobs)))
        assert {d: {(n.project, n.filename) for n in held} for d, held in found.items()} == {
            sha256: held.names for sha256, held in self.model.blobs.items() if held.names
        }

    @invariant()
    def readers_keep_theirs(self) -> None:
        """What is being read is there."""
        assert set(self.model.reading) <= self.cache.stored()

    # ── words of the rules ───────────────────────────────────────────────────────────────────

    def file(self, name: str, size: int) -> CachedFile:
        """Return the row of a file of this content."""
        return make_file(name, content_of(name, size), used_at=self.now)

    def assume_unpinned_names_move(self, file: CachedFile) -> None:
        """Leave out what is not exact: a pinned blob that loses its name to another.

        It is passed over for a while as if it were still pinned (`eviction.HeldPrefix`).
        """
        others = [held for sha256, held in self.model.blobs.items() if sha256 != file.sha256]
        pinned = file.project in self.model.pins
        assume(not (pinned and any(key(file) in held.names for held in others)))

    def path(self, sha256: str) -> Path:
        """Return where a blob is."""
        return self.root / "blobs" / "sha256" / sha256[:2] / sha256

    def named(self) -> list[str]:
        """Return the blobs that can be asked for."""
        return [sha256 for sha256, held in self.model.blobs.items() if held.names]

    def one(self, chance: Any, of: list[str]) -> str:
        """Choose one."""
        return str(chance.choice(sorted(of)))


def key(file: CachedFile) -> tuple[str, str]:
    """Return what the model calls a file."""
    return file.project, file.filename


# The same examples each time: a failure here is to be seen by everybody.
# Only a failure takes long: it is made as small as it can be.
TestCacheMachine = pytest.mark.timeout(300)(CacheMachine.TestCase)
TestCacheMachine.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
