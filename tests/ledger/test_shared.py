"""What is known of a shared store: what waits for it, since when, and what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pypicached.ledger import BlobRow, Ledger, Waiting, shared
from tests.harness import Clock
from tests.ledger.rows import digest_of, file_row

DAY = 86400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def opened(tmp_path: Path, clock: Clock) -> AsyncIterator[Ledger]:
    async with Ledger.open(tmp_path / "ledger.sqlite", now=clock) as ledger:
        await ledger.shared.begin("store")
        yield ledger


async def queue(ledger: Ledger) -> list[str]:
    return [waiting.sha256 for waiting in await ledger.shared.next(100)]


async def queue_all(ledger: Ledger) -> None:
    while await ledger.shared.queue_some():
        pass


async def test_shared__with_its_file(opened: Ledger) -> None:
    """A file and its turn in the queue are written together; what is not shared has none."""
    await opened.files.record(file_row("a"), 4096, share=True)
    await opened.files.record(file_row("b"), 4096)
    assert await queue(opened) == [digest_of("a")]
    assert await opened.shared.waiting() == (1, 10, 1000.0)


async def test_shared__known_there_stays_known(opened: Ledger) -> None:
    """Another file of a blob that is there does not queue it; one brought from upstream does."""
    await opened.files.record(file_row("a"), 4096, share=True)
    await opened.shared.arrived(digest_of("a"), 10)
    await opened.files.record(file_row("a"), 4096, share=True, anew=False)
    assert await queue(opened) == []
    await opened.files.record(file_row("a"), 4096, share=True)
    assert await queue(opened) == [digest_of("a")]


async def test_shared__vanished(opened: Ledger, clock: Clock) -> None:
    """What vanished waits from then on; what waits keeps its turn; what is not here is dropped."""
    await opened.files.record(file_row("a"), 4096, share=True)
    await opened.shared.arrived(digest_of("a"), 10)
    await opened.shared.arrived(digest_of("gone"), 10)
    clock.advance(30 * DAY)
    before = clock()
    await opened.shared.vanished(digest_of("a"))
    await opened.shared.vanished(digest_of("gone"))
    _, _, oldest = await opened.shared.waiting()
    assert oldest is not None
    assert oldest >= before
    clock.advance(DAY)
    await opened.shared.vanished(digest_of("a"))
    assert (await opened.shared.waiting())[2] == oldest
    assert await queue(opened) == [digest_of("a")]
    assert await opened.shared.known_at(digest_of("gone")) is None


async def test_shared__dropped_unless_wanted_anew(opened: Ledger) -> None:
    """Who finds that a blob has gone does not undo that it came back meanwhile."""
    await opened.files.record(file_row("a"), 4096, share=True)
    (seen,) = await opened.shared.next(1)
    await opened.files.record(file_row("a", used_at=2000.0), 4096, share=True)
    await opened.shared.drop(seen)
    (again,) = await opened.shared.next(1)
    assert again.wanted_at == 2000.0
    await opened.shared.drop(again)
    assert await queue(opened) == []
    assert await opened.shared.waiting() == (0, 0, None)


async def test_shared__oldest(opened: Ledger, clock: Clock) -> None:
    """What is refused again and again is behind others in its turn, and the oldest all the same."""
    await opened.files.record(file_row("refused", used_at=1000.0), 4096, share=True)
    await opened.shared.postpone(digest_of("refused"), 60.0)
    await opened.files.record(file_row("fresh", used_at=2000.0), 4096, share=True)
    assert await queue(opened) == [digest_of("fresh")]
    assert await opened.shared.waiting() == (2, 20, 1000.0)
    clock.advance(61.0)
    assert await queue(opened) == [digest_of("fresh"), digest_of("refused")]


async def test_shared__clock_was_ahead(opened: Ledger, clock: Clock) -> None:
    """What a wrong clock postponed for years is not."""
    await opened.files.record(file_row("a"), 4096, share=True)
    clock.advance(1000 * DAY)
    await opened.shared.postpone(digest_of("a"), 60.0)
    clock.advance(-1000 * DAY)
    assert await queue(opened) == []
    await opened.shared.recall(7200.0)
    assert await queue(opened) == [digest_of("a")]


async def test_shared__object_renewed_by_clock_ahead(opened: Ledger, clock: Clock) -> None:
    """An object's time that a wrong clock noted is no reason not to renew it for years."""
    clock.advance(1000 * DAY)
    await opened.shared.arrived(digest_of("a"), 10)
    clock.advance(-1000 * DAY)
    await opened.files.record(file_row("a", used_at=clock()), 4096)
    (used,) = await opened.shared.used_since((clock() - DAY, ""), DAY, 10)
    assert used[0] == digest_of("a")


async def test_shared__other_store(
    opened: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another store: nothing is known of it, and all that is here waits for it."""
    monkeypatch.setattr(shared, "QUEUED_AT_ONCE", 3)
    for number in range(10):
        await opened.files.record(file_row(str(number)), 4096, share=True)
        await opened.shared.arrived(digest_of(str(number)), 10)
    await opened.shared.arrived(digest_of("evicted here"), 10)
    assert await opened.shared.begin("store") is False
    await queue_all(opened)
    assert await queue(opened) == []
    assert await opened.shared.begin("other") is True
    assert await opened.shared.known_at(digest_of("evicted here")) is None
    await queue_all(opened)
    assert len(await queue(opened)) == 10
    # The figures are right still, after rows went without them being told.
    await opened.shared.drop((await opened.shared.next(1))[0])
    assert (await opened.shared.waiting())[:2] == (9, 90)


async def test_shared__kept_without_a_store(opened: Ledger) -> None:
    """What came while there was no store waits for the same one, too; an orphan does."""
    await opened.files.record(file_row("a"), 4096)
    await opened.shared.begin("store")
    await queue_all(opened)
    assert await queue(opened) == [digest_of("a")]
    await opened.files.adopt_blobs([BlobRow(digest_of("b"), 10, 4096, 1000.0)], share=True)
    assert await queue(opened) == [digest_of("a"), digest_of("b")]


async def test_shared__forgotten(
    opened: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of objects nobody uses here does not grow for ever; the rest stays."""
    monkeypatch.setattr(shared, "LOOKED_AT_ONCE", 2)
    await opened.files.record(file_row("here"), 4096, share=True)
    await opened.shared.arrived(digest_of("here"), 10)
    for name in "abcde":
        await opened.shared.arrived(digest_of(name), 10)
    clock.advance(91 * DAY)
    await opened.shared.arrived(digest_of("young"), 10)
    after = await opened.shared.forget_some("", 90 * DAY)
    while after:
        after = await opened.shared.forget_some(after, 90 * DAY)
    known = [n for n in ("here", "young", *"abcde") if await opened.shared.known_at(digest_of(n))]
    assert known == ["here", "young"]


async def test_shared__many_in_order(opened: Ledger) -> None:
    """The queue goes by when a file was wanted, as many at a time as are asked for."""
    for number in range(30):
        await opened.files.record(file_row(str(number), used_at=5000.0 - number), 1, share=True)
    first = await opened.shared.next(3)
    expected = [Waiting(digest_of(str(n)), 10, 5000.0 - n, 0) for n in (29, 28, 27)]
    assert first == expected
