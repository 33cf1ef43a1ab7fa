"""Eviction around pins: what they hold stays, and they cost next to nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.cache import eviction
from pypicached.cache.eviction import HeldPrefix
from pypicached.errors import NoRoomError
from pypicached.ledger import BlobRow
from pypicached.requirement import parse_requirement
from tests.cache.building import BLOCK, Cache, building, digests
from tests.cache.client import blobs_in, fetch, settled
from tests.fake import FakeUpstream, make_wheel
from tests.harness import running


async def pin(cache: Cache, *texts: str) -> None:
    """Pin these requirements."""
    await cache.blobs.pins.add([parse_requirement(text) for text in texts])


async def test_eviction__around_pins(tmp_path: Path) -> None:
    """What was used longest ago stays if a pin holds it; the next in line goes."""
    async with building(tmp_path, 3 * BLOCK) as cache:
        files = [await cache.keep(f"{name}-1.tar.gz", used_at=n) for n, name in enumerate("abc")]
        await pin(cache, "a")
        new = await cache.keep("d-1.tar.gz", used_at=10)
        assert cache.stored() == digests([files[0], files[2], new])
        await cache.check()


async def test_eviction__pin_made_while_it_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pin that is made between the plan and the removal holds; the next in line goes."""
    async with building(tmp_path, 2 * BLOCK) as cache:
        old = await cache.keep("a-1.tar.gz", used_at=1)
        await cache.keep("b-1.tar.gz", used_at=2)
        remove = cache.blobs.remove

        async def pin_first(wanted: list[str]) -> object:
            await pin(cache, "a")
            return await remove(wanted)

        monkeypatch.setattr(cache.blobs, "remove", pin_first)
        monkeypatch.setattr(eviction, "BATCH", 1)
        new = await cache.keep("c-1.tar.gz", used_at=3)
        assert cache.stored() == digests([old, new])


async def test_eviction__everything_pinned(tmp_path: Path) -> None:
    """Where pins leave too little nothing goes at all, and the reason is said."""
    async with building(tmp_path, 4 * BLOCK) as cache:
        files = [await cache.keep(f"{name}-1.tar.gz", used_at=n) for n, name in enumerate("abcd")]
        await pin(cache, "a", "b", "c")
        with pytest.raises(NoRoomError, match="everything that could go is pinned"):
            await cache.eviction.reserve(2 * BLOCK)
        assert cache.stored() == digests(files)
        await cache.eviction.reserve(BLOCK)
        assert cache.stored() == digests(files[:3])
        cache.budget.release(BLOCK)
        await cache.blobs.pins.remove([parse_requirement("b")])
        await cache.eviction.reserve(2 * BLOCK)
        assert cache.stored() == digests([files[0], files[2]])


async def test_eviction__many_pins_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pinned blobs gather at the old end; they are looked at once, not for every download."""
    monkeypatch.setattr(eviction, "BATCH", 2)
    async with building(tmp_path, 22 * BLOCK) as cache:
        for n in range(20):
            await cache.keep(f"a-{n}.tar.gz", used_at=n)
        for n in range(2):
            await cache.keep(f"b-{n}.tar.gz", used_at=100 + n)
        await pin(cache, "a")
        looked = 0
        of_blobs = cache.ledger.files.names_of_blobs

        async def count(wanted: list[str]) -> object:
            nonlocal looked
            looked += len(wanted)
            return await of_blobs(wanted)

        monkeypatch.setattr(cache.ledger.files, "names_of_blobs", count)
        await cache.keep("c-1.tar.gz", used_at=200)
        first, looked = looked, 0
        await cache.keep("c-2.tar.gz", used_at=201)
        assert first >= 20
        # The check, the plan and the removal of one blob, a batch of two each.
        assert looked <= 6
        await cache.check()


def test_held_prefix() -> None:
    """Only an unbroken run of pinned blobs is passed over, and only until a pin goes."""
    rows = [BlobRow(name, 1, 1, 0.0) for name in "abcd"]
    prefix = HeldPrefix()
    assert prefix.resume(1) is None
    prefix.note(rows[:2], {"a", "b"})
    prefix.note(rows[2:], {"d"})
    assert prefix.resume(1) == rows[1]
    prefix.note(rows[2:], {"c", "d"})
    assert prefix.resume(1) == rows[3]
    assert prefix.resume(2) is None


def test_held_prefix__walk_that_ends() -> None:
    """Where a walk found too little the next one begins at the first blob, now and then."""
    now = 0.0
    row = BlobRow("a", 1, 1, 0.0)
    prefix = HeldPrefix(lambda: now)
    prefix.resume(1)
    prefix.note([row], {"a"})
    prefix.ended()
    assert prefix.resume(1) == row
    now = eviction.HELD_SECONDS
    assert prefix.resume(1) == row
    prefix.ended()
    assert prefix.resume(1) is None
    prefix.note([row], {"a"})
    prefix.ended()
    assert prefix.resume(1) == row


async def test_no_room__everything_pinned(tmp_path: Path, upstream: FakeUpstream) -> None:
    """With a cache full of pins a new file passes through, and `status` says why."""
    wheels = [make_wheel(name, "1.0", size_bytes=200_000) for name in ("aa", "bb", "cc")]
    for wheel in wheels:
        upstream.add(wheel.filename.split("-")[0], wheel)
    async with running(tmp_path, upstream.url, cache__max_size="500KiB") as daemon:
        await daemon.parts.blobs.pins.add([parse_requirement("aa"), parse_requirement("bb")])
        for wheel in wheels:
            url = await daemon.file_url(wheel.filename.split("-")[0], wheel.filename)
            assert (await fetch(daemon, url)).body == wheel.body
            await settled(daemon)
        assert set(blobs_in(daemon)) == {wheels[0].sha256, wheels[1].sha256}
        problems = (await daemon.parts.operations.status()).problems
        assert any("everything that could go is pinned" in problem for problem in problems)
    async with running(tmp_path, upstream.url, cache__max_size="500KiB") as daemon:
        assert [str(rule) for rule in daemon.parts.blobs.pins.rules] == ["aa", "bb"]
        rows = list(await daemon.parts.operations.list_files("aa", "size"))
        assert [row.pinned for row in rows] == [True]


async def test_status__bad_line_of_pins(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A line of the file that pins nothing is a problem in `status`, and stays in the file."""
    (tmp_path / "cache").mkdir()
    path = tmp_path / "cache" / "pins.txt"
    path.write_text("flask[async]\n")
    async with running(tmp_path, upstream.url) as daemon:
        (problem,) = (await daemon.parts.operations.status()).problems
        assert problem.startswith(f"line 1 of {path} pins nothing: ")
    assert path.read_text() == "flask[async]\n"
