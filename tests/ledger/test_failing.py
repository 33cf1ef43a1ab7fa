"""A ledger whose file becomes garbage while it is open: errors of ours, and an end in order."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pypicached.errors import LedgerError
from pypicached.ledger import Ledger
from tests.ledger.rows import digest_of, file_row, page_row

READS: dict[str, Callable[[Ledger], Awaitable[object]]] = {
    "check": lambda ledger: ledger.check(),
    "page": lambda ledger: ledger.pages.get("pypi", "alpha"),
    "odd file": lambda ledger: ledger.pages.project_of_odd("pypi", "x"),
    "unused pages": lambda ledger: ledger.pages.unused_since(2000.0),
    "indexes": lambda ledger: ledger.pages.indexes_of("alpha"),
    "pages": lambda ledger: ledger.pages.count(),
    "file": lambda ledger: ledger.files.get("pypi", "files.test/a", "file"),
    "blob": lambda ledger: ledger.files.get_blob(digest_of("a")),
    "of blob": lambda ledger: ledger.files.of_blob(digest_of("a")),
    "of project": lambda ledger: ledger.files.of_project("alpha"),
    "oldest": lambda ledger: ledger.files.oldest_blobs(None, 10),
    "totals": lambda ledger: ledger.files.totals(),
    "projects": lambda ledger: ledger.files.projects(),
    "counters": lambda ledger: ledger.usage.totals(0.0),
    "top": lambda ledger: ledger.usage.top(0.0, 10),
}


@pytest.mark.parametrize("read", READS)
async def test_ledger__garbage_while_open(tmp_path: Path, read: str) -> None:
    """Every read raises LedgerError, a write too, and closing goes through."""
    path = tmp_path / "ledger.sqlite"
    async with Ledger.open(path) as ledger:
        await ledger.pages.put(page_row("alpha"))
        await ledger.files.record(file_row("a"), 4096)
    async with Ledger.open(path) as ledger:
        path.write_bytes(os.urandom(path.stat().st_size))
        with pytest.raises(LedgerError, match="cannot read the ledger"):
            await READS[read](ledger)
        with pytest.raises(LedgerError, match="cannot write to the ledger"):
            await ledger.pages.put(page_row("beta"))


async def test_ledger__garbage_behind_a_whole_head(tmp_path: Path) -> None:
    """A file of which only the beginning is a ledger is set aside, not a reason not to start."""
    path = tmp_path / "ledger.sqlite"
    async with Ledger.open(path) as ledger:
        for name in ("a", "b"):
            await ledger.files.record(file_row(name), 4096)
    whole = path.read_bytes()
    head = 4096 * 2
    path.write_bytes(whole[:head] + os.urandom(len(whole) - head))
    async with Ledger.open(path) as ledger:
        assert "set aside" in ledger.notes[0]
        assert await ledger.files.totals() == (0, 0)
