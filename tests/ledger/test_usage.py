"""Usage: gathered in memory, written in one transaction, lost by nobody's failure."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pypicached.errors import LedgerError
from pypicached.ledger import Ledger
from tests.ledger.conftest import NOW
from tests.ledger.rows import file_row, page_row


async def test_usage__counts(ledger: Ledger) -> None:
    """Counters come back by kind and by index, sums over flushes, projects by requests."""
    usage = ledger.usage
    for _ in range(2):
        usage.count("page", "one", "hits", "alpha", 100)
        usage.count("file", "one", "misses", "alpha")
        usage.count("file", "two", "errors")
        usage.count("file", "two", "hits", "beta", 7)
        usage.count_received("file", "one", 50)
        usage.count_upstream("file", "one", "200")
        await usage.flush()
    kinds, indexes, since = await usage.totals(NOW - 10)
    assert since == NOW - NOW % 3600
    assert (kinds["page"]["requests"], kinds["page"]["hits"]) == (2, 2)
    assert kinds["file"]["requests"] == 6
    assert (kinds["file"]["bytes_from_cache"], kinds["file"]["bytes_from_upstream"]) == (14, 100)
    assert (indexes["one"]["requests"], indexes["one"]["upstream_requests"]) == (4, 2)
    assert (indexes["two"]["errors"], indexes["two"]["hits"]) == (2, 2)
    assert await usage.top(NOW - 10, 5) == [("alpha", 4, 200), ("beta", 2, 14)]
    assert await usage.top(NOW - 10, 1) == [("alpha", 4, 200)]
    assert (await usage.totals(NOW + 7200))[0] == {}


async def test_usage__touches(ledger: Ledger) -> None:
    """A use moves the last use of file, blob and page, and counts a hit per use."""
    file = file_row("a")
    await ledger.files.record(file, 4096)
    await ledger.pages.put(page_row("alpha"))
    for _ in range(3):
        ledger.usage.touch_file(file.index, file.path, file.kind, file.sha256)
    ledger.usage.touch_page("pypi", "alpha")
    await ledger.usage.flush()
    found = await ledger.files.get(file.index, file.path, file.kind)
    blob = await ledger.files.get_blob(file.sha256)
    assert found is not None
    assert blob is not None
    assert (found.hits, found.last_used_at, blob.last_used_at) == (3, NOW, NOW)
    assert await ledger.pages.unused_since(NOW) == []


async def test_usage__of_what_has_gone(ledger: Ledger) -> None:
    """A use of a file that was evicted meanwhile makes no row."""
    ledger.usage.touch_file("pypi", "files.test/gone", "file", "00" * 32)
    ledger.usage.touch_page("pypi", "gone")
    await ledger.usage.flush()
    assert await ledger.files.totals() == (0, 0)
    assert await ledger.pages.count() == 0


async def test_usage__flush_that_fails_keeps_counts(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts that could not be written are written next time, with those that came since."""
    file = file_row("a")
    await ledger.files.record(file, 4096)

    def use() -> None:
        ledger.usage.count("file", "pypi", "hits", "alpha", 10)
        ledger.usage.touch_file(file.index, file.path, file.kind, file.sha256)
        ledger.usage.touch_page("pypi", "alpha")

    use()
    # An hour that the schema refuses: the transaction fails half-way.
    with monkeypatch.context() as patch:
        patch.setattr("pypicached.ledger.usage.TOUCH_PAGE", "UPDATE nowhere SET x = ?")
        with pytest.raises(LedgerError):
            await ledger.usage.flush()
    assert (await ledger.usage.totals(0))[0] == {}
    use()
    await ledger.usage.flush()
    kinds, _, _ = await ledger.usage.totals(0)
    assert (kinds["file"]["requests"], kinds["file"]["bytes_from_cache"]) == (2, 20)
    found = await ledger.files.get(file.index, file.path, file.kind)
    assert found is not None
    assert found.hits == 2
    assert await ledger.usage.top(0, 1) == [("alpha", 2, 20)]
    await ledger.usage.flush()
    assert (await ledger.usage.totals(0))[0] == kinds


async def test_usage__cancelled_flush_loses_nothing(ledger: Ledger) -> None:
    """A flush that is cancelled at any step loses no count."""
    for n in range(12):
        ledger.usage.count("file", "pypi", "hits", "alpha", 1)
        flush = asyncio.create_task(ledger.usage.flush())
        for _ in range(n):
            await asyncio.sleep(0)
        flush.cancel()
        await asyncio.wait({flush})
    await ledger.usage.flush()
    kinds, _, _ = await ledger.usage.totals(0)
    assert kinds["file"]["requests"] >= 12


async def test_usage__written_at_the_end(tmp_path: Path) -> None:
    """Closing the ledger writes what is pending."""
    path = tmp_path / "ledger.sqlite"
    async with Ledger.open(path, now=lambda: NOW) as ledger:
        ledger.usage.count("page", "pypi", "hits")
    async with Ledger.open(path, now=lambda: NOW) as ledger:
        assert (await ledger.usage.totals(0))[0]["page"]["hits"] == 1


async def test_usage__old_hours_are_dropped(tmp_path: Path) -> None:
    """Hours beyond what is kept are dropped as new ones are written."""
    moments = [NOW - 4000 * 86400, NOW]
    path = tmp_path / "ledger.sqlite"
    for moment in moments:
        async with Ledger.open(path, now=lambda moment=moment: moment) as ledger:  # type: ignore[misc]
            ledger.usage.count("page", "pypi", "hits", "alpha")
            await ledger.usage.flush()
            kinds, _, _ = await ledger.usage.totals(0)
            assert kinds["page"]["hits"] == 1
            assert await ledger.usage.top(0, 5) == [("alpha", 1, 0)]


async def test_writer__transactions_never_interleave(ledger: Ledger) -> None:
    """Two tasks that write at once each have their transaction whole; a failed one leaves none."""

    async def put(name: str, fail: bool) -> None:
        async with ledger.pages._writer.transaction() as db:
            for part in range(3):
                await db.execute(
                    "INSERT INTO odd_file VALUES ('pypi', ?, ?)", (f"{name}{part}", name)
                )
                await asyncio.sleep(0)
            if fail:
                raise KeyError(name)

    await asyncio.gather(*(put(f"w{n}", fail=n % 2 == 1) for n in range(6)), return_exceptions=True)
    for n in range(6):
        found = [await ledger.pages.project_of_odd("pypi", f"w{n}{part}") for part in range(3)]
        assert found == ([None] * 3 if n % 2 else [f"w{n}"] * 3)
