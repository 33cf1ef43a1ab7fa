"""Copies of the ledger: whole, of one moment, one plain file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from pypicached.errors import LedgerError
from pypicached.ledger import Ledger, backup, check_copy
from tests.ledger.rows import file_row, page_row


async def test_backup__of_one_moment(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written while the copy is made is not in it, and does not make it begin anew."""
    monkeypatch.setattr(backup, "STEP_PAGES", 1)
    for n in range(50):
        await ledger.files.record(file_row(f"f{n}"), 4096)
    target = tmp_path / "copy"
    async with ledger.snapshot() as snapshot:
        await ledger.files.record(file_row("late"), 4096)
        await ledger.pages.put(page_row("late"))
        await snapshot.copy_to(target)
    check_copy(target)
    assert target.stat().st_size == snapshot.size_bytes
    async with Ledger.open(target) as copied:
        assert copied.notes == []
        assert await copied.files.totals() == (50, 50 * 4096)
        assert await copied.pages.get("pypi", "late") is None
    assert await ledger.files.totals() == (51, 51 * 4096)


async def test_backup__one_plain_file(ledger: Ledger, tmp_path: Path) -> None:
    """Nothing stands beside the copy, and reading it makes nothing."""
    directory = tmp_path / "copies"
    directory.mkdir()
    async with ledger.snapshot() as snapshot:
        await snapshot.copy_to(directory / "copy")
    with contextlib.closing(sqlite3.connect(directory / "copy")) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    check_copy(directory / "copy")
    assert list(directory.iterdir()) == [directory / "copy"]


async def test_backup__cancelled(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that nobody wants any more stops at its next step, and the ledger goes on."""
    monkeypatch.setattr(backup, "STEP_PAGES", 1)
    for n in range(50):
        await ledger.files.record(file_row(f"f{n}" * 50), 4096)
    target = tmp_path / "copy"
    async with ledger.snapshot() as snapshot:
        task = asyncio.create_task(snapshot.copy_to(target))
        while not target.exists():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The connection is free at once.
        await snapshot._db.execute("SELECT 1")
    await ledger.files.record(file_row("after"), 4096)


async def test_backup__no_room(ledger: Ledger, tmp_path: Path) -> None:
    """A target that cannot be written is an error in words."""
    async with ledger.snapshot() as snapshot:
        with pytest.raises(LedgerError, match="cannot copy the ledger"):
            await snapshot.copy_to(tmp_path / "nowhere" / "copy")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda body: body[:0], "it is no SQLite file"),
        (lambda body: b"<html>" + body, "it is no SQLite file"),
        (lambda body: body[: len(body) // 2], "damaged|cannot be read"),
        (lambda body: body[:8192] + bytes(4096) + body[12288:], "damaged|cannot be read"),
    ],
)
async def test_check_copy__damage(
    ledger: Ledger, tmp_path: Path, damage: object, reason: str
) -> None:
    """What is cut, or damaged anywhere, or something else is not taken for a ledger."""
    for n in range(200):
        await ledger.files.record(file_row(f"f{n}"), 4096)
    target = tmp_path / "copy"
    async with ledger.snapshot() as snapshot:
        await snapshot.copy_to(target)
    target.write_bytes(damage(target.read_bytes()))  # type: ignore[operator]
    with pytest.raises(LedgerError, match=reason):
        check_copy(target)


def test_check_copy__of_somebody_else(tmp_path: Path) -> None:
    """A database that is none of ours is no ledger."""
    with contextlib.closing(sqlite3.connect(tmp_path / "other")) as db:
        db.execute("CREATE TABLE t (a)")
    with pytest.raises(LedgerError, match="no ledger of this version"):
        check_copy(tmp_path / "other")
    with pytest.raises(LedgerError, match="cannot be read"):
        check_copy(tmp_path / "none")
