"""Upgrading and going back: each program finds a ledger of its own version."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pypicached.errors import LedgerError
from pypicached.ledger import Ledger, connection, copies
from pypicached.ledger import ledger as ledger_module
from pypicached.ledger.schema import MIGRATIONS, VERSION
from tests.ledger.rows import digest_of, file_row, page_row

# Statements of the first version.
FIRST_BLOB = "INSERT INTO blob VALUES (?, ?, ?, 1.0)"
FIRST_FILE = "INSERT INTO file VALUES ('pypi', ?, 'file', 'alpha', ?, ?, ?, 1, 1.0, 1.0, 0)"


@contextlib.contextmanager
def program_of(version: int) -> Iterator[None]:
    """Be a program that knows so many migrations; one that is newer than this has an idle one."""
    known = (*MIGRATIONS, "CREATE TABLE newer (x TEXT) STRICT;")[:version]

    async def knows_none(*_: object) -> None:
        """Before the fifth version an index had one space only."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "MIGRATIONS", known)
        if version < 5:
            patch.setattr(ledger_module, "read_spaces", knows_none)
        for module in (connection, copies):
            patch.setattr(module, "VERSION", version)
        yield


async def files_of(path: Path) -> tuple[list[str], list[str]]:
    """Open as the program that we are; return what it has to say, and the files it knows."""
    async with Ledger.open(path) as ledger:
        return ledger.notes, sorted(f.filename for f in await ledger.files.of_project("alpha"))


async def record(path: Path, *names: str) -> None:
    """Cache files with the program that we are."""
    async with Ledger.open(path) as ledger:
        for name in names:
            await ledger.files.record(file_row(name), 4096)
            await ledger.pages.put(page_row(name))


async def record_first(path: Path, *names: str) -> None:
    """Cache files as the first version's program did."""
    with program_of(1):
        async with Ledger.open(path) as ledger:
            for name in names:
                row = file_row(name)
                digest = bytes.fromhex(row.sha256)
                async with ledger.files._writer.transaction() as db:
                    await db.execute(FIRST_BLOB, (digest, row.size_bytes, 4096))
                    await db.execute(FIRST_FILE, (row.path, row.filename, digest, row.size_bytes))
                await ledger.pages.put(page_row(name))


def beside(path: Path) -> list[str]:
    """Return what lies beside the ledger, by the part of its name that is its own."""
    return sorted(p.name[len(path.name) :] for p in path.parent.iterdir() if p != path)


async def test_upgrade__from_the_first_version(tmp_path: Path) -> None:
    """All that an old ledger holds is there afterwards, and counted."""
    path = tmp_path / "ledger.sqlite"
    await record_first(path, "a", "b")
    async with Ledger.open(path) as ledger:
        assert f"kept as {path}.version-1" in ledger.notes[0]
        assert await ledger.files.totals() == (2, 8192)
        assert await ledger.pages.count() == 2
        assert await ledger.pages.get("pypi", "a") == page_row("a")
        assert await ledger.files.names_of_blobs([digest_of("a")]) != {}
    copies.check_copy(Path(f"{path}.version-1"))


async def test_going_back__finds_its_copy(tmp_path: Path) -> None:
    """The older program has what it had; the newer one's ledger is kept for it."""
    path = tmp_path / "ledger.sqlite"
    await record(path, "old")
    with program_of(VERSION + 1):
        await record(path, "new")
    assert beside(path) == [f".version-{VERSION}"]
    notes, files = await files_of(path)
    assert files == ["old"]
    assert f"set aside as {path}.version-{VERSION + 1}" in notes[0]
    assert "is in use again" in notes[0]
    assert beside(path) == [f".version-{VERSION + 1}"]
    assert await files_of(path) == ([], ["old"])


async def test_going_back__and_forth(tmp_path: Path) -> None:
    """After the next upgrade the older ledger is what goes on; nothing is ever overwritten."""
    path = tmp_path / "ledger.sqlite"
    await record(path, "old")
    for _ in range(2):
        with program_of(VERSION + 1):
            await record(path, "new")
        await files_of(path)
    with program_of(VERSION + 1):
        assert (await files_of(path))[1] == ["old"]
    newer = f".version-{VERSION + 1}"
    assert beside(path) == [f".version-{VERSION}", newer, f"{newer}.2"]


async def test_going_back__two_versions(tmp_path: Path) -> None:
    """Of several copies it takes the newest version that it can use, and of that the latest."""
    path = tmp_path / "ledger.sqlite"
    await record_first(path, "first")
    await record(path, "second")
    for name in (f"{path}.version-{VERSION}", f"{path}.version-{VERSION}.10"):
        await record(Path(name), name[-2:])
    with program_of(VERSION + 1):
        await record(path)
    # What it kept before the migration is the second of its name.
    assert (await files_of(path))[1] == ["10"]


async def test_going_back__damaged_copy(tmp_path: Path) -> None:
    """A copy that is not whole is passed over, and stays where it is."""
    path = tmp_path / "ledger.sqlite"
    await record(path, "old")
    with program_of(VERSION + 1):
        await record(path)
    copy = Path(f"{path}.version-{VERSION}")
    copy.write_bytes(copy.read_bytes()[: -4096 * 3])
    notes, files = await files_of(path)
    assert files == []
    assert "a new one begun" in notes[0]
    assert beside(path) == [f".version-{VERSION}", f".version-{VERSION + 1}"]


async def test_copy__broken_off(tmp_path: Path) -> None:
    """What a crash left of a copy is no copy; the next start makes a whole one."""
    path = tmp_path / "ledger.sqlite"
    await record_first(path, "a")
    for suffix in ("", "-journal"):
        Path(f"{path}.unfinished{suffix}").write_bytes(b"half")
    assert (await files_of(path))[1] == ["a"]
    assert beside(path) == [".version-1"]


async def test_copy__no_room(tmp_path: Path) -> None:
    """Without a copy there is no migration: an error, and the older program goes on."""
    path = tmp_path / "ledger.sqlite"
    await record_first(path, "a")
    Path(f"{path}.unfinished").mkdir()
    with pytest.raises(LedgerError, match="cannot use the ledger"):
        await files_of(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT filename FROM file").fetchall() == [("a",)]


async def test_copy__is_for_its_owner(tmp_path: Path) -> None:
    """Who asked for what is nobody else's business."""
    path = tmp_path / "ledger.sqlite"
    await record_first(path, "a")
    await files_of(path)
    copy = Path(f"{path}.version-1")
    assert copy.stat().st_mode & 0o077 == 0
    with contextlib.closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
