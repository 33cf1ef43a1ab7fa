"""An index that moves: its pages are nobody's at once, and removed behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.errors import LedgerError
from pypicached.ledger import Ledger
from tests.ledger.rows import page_row

OLD, NEW = {"pypi": "https://old.example/"}, {"pypi": "https://new.example/"}
MANY = 120


async def rows_in(ledger: Ledger) -> int:
    db = ledger.pages._commands
    return int(next(iter(await db.execute_fetchall("SELECT COUNT(*) FROM page")))[0])


async def fill(ledger: Ledger) -> None:
    for number in range(MANY):
        await ledger.pages.put(page_row(f"p{number}"))
    await ledger.pages.put(page_row("p0", index="other"))


async def test_spaces__moved(tmp_path: Path) -> None:
    """No page of before is given, listed or touched, however long it takes to remove them.

    The new address has pages of its own meanwhile, and those stay; another index is not harmed. A
    start goes on where a stop left it.
    """
    path = tmp_path / "ledger.sqlite"
    async with Ledger.open(path) as ledger:
        assert await ledger.take_in(OLD, 0) == ([], 0)
        await fill(ledger)
        assert await ledger.take_in(NEW, 0) == (["pypi"], 0)
        assert await rows_in(ledger) == MANY + 1
        assert await ledger.pages.get("pypi", "p0") is None
        assert await ledger.pages.unused_since(1e12) == [("other", "p0")]
        assert await ledger.pages.indexes_of("p0") == ["other"]
        await ledger.pages.renew("pypi", "p0", 2000.0)
        await ledger.pages.delete([("pypi", "p1")])
        assert await ledger.pages.get("pypi", "p1") is None
        await ledger.pages.put(page_row("p0", serial=7))
        assert await ledger.pages.clear_some()
        assert 1 < await rows_in(ledger) < MANY + 2
    async with Ledger.open(path) as ledger:
        assert await ledger.take_in(NEW, 0) == ([], 0)
        while await ledger.pages.clear_some():
            pass
        assert await rows_in(ledger) == 2
        page = await ledger.pages.get("pypi", "p0")
        assert page is not None
        assert (page.index, page.serial) == ("pypi", 7)
        assert await ledger.pages.get("other", "p0") is not None
        assert await ledger.pages.count() == 2


async def test_spaces__moved_there_and_back(ledger: Ledger) -> None:
    """Back where it was, an index has none of its old pages either, removed or not."""
    await ledger.take_in(OLD, 0)
    await fill(ledger)
    for addresses in (NEW, OLD):
        assert await ledger.take_in(addresses, 0) == (["pypi"], 0)
        assert await ledger.pages.get("pypi", "p0") is None
        await ledger.pages.put(page_row("p0"))
    while await ledger.pages.clear_some():
        pass
    assert await rows_in(ledger) == 2
    assert await ledger.pages.expire("p0", "pypi") == 1


async def test_spaces__quarantine_moves_along(ledger: Ledger) -> None:
    """What the old address had put into quarantine stays there, without its page."""
    await ledger.take_in(OLD, 0)
    await ledger.pages.put(page_row("bad", status="quarantined"))
    await ledger.pages.put(page_row("good"))
    await ledger.take_in(NEW, 0)
    assert await ledger.pages.quarantined() == [("pypi", "bad")]
    page = await ledger.pages.get("pypi", "bad")
    assert page is not None
    assert (page.state, page.body, page.checked_at) == ("removed", None, 0.0)
    assert await ledger.pages.get("pypi", "good") is None


async def test_spaces__refused_transaction(ledger: Ledger) -> None:
    """Where the ledger does not take the move, the old pages are the index's as before."""
    await ledger.take_in(OLD, 0)
    await ledger.pages.put(page_row("alpha"))
    await ledger.pages._writer._db.execute("DROP TABLE audit_kept")
    with pytest.raises(LedgerError):
        await ledger.take_in(NEW, 5)
    assert await ledger.pages.get("pypi", "alpha") is not None
