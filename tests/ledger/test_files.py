"""Rows of files and blobs: round trips, paging, and what goes together."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Row

import msgspec
import pytest

from pypicached.ledger import BlobRow, Ledger, files
from pypicached.ledger.connection import Connection, read
from tests.ledger.rows import digest_of, file_row

MANY = 2500


async def test_files__round_trip(ledger: Ledger) -> None:
    """A recorded file comes back as it was; other keys stay unknown."""
    file = file_row("a")
    await ledger.files.record(file, 4096)
    assert await ledger.files.get(file.index, file.path, file.kind) == file
    assert await ledger.files.get(file.index, file.path, "metadata") is None
    assert await ledger.files.get("other", file.path, file.kind) is None
    blob = await ledger.files.get_blob(file.sha256)
    assert blob == BlobRow(file.sha256, 10, 4096, 1000.0)


async def test_files__recorded_again(ledger: Ledger) -> None:
    """New bytes under an old key replace digest and size; its history stays."""
    old = file_row("a", used_at=1000.0)
    await ledger.files.record(old, 4096)
    new = msgspec.structs.replace(
        old, sha256=digest_of("b"), size_bytes=20, first_cached_at=2000.0, last_used_at=2000.0
    )
    await ledger.files.record(new, 8192)
    found = await ledger.files.get(old.index, old.path, old.kind)
    assert found == msgspec.structs.replace(new, first_cached_at=1000.0)
    # The old blob is nobody's now, but still on the disk: eviction finds it.
    assert await ledger.files.of_blob(old.sha256) == []
    assert await ledger.files.totals() == (2, 4096 + 8192)


async def test_files__last_use_of_a_blob_only_grows(ledger: Ledger) -> None:
    """A blob was last used when any of its names was."""
    await ledger.files.record(file_row("a", used_at=2000.0), 4096)
    await ledger.files.adopt_blobs([BlobRow(digest_of("a"), 10, 4096, 500.0)])
    blob = await ledger.files.get_blob(digest_of("a"))
    assert blob is not None
    assert blob.last_used_at == 2000.0


async def test_files__forgotten_with_their_blob(ledger: Ledger) -> None:
    """Every name of a blob goes with it, and no other."""
    shared = [msgspec.structs.replace(file_row(n), sha256=digest_of("s")) for n in ("a", "b")]
    other = file_row("c")
    for file in (*shared, other):
        await ledger.files.record(file, 4096)
    assert len(await ledger.files.of_blob(digest_of("s"))) == 2
    await ledger.files.forget_blobs([digest_of("s"), digest_of("unknown")])
    assert await ledger.files.of_project("alpha") == [other]
    assert await ledger.files.totals() == (1, 4096)


async def test_files__forget_one_name(ledger: Ledger) -> None:
    """Forgetting a file leaves its blob and its other names."""
    first, second = (msgspec.structs.replace(file_row(n), sha256=digest_of("s")) for n in "ab")
    for file in (first, second):
        await ledger.files.record(file, 4096)
    await ledger.files.forget(first)
    assert await ledger.files.of_blob(digest_of("s")) == [second]


async def test_files__projects_are_summed(ledger: Ledger) -> None:
    """`projects` sums over more projects than one page of its query holds."""
    for n in range(3):
        await ledger.files.record(file_row(f"a{n}", used_at=1000.0 + n, size=n), 4096)
    db_rows = [file_row(f"x{n:04}", project=f"p{n:04}") for n in range(1005)]
    for file in db_rows:
        await ledger.files.record(file, 4096)
    rows = await ledger.files.projects()
    assert rows[0] == ("alpha", 3, 3, 1002.0, 0)
    assert [row[0] for row in rows[1:]] == [file.project for file in db_rows]


async def test_blobs__pages_of_equal_moments(ledger: Ledger) -> None:
    """Keyset pages skip nothing and repeat nothing, also among equal access times."""
    blobs = [BlobRow(digest_of(str(n)), 1, 4096, float(n // 1200)) for n in range(MANY)]
    await ledger.files.adopt_blobs(blobs)
    found: list[BlobRow] = []
    while rows := await ledger.files.oldest_blobs(found[-1] if found else None, 1000):
        assert len(rows) <= 1000
        found.extend(rows)
    assert found == sorted(blobs, key=lambda b: (b.last_used_at, bytes.fromhex(b.sha256)))


async def test_files__of_a_large_project(ledger: Ledger) -> None:
    """All files of one project and of no other, however many share a size and a moment."""
    names = [f"f{n:04}" for n in range(MANY)]
    async with ledger.files._writer.transaction() as db:
        await db.executemany(
            "INSERT INTO file VALUES ('pypi', ?, 'file', ?, ?, x'00', ?, 1, 0, 1.0, 0, 1.0, NULL)",
            [
                (f"files.test/{name}", project, name, n // 1200)
                for project in ("o", "p", "q")
                for n, name in enumerate(f"{project}-{name}" for name in names)
            ],
        )
    found = [file.filename for file in await ledger.files.of_project("p")]
    assert sorted(found) == [f"p-{name}" for name in names]


async def test_files__of_a_project_in_use(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is used while its project is read is there once, as it was last met."""
    rows = [file_row(f"f{n:04}") for n in range(1001)]
    for row in rows:
        await ledger.files.record(row, 4096)

    async def read_and_use(db: Connection, statement: str, values: Iterable[object]) -> list[Row]:
        page = await read(db, statement, values)
        ledger.usage.touch_file("pypi", rows[0].path, "file", rows[0].sha256)
        await ledger.usage.flush()
        return page

    monkeypatch.setattr(files, "read", read_and_use)
    found = {file.filename: file.hits for file in await ledger.files.of_project("alpha")}
    assert len(found) == len(rows)
    assert found["f0000"] == 1


async def test_totals__kept_with_every_change(ledger: Ledger) -> None:
    """Blobs, their bytes on disk and pages are counted as they come, change and go."""
    for name in "abc":
        await ledger.files.record(file_row(name), 4096)
    await ledger.files.record(file_row("a"), 8192)
    await ledger.files.adopt_blobs([BlobRow(digest_of("b"), 10, 512, 1.0)])
    await ledger.files.forget(file_row("c"))
    assert await ledger.files.totals() == (3, 8192 + 512 + 4096)
    await ledger.files.forget_blobs([digest_of("c"), digest_of("a"), digest_of("none")])
    assert await ledger.files.totals() == (1, 512)


async def test_files__rows_of_many_blobs(ledger: Ledger) -> None:
    """The rows of many blobs are read at once; what has none is left out."""
    names = [f"f{n}" for n in range(205)]
    await ledger.files.adopt_blobs([BlobRow(digest_of(n), 1, 512, 1.0) for n in names])
    found = await ledger.files.get_blobs([digest_of(name) for name in [*names, "none"]])
    assert found == {digest_of(n): BlobRow(digest_of(n), 1, 512, 1.0) for n in names}


async def test_files__of_many_blobs(ledger: Ledger) -> None:
    """The names of many blobs are read at once; what has none is left out."""
    names = [f"f{n}" for n in range(205)]
    for name in names:
        await ledger.files.record(file_row(name), 4096)
    wanted = [digest_of(name) for name in [*names, "none"]]
    found = await ledger.files.of_blobs(wanted)
    assert found == {digest_of(name): [file_row(name)] for name in names}
    assert await ledger.files.of_blobs([]) == {}


async def test_files__walk_by_digest(ledger: Ledger) -> None:
    """A walk by digest meets every blob once, whatever is used meanwhile."""
    for name in "abcde":
        await ledger.files.record(file_row(name), 4096)
    met: list[str] = []
    while rows := await ledger.files.next_blobs(met[-1] if met else "", 2):
        met += [row.sha256 for row in rows]
        ledger.usage.touch_file("pypi", "files.test/a", "file", digest_of("a"))
        await ledger.usage.flush()
    assert met == sorted(digest_of(name) for name in "abcde")
