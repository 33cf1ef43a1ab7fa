"""Eviction: the least recently used go first, never what is in use, and no more than needed."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.cache import eviction
from pypicached.cache.blobs import Removal
from pypicached.cache.eviction import HIGH, LOW, Tally, plan_eviction
from pypicached.errors import LedgerError, NeverFitsError, NoRoomError
from pypicached.ledger import BlobRow
from tests.cache.building import BLOCK, PLENTY, building, digests
from tests.cache.client import until

rows = st.lists(
    st.builds(BlobRow, st.uuids().map(str), st.just(1), st.integers(0, 50), st.just(0.0)),
    max_size=20,
    unique_by=lambda row: row.sha256,
)


@given(rows, st.integers(-5, 300), st.data())
def test_plan__fewest_oldest_first(
    oldest_first: list[BlobRow], needed: int, data: st.DataObject
) -> None:
    """The plan is the shortest run of the oldest that may go which frees what is needed."""
    keep = data.draw(
        st.sets(st.sampled_from([row.sha256 for row in oldest_first]))
        if oldest_first
        else st.just(set())
    )
    may_go = [row for row in oldest_first if row.sha256 not in keep]
    plan = plan_eviction(oldest_first, needed, keep)
    assert plan == may_go[: len(plan)]
    freed = [sum(row.disk_bytes for row in plan[:n]) for n in range(len(plan) + 1)]
    assert all(partly < needed for partly in freed[:-1])
    assert freed[-1] >= needed or plan == may_go


async def test_eviction__least_recently_used_goes_first(tmp_path: Path) -> None:
    """Room for one more is made by the one blob that was used longest ago."""
    async with building(tmp_path, 4 * BLOCK) as cache:
        files = [await cache.keep(f"p-{n}", used_at=1000 + n) for n in (2, 0, 3, 1)]
        new = await cache.keep("p-new", used_at=2000)
        assert cache.stored() == digests([files[0], files[2], files[3], new])
        await cache.check()


async def test_eviction__pending_access_times_count(tmp_path: Path) -> None:
    """A use that is not yet in the ledger saves its blob."""
    async with building(tmp_path, 2 * BLOCK) as cache:
        old, newer = await cache.keep("p-0", used_at=1000), await cache.keep("p-1", used_at=1001)
        cache.ledger.usage.touch_file(old.index, old.path, old.kind, old.sha256)
        new = await cache.keep("p-2", used_at=2000)
        assert cache.stored() == digests([old, new])
        assert await cache.ledger.files.get(newer.index, newer.path, newer.kind) is None


async def test_eviction__in_use_stays(tmp_path: Path) -> None:
    """What is being read stays, the next one goes; if nothing may go there is no room."""
    async with building(tmp_path, 2 * BLOCK) as cache:
        old, newer = await cache.keep("p-0", used_at=1000), await cache.keep("p-1", used_at=1001)
        with cache.blobs.in_use(old.sha256):
            new = await cache.keep("p-2", used_at=2000)
            assert cache.stored() == digests([old, new])
            with cache.blobs.in_use(new.sha256), pytest.raises(NoRoomError):
                await cache.eviction.reserve(BLOCK)
        assert cache.budget.reserved_bytes == 0
        assert await cache.ledger.files.get(newer.index, newer.path, newer.kind) is None
        await cache.eviction.reserve(2 * BLOCK)
        assert cache.stored() == set()


async def test_eviction__never_fits_evicts_nothing(tmp_path: Path) -> None:
    """A file larger than the whole budget costs nobody else their place."""
    async with building(tmp_path, 2 * BLOCK) as cache:
        file = await cache.keep("p-0")
        with pytest.raises(NeverFitsError):
            await cache.eviction.reserve(2 * BLOCK + 1)
        assert cache.stored() == digests([file])


async def test_eviction__what_all_could_not_make_costs_nothing(tmp_path: Path) -> None:
    """Where all blobs together are not enough none of them goes: one page may lie about a size."""
    async with building(tmp_path) as cache:
        files = [await cache.keep(f"p-{n}", used_at=1000 + n) for n in range(3)]
        cache.free_bytes = BLOCK
        with pytest.raises(NoRoomError):
            await cache.eviction.reserve(5 * BLOCK)
        assert cache.stored() == digests(files)
        await cache.check()


async def test_eviction__disk_that_cannot_be_asked(tmp_path: Path) -> None:
    """While the disk is gone there is no room, and nothing goes; afterwards all is as before."""
    async with building(tmp_path / "cache", 10 * BLOCK) as cache:
        cache.budget._free_bytes = cache.store.free_bytes
        file = await cache.keep("p-0")
        root = cache.store.root
        root.rename(tmp_path / "away")
        root.mkdir()  # the bare mount point
        with pytest.raises(NoRoomError, match="No such file"):
            await cache.eviction.reserve(BLOCK)
        root.rmdir()
        (tmp_path / "away").rename(root)
        await cache.eviction.reserve(BLOCK)
        cache.budget.release(BLOCK)
        assert cache.stored() == digests([file])
        await cache.check()


async def test_eviction__room_given_is_not_taken_back(tmp_path: Path) -> None:
    """A disk that fails right after a reservation leaves it with its owner."""
    async with building(tmp_path) as cache:
        answers = iter([PLENTY, PLENTY])

        def ask() -> int:
            for answer in answers:
                return answer
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        cache.budget._free_bytes = ask
        await cache.eviction.reserve(BLOCK)
        assert cache.budget.reserved_bytes == BLOCK


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "bad disk"), LedgerError("no"), NoRoomError("gone")]
)
async def test_eviction__worker_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever fails at one look, the worker looks again."""
    monkeypatch.setattr(eviction, "LOOK_SECONDS", 0.001)
    async with building(tmp_path, 10 * BLOCK) as cache:
        for n in range(10):
            await cache.keep(f"p-{n}", used_at=1000 + n)
        evict, failures = cache.eviction._evict, iter(range(3))

        async def fail(needed: int, tally: Tally, **how: bool) -> None:
            for _ in failures:
                raise error
            await evict(needed, tally, **how)

        monkeypatch.setattr(cache.eviction, "_evict", fail)
        worker = asyncio.create_task(cache.eviction.run())
        try:
            await until(lambda: cache.eviction.evicted_blobs > 0)
        finally:
            worker.cancel()
            with pytest.raises(asyncio.CancelledError):
                await worker


async def test_eviction__read_only_disk_costs_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be removed there is no room, and every file is still known."""

    def refuse(_path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    asked = 0
    async with building(tmp_path, 5 * BLOCK) as cache:
        files = [await cache.keep(f"p-{n}", used_at=1000 + n) for n in range(5)]
        remove = cache.blobs.remove

        async def count(wanted: list[str]) -> Removal:
            nonlocal asked
            asked += 1
            return await remove(wanted)

        with monkeypatch.context() as patch:
            patch.setattr(eviction, "BATCH", 1)
            patch.setattr(Path, "unlink", refuse)
            patch.setattr(cache.blobs, "remove", count)
            with pytest.raises(NoRoomError, match="Read-only"):
                await cache.eviction.reserve(2 * BLOCK)
        assert asked == 1
        for file in files:
            assert await cache.ledger.files.get(file.index, file.path, file.kind) == file
        assert cache.stored() == digests(files)
        await cache.check()


async def test_eviction__for_others_on_the_disk(tmp_path: Path) -> None:
    """When the disk runs short the cache shrinks, without any limit of its own."""
    async with building(tmp_path) as cache:
        files = [await cache.keep(f"p-{n}", used_at=1000 + n) for n in range(3)]
        cache.free_bytes = 0
        # The disk claims to stay full whatever goes: everything goes, and still no room.
        with pytest.raises(NoRoomError):
            await cache.eviction.reserve(2 * BLOCK)
        assert cache.stored() == digests(files[2:])


async def test_eviction__reservations_in_turn(tmp_path: Path) -> None:
    """Many downloads that want room at once never get more than there is."""
    async with building(tmp_path, 10 * BLOCK) as cache:
        for n in range(10):
            await cache.keep(f"p-{n}", used_at=1000 + n)
        results = await asyncio.gather(
            *(cache.eviction.reserve(BLOCK) for _ in range(15)), return_exceptions=True
        )
        given_room = sum(result is None for result in results)
        assert given_room == 10
        assert all(isinstance(r, NoRoomError) for r in results if r is not None)
        assert cache.budget.reserved_bytes == 10 * BLOCK
        assert cache.stored() == set()


async def test_eviction__more_blobs_than_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eviction goes on behind its first batch, and past blobs that are in use."""
    monkeypatch.setattr(eviction, "BATCH", 2)
    async with building(tmp_path, 9 * BLOCK) as cache:
        files = [await cache.keep(f"p-{n}", used_at=1000) for n in range(9)]
        held = sorted(digests(files))[:3]
        for digest in held:
            cache.blobs.uses.begin(digest)
        await cache.eviction.reserve(6 * BLOCK)
        assert cache.stored() == set(held)


async def test_eviction__worker_between_the_marks(tmp_path: Path) -> None:
    """Above the high mark the worker goes down to the low one, in the background."""
    limit = 100 * BLOCK
    async with building(tmp_path, limit) as cache:
        worker = asyncio.create_task(cache.eviction.run())
        try:
            for n in range(97):
                await cache.keep(f"p-{n}", used_at=1000 + n)
            assert cache.budget.used_bytes == HIGH * limit
            assert cache.eviction.evicted_blobs == 0
            await cache.keep("p-97", used_at=2000)
            await until(lambda: cache.eviction.evicted_blobs >= 5)
            async with cache.eviction._turn:
                assert cache.budget.used_bytes <= LOW * limit
                assert cache.budget.used_bytes > LOW * limit - 2 * BLOCK
            await cache.check()
        finally:
            worker.cancel()
            with pytest.raises(asyncio.CancelledError):
                await worker


async def test_eviction__ledger_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that cannot be written makes no room, and costs no blob."""
    async with building(tmp_path, BLOCK) as cache:
        file = await cache.keep("p-0")

        async def refuse(_digests: list[str]) -> None:
            raise LedgerError("no")

        with monkeypatch.context() as patch:
            patch.setattr(cache.ledger.files, "forget_blobs", refuse)
            with pytest.raises(NoRoomError):
                await cache.eviction.reserve(BLOCK)
        assert cache.stored() == digests([file])
        await cache.check()
