"""Rows of pages: round trips, renewal, invalidation, and paging by last use."""

from __future__ import annotations

import msgspec
import pytest

from pypicached.ledger import Ledger
from tests.ledger.rows import page_row


@pytest.mark.parametrize("state", ["present", "absent", "removed"])
async def test_pages__round_trip(ledger: Ledger, state: str) -> None:
    """A page comes back as it was stored, whatever upstream said of it."""
    body = b"body" if state == "present" else None
    page = page_row("alpha", state=state, body=body, etag=None, serial=None)
    await ledger.pages.put(page)
    assert await ledger.pages.get("pypi", "alpha") == page
    assert await ledger.pages.get("other", "alpha") is None
    assert await ledger.pages.count() == (state == "present")


async def test_pages__replaced_and_renewed(ledger: Ledger) -> None:
    """A newer page replaces the old one; a renewal changes only when it was checked."""
    await ledger.pages.put(page_row("alpha", at=1.0))
    new = page_row("alpha", at=2.0, body=b"new", etag='"new"', last_modified=None, serial=8)
    await ledger.pages.put(new)
    await ledger.pages.renew("pypi", "alpha", 3.0)
    expected = msgspec.structs.replace(new, checked_at=3.0)
    assert await ledger.pages.get("pypi", "alpha") == expected
    assert await ledger.pages.count() == 1


async def test_pages__odd_files(ledger: Ledger) -> None:
    """A file whose name does not tell its project is found by its path."""
    await ledger.pages.put(page_row("alpha"), ["files.test/odd"])
    assert await ledger.pages.project_of_odd("pypi", "files.test/odd") == "alpha"
    assert await ledger.pages.project_of_odd("other", "files.test/odd") is None
    await ledger.pages.put(page_row("beta"), ["files.test/odd"])
    assert await ledger.pages.project_of_odd("pypi", "files.test/odd") == "beta"


async def test_pages__odd_files_go_with_their_page(ledger: Ledger) -> None:
    """A page that is stored anew has its own odd files only, of its index and project alone."""
    await ledger.pages.put(page_row("alpha"), ["files.test/old", "files.test/both"])
    await ledger.pages.put(page_row("alpha", index="other"), ["files.test/old"])
    await ledger.pages.put(page_row("beta"), ["files.test/beta"])
    await ledger.pages.put(page_row("alpha"), ["files.test/both", "files.test/new"])
    found = [
        await ledger.pages.project_of_odd("pypi", f"files.test/{name}")
        for name in ("old", "both", "new", "beta")
    ]
    assert found == [None, "alpha", "alpha", "beta"]
    assert await ledger.pages.project_of_odd("other", "files.test/old") == "alpha"


async def test_pages__expire(ledger: Ledger) -> None:
    """Invalidating keeps what was there in reserve and forgets remembered absence."""
    for index in ("one", "two"):
        await ledger.pages.put(page_row("alpha", index=index))
        await ledger.pages.put(page_row("gone", index=index, state="absent", body=None))
        await ledger.pages.put(page_row("", index=index))
    assert await ledger.pages.expire("alpha", "one") == 1
    expired, fresh = [await ledger.pages.get(name, "alpha") for name in ("one", "two")]
    assert expired is not None
    assert fresh is not None
    assert (expired.checked_at, expired.body, fresh.checked_at) == (0.0, b"body", 1000.0)
    assert await ledger.pages.expire("gone", None) == 2
    assert await ledger.pages.get("one", "gone") is None
    assert await ledger.pages.expire("unknown", None) == 0
    await ledger.pages.expire(None, None)
    lists = [await ledger.pages.get(name, "") for name in ("one", "two")]
    assert [page.checked_at for page in lists if page] == [1000.0, 1000.0]
    assert await ledger.pages.expire("", "two") == 1


async def test_pages__unused_of_equal_moments(ledger: Ledger) -> None:
    """All pages last used before a moment, each once, however many share one."""
    names = [f"p{n:04}" for n in range(2500)]
    async with ledger.pages._writer.transaction() as db:
        await db.executemany(
            "INSERT INTO page (index_name, project, state, fetched_at, checked_at, last_used_at)"
            " VALUES ('pypi', ?, 'absent', 0, 0, ?)",
            [(name, float(n // 1200)) for n, name in enumerate(names)],
        )
    found = await ledger.pages.unused_since(2.0)
    assert found == [("pypi", name) for name in names[:2400]]
    assert await ledger.pages.unused_since(0.0) == []


async def test_pages__delete(ledger: Ledger) -> None:
    """Of a deleted page stays that its index had it; others and unknown names do not matter."""
    for name in ("alpha", "beta", ""):
        await ledger.pages.put(page_row(name))
    await ledger.pages.put(page_row("gamma", state="absent", body=None))
    going = [("pypi", name) for name in ("alpha", "gamma", "", "unknown")]
    for _ in range(2):
        await ledger.pages.delete(going)
        await ledger.pages.renew("pypi", "alpha", 5.0)  # asked for before it went
        left = await ledger.pages.get("pypi", "alpha")
        assert left is not None
        assert (left.state, left.checked_at, left.body) == ("removed", 0.0, None)
        assert [await ledger.pages.get(*page) for page in going[1:]] == [None, None, None]
        assert await ledger.pages.unused_since(1e12) == [("pypi", "beta")]
        assert await ledger.pages.count() == 1


async def test_pages__counted_with_every_change(ledger: Ledger) -> None:
    """Only pages that are present count, whichever way they become so or cease to be."""
    for name in "abc":
        await ledger.pages.put(page_row(name))
    await ledger.pages.put(page_row("d", state="absent", body=None))
    await ledger.pages.put(page_row("a"))
    assert await ledger.pages.count() == 3
    await ledger.pages.put(page_row("b", state="removed", body=None))
    await ledger.pages.put(page_row("d"))
    await ledger.pages.delete([("pypi", "c"), ("pypi", "none")])
    assert await ledger.pages.count() == 2
    await ledger.pages.expire("b", None)
    await ledger.pages.renew("pypi", "a", 1.0)
    assert await ledger.pages.count() == 2
    assert await ledger.take_in({"pypi": "one"}, 0) == ([], 0)
    assert await ledger.take_in({"pypi": "two"}, 0) == (["pypi"], 0)
    while await ledger.pages.clear_some():
        pass
    assert await ledger.pages.count() == 0
