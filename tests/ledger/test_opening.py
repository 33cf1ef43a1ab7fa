"""Opening: a new file, an old one, one of another program, one that is locked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from pypicached.errors import LedgerError
from pypicached.ledger import Ledger, connection
from pypicached.ledger.schema import MIGRATIONS, VERSION
from tests.ledger.rows import file_row, page_row


async def notes_of(path: Path) -> list[str]:
    """Open and close; return what there is to tell the operator."""
    async with Ledger.open(path) as ledger:
        await ledger.check()
        return ledger.notes


def aside(path: Path) -> list[str]:
    """Return what lies beside the ledger under names that were given to old ones."""
    return sorted(p.name for p in path.parent.iterdir() if p.name.startswith(f"{path.name}."))


async def test_open__new(tmp_path: Path) -> None:
    """Nothing there: a ledger of this version, in WAL mode, without a word."""
    path = tmp_path / "deep" / "ledger.sqlite"
    assert await notes_of(path) == []
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        # 2 is INCREMENTAL: space goes back to the disk without a VACUUM.
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)


async def test_open__again_keeps_everything(tmp_path: Path) -> None:
    """What was recorded is there after closing and opening."""
    path = tmp_path / "ledger.sqlite"
    file, page = file_row("a"), page_row("alpha")
    async with Ledger.open(path) as ledger:
        await ledger.files.record(file, 4096)
        await ledger.pages.put(page)
    async with Ledger.open(path) as ledger:
        assert ledger.notes == []
        assert await ledger.files.get(file.index, file.path, file.kind) == file
        assert await ledger.pages.get("pypi", "alpha") == page
    assert aside(path) == []
    assert not path.with_name("ledger.sqlite-wal").exists()


async def test_open__every_migration_from_empty(tmp_path: Path) -> None:
    """A ledger that saw the migrations one by one has the schema of a new one."""
    stepwise = tmp_path / "stepwise.sqlite"
    with contextlib.closing(sqlite3.connect(stepwise)) as db:
        for number, script in enumerate(MIGRATIONS, start=1):
            db.executescript(f"BEGIN;{script};PRAGMA user_version = {number};COMMIT;")
    fresh = tmp_path / "fresh.sqlite"
    await notes_of(fresh)
    schemas = []
    for path in (stepwise, fresh):
        with contextlib.closing(sqlite3.connect(path)) as db:
            schemas.append(db.execute("SELECT type, name, sql FROM sqlite_schema").fetchall())
    assert schemas[0] == schemas[1]


async def test_open__older_version_is_copied_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a migration the file is kept, whole, under another name."""
    path = tmp_path / "ledger.sqlite"
    file = file_row("a")
    async with Ledger.open(path) as ledger:
        await ledger.files.record(file, 4096)
    monkeypatch.setattr(
        connection,
        "MIGRATIONS",
        (*MIGRATIONS, "CREATE TABLE more (x) STRICT".replace("(x)", "(x TEXT)")),
    )
    monkeypatch.setattr(connection, "VERSION", VERSION + 1)
    async with Ledger.open(path) as ledger:
        assert f"version-{VERSION}" in ledger.notes[0]
        assert await ledger.files.get(file.index, file.path, file.kind) == file
    assert aside(path) == [f"ledger.sqlite.version-{VERSION}"]
    monkeypatch.undo()
    async with Ledger.open(path.with_name(aside(path)[0])) as old:
        assert old.notes == []
        assert await old.files.get(file.index, file.path, file.kind) == file


async def test_open__failed_migration_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that fails is rolled back whole, and is an error."""
    path = tmp_path / "ledger.sqlite"
    await notes_of(path)
    bad = "CREATE TABLE half (x TEXT) STRICT; CREATE TABLE half (x TEXT) STRICT"
    monkeypatch.setattr(connection, "MIGRATIONS", (*MIGRATIONS, bad))
    monkeypatch.setattr(connection, "VERSION", VERSION + 1)
    with pytest.raises(LedgerError):
        await notes_of(path)
    monkeypatch.undo()
    assert await notes_of(path) == []


@pytest.mark.parametrize(
    "garbage", [b"no database at all\n" * 500, b"SQLite format 3\0" + b"x" * 90]
)
async def test_open__garbage_is_set_aside(tmp_path: Path, garbage: bytes) -> None:
    """A file that is no database keeps its bytes under another name; a new ledger begins."""
    path = tmp_path / "ledger.sqlite"
    for number in range(2):
        path.write_bytes(garbage)
        notes = await notes_of(path)
        assert "was no ledger" in notes[0]
        names = ["ledger.sqlite.garbage", "ledger.sqlite.garbage.2"][: number + 1]
        assert aside(path) == names
        assert path.with_name(names[-1]).read_bytes() == garbage
        assert await notes_of(path) == []


async def test_open__empty_file(tmp_path: Path) -> None:
    """An empty file is a ledger that has not begun."""
    path = tmp_path / "ledger.sqlite"
    path.touch()
    assert await notes_of(path) == []
    assert aside(path) == []


async def test_open__first_start_broken_off(tmp_path: Path) -> None:
    """A database without a table and a version is a ledger that has not begun."""
    path = tmp_path / "ledger.sqlite"
    db = await connection.open_connection(path)
    await db.close()
    assert path.stat().st_size > 0
    assert await notes_of(path) == []
    assert aside(path) == []


async def test_open__somebody_elses_database(tmp_path: Path) -> None:
    """A database of another program is set aside, with all that it holds."""
    path = tmp_path / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (42);")
    assert "set aside" in (await notes_of(path))[0]
    with contextlib.closing(sqlite3.connect(path.with_name(aside(path)[0]))) as db:
        assert db.execute("SELECT x FROM theirs").fetchone() == (42,)


async def test_open__newer_version_is_set_aside(tmp_path: Path) -> None:
    """A ledger of a newer program is kept for it, and not touched."""
    path = tmp_path / "ledger.sqlite"
    await notes_of(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 5}")
        db.execute("CREATE TABLE from_the_future (x)")
        db.commit()
    notes = await notes_of(path)
    assert "newer version" in notes[0]
    assert aside(path) == [f"ledger.sqlite.version-{VERSION + 5}"]
    with contextlib.closing(sqlite3.connect(path.with_name(aside(path)[0]))) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION + 5,)
        assert db.execute("SELECT COUNT(*) FROM from_the_future").fetchone() == (0,)


async def test_open__locked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that another process holds is an error; it is not garbage, and stays in place."""
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_SECONDS", 0.05)
    path = tmp_path / "ledger.sqlite"
    async with Ledger.open(path) as ledger:
        await ledger.files.record(file_row("a"), 4096)
    with contextlib.closing(sqlite3.connect(path)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match="locked"):
            await notes_of(path)
    assert aside(path) == []
    async with Ledger.open(path) as ledger:
        assert await ledger.files.totals() == (1, 4096)


async def test_open__directory_in_its_place(tmp_path: Path) -> None:
    """What cannot be a file is an error with its path."""
    path = tmp_path / "ledger.sqlite"
    path.mkdir()
    threads = threading.active_count()
    with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
        await notes_of(path)
    assert threading.active_count() <= threads
    assert path.is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_open__unreadable(tmp_path: Path) -> None:
    """A file that we may not read is an error, and stays in place."""
    path = tmp_path / "ledger.sqlite"
    await notes_of(path)
    path.chmod(0)
    with pytest.raises(LedgerError):
        await notes_of(path)
    assert aside(path) == []


# ── damage that is met later ─────────────────────────────────────────────────────────────────


def spoil_index(path: Path) -> bytes:
    """Overwrite a page of the file that no start reads; return what it holds now."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        root = "SELECT rootpage FROM sqlite_schema WHERE name = 'file_by_project'"
        (number,) = db.execute(root).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    noise = os.urandom(size)
    content[(number - 1) * size : number * size] = noise
    path.write_bytes(content)
    return noise


async def test_open__damage_that_was_met_before(tmp_path: Path) -> None:
    """What SQLite found damaged is set aside by the next start, whole, and only once."""
    path = tmp_path / "ledger.sqlite"
    async with Ledger.open(path) as ledger:
        await ledger.files.record(file_row("a"), 4096)
    spoilt = spoil_index(path)
    async with Ledger.open(path) as ledger:
        assert ledger.notes == []
        with pytest.raises(LedgerError, match="malformed; the next start sets it aside"):
            await ledger.files.record(file_row("b"), 4096)
    async with Ledger.open(path) as ledger:
        assert "set aside" in ledger.notes[0]
        await ledger.files.record(file_row("b"), 4096)
    assert aside(path) == ["ledger.sqlite.garbage"]
    assert spoilt in path.with_name("ledger.sqlite.garbage").read_bytes()
    assert await notes_of(path) == []


async def test_open__damage_that_was_none(tmp_path: Path) -> None:
    """A ledger in which all is well stays, whatever was said of it, as after a bad cable."""
    path = tmp_path / "ledger.sqlite"
    await notes_of(path)
    path.with_name("ledger.sqlite.damaged").touch()
    assert await notes_of(path) == []
    assert aside(path) == []


async def test_ledger__locked_while_open(tmp_path: Path) -> None:
    """A lock of somebody else costs a moment once, not the time-out for each who waits; it ends."""
    path = tmp_path / "ledger.sqlite"
    async with Ledger.open(path) as ledger:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            writes = [ledger.files.record(file_row(f"{n}"), 4096) for n in range(20)]
            for outcome in await asyncio.gather(*writes, return_exceptions=True):
                assert isinstance(outcome, LedgerError)
            assert time.monotonic() - began < 3.0
            assert await ledger.files.totals() == (0, 0)
        ledger.usage.count("file", "pypi", "hits")
    async with Ledger.open(path) as ledger:
        assert (await ledger.usage.totals(0.0))[0]["file"]["requests"] == 1
