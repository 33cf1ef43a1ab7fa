"""Makes a cache directory as a large host has it after a year: ledger, and sparse blobs.

The rows go in through the ledger's own statements, in the order in which a host would have met the
files, so that the B-trees look as they would. Each blob exists, with its length and without
content: the walk over the store and the evictions meet real names. Only what is to be served has
content, because small files are hashed before they are.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from pypicached.cache.sidecars import SIDECAR
from pypicached.ledger import files, pages, usage
from pypicached.ledger.connection import prepare_file

INDEX = "pypi"
DAY_SECONDS = 86400.0
# Of all files: the core metadata of wheels, which is small.
SIDECAR_SHARE = 0.4
SIDECAR_BYTES = 3000
MEAN_BYTES = 10_000_000
# What was last used longer ago than 30 days, which `prune --days 30` is after.
OLD_SHARE, OLD_DAYS = 0.1, 30
NAMES_PER_INODE = 10
HISTORY_DAYS = 30
PROJECTS_AN_HOUR = 200
BLOCK_BYTES = 4096
# Pages are stored compressed; nothing here reads them.
PAGE_BYTES = (2_000, 24_000)


class Shape(msgspec.Struct, frozen=True):
    """How large it is to be; everything else follows from that. `now` is its present."""

    files: int
    projects: int
    now: float

    @property
    def sizes(self) -> list[int]:
        """Files of each project, the largest first: as on an index, a few have very many."""
        weights = [(rank + 5) ** -0.8 for rank in range(self.projects)]
        scale = (self.files - self.projects) / sum(weights)
        sizes = [1 + int(weight * scale) for weight in weights]
        sizes[0] += self.files - sum(sizes)
        return sizes


class Row(msgspec.Struct, frozen=True):
    """One file and its blob; `wheel` is the name of the wheel that it is, or is the sidecar of."""

    project: str
    wheel: str
    kind: str
    sha256: bytes
    size_bytes: int
    first_cached_at: float
    last_used_at: float
    hits: int

    @property
    def filename(self) -> str:
        """The name of the file itself."""
        return self.wheel + (SIDECAR if self.kind == "metadata" else "")

    @property
    def path(self) -> str:
        """The canonical key of its wheel at a host that keeps files by digest, as PyPI does."""
        digest = hashlib.blake2b(self.wheel.encode(), digest_size=32).hexdigest()
        return f"files.test/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{self.wheel}"

    @property
    def url_path(self) -> str:
        """Where the daemon serves it."""
        return f"/files/{INDEX}/{self.path}{SIDECAR if self.kind == 'metadata' else ''}"

    @property
    def content(self) -> bytes:
        """What a sidecar holds."""
        return _content(self.wheel)

    @property
    def disk_bytes(self) -> int:
        """What it would take on a disk if it were not sparse."""
        return -(-self.size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def name_of(rank: int) -> str:
    """Return the name of a project; 0 is the one with the most files."""
    return f"project-{rank:05}"


def plan(shape: Shape) -> list[Row]:
    """Return all rows in the order in which they were cached."""
    chance = random.Random(shape.files)
    rows = [
        _row(chance, shape.now, name_of(rank), number)
        for rank, size in enumerate(shape.sizes)
        for number in range(size)
    ]
    rows.sort(key=lambda row: row.first_cached_at)
    return rows


def _row(chance: random.Random, now: float, project: str, number: int) -> Row:
    # A wheel, its sidecar, another wheel …
    is_sidecar = number % 2 == 1 and chance.random() < 2 * SIDECAR_SHARE
    wheel_number = number - 1 if is_sidecar else number
    wheel = f"{project.replace('-', '_')}-{number // 2}.{wheel_number}-py3-none-any.whl"
    old = chance.random() < OLD_SHARE
    unused = chance.uniform(OLD_DAYS + 1, 90) if old else chance.uniform(0.01, OLD_DAYS - 1)
    used_at = now - unused * DAY_SECONDS
    mean = MEAN_BYTES / (1 - SIDECAR_SHARE)
    hashed = _content(wheel) if is_sidecar else f"{project}/{number}".encode()
    return Row(
        project=project,
        wheel=wheel,
        kind="metadata" if is_sidecar else "file",
        sha256=hashlib.sha256(hashed).digest(),
        size_bytes=SIDECAR_BYTES if is_sidecar else int(mean * chance.randint(10, 90) / 50),
        first_cached_at=used_at - chance.uniform(0, 300) * DAY_SECONDS,
        last_used_at=used_at,
        hits=chance.randrange(200),
    )


def _content(wheel: str) -> bytes:
    return f"Name: {wheel}\n".encode().ljust(SIDECAR_BYTES)


async def write(directory: Path, shape: Shape, rows: list[Row]) -> None:
    """Make the ledger and the blobs in `directory`."""
    await prepare_file(directory / "ledger.sqlite")
    blobs = [
        (row.sha256.hex(), row.size_bytes, row.last_used_at < shape.now - OLD_DAYS * DAY_SECONDS)
        for row in sorted(rows, key=lambda row: row.sha256)
    ]
    half = len(blobs) // 2
    with ProcessPoolExecutor(2) as pool:
        laid = [pool.submit(lay_blobs, directory, part) for part in (blobs[:half], blobs[half:])]
        _fill(directory / "ledger.sqlite", shape, rows)
        for part in laid:
            part.result()


def _fill(path: Path, shape: Shape, rows: list[Row]) -> None:
    with sqlite3.connect(path, isolation_level=None) as db:
        # Nobody will miss it if the host goes down now; with room for all, its B-trees are made in
        # memory.
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA journal_mode = MEMORY")
        db.execute("PRAGMA cache_size = -2000000")
        db.execute("BEGIN")
        db.executemany(files.PUT_BLOB, map(_blob_values, rows))
        db.executemany(files.PUT, map(_file_values, rows))
        db.executemany(pages.PUT, _pages(shape))
        db.executemany(usage.ADD, _hours(shape))
        db.executemany(usage.ADD_PROJECT, _project_hours(shape))
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
    db.close()


def _blob_values(row: Row) -> tuple[object, ...]:
    return (row.sha256, row.size_bytes, row.disk_bytes, row.last_used_at)


def _file_values(row: Row) -> tuple[object, ...]:
    names = (INDEX, row.path, row.kind, row.project, row.filename)
    moments = (row.first_cached_at, row.last_used_at)
    uploaded_at, removed_at = row.first_cached_at, None
    about = (row.sha256, row.size_bytes, True, *moments, row.hits, uploaded_at, removed_at)
    return (*names, *about)


def _pages(shape: Shape) -> Iterator[tuple[object, ...]]:
    chance = random.Random(shape.projects)
    for rank in range(shape.projects):
        checked_at = shape.now - chance.uniform(0, 60) * DAY_SECONDS
        body = chance.randbytes(chance.randint(*PAGE_BYTES))
        about = (INDEX, name_of(rank), "present", body, '"tag"', None, rank, None)
        yield (*about, checked_at, checked_at, checked_at)


def _hours(shape: Shape) -> Iterator[tuple[object, ...]]:
    for hour in _each_hour(shape):
        for kind in ("page", "file", "metadata"):
            yield (hour, kind, INDEX, *[1000] * len(usage.COUNTERS))


def _project_hours(shape: Shape) -> Iterator[tuple[object, ...]]:
    chance = random.Random(1)
    for hour in _each_hour(shape):
        for rank in chance.sample(range(shape.projects), min(shape.projects, PROJECTS_AN_HOUR)):
            yield (hour, name_of(rank), 5, 10_000_000)


def _each_hour(shape: Shape) -> range:
    last = int(shape.now // usage.HOUR_SECONDS) * usage.HOUR_SECONDS
    return range(last - HISTORY_DAYS * 86400, last, usage.HOUR_SECONDS)


def fill_blobs(directory: Path, rows: list[Row]) -> None:
    """Give these sidecars' blobs their content."""
    for row in rows:
        path = directory / "blobs" / "sha256" / row.sha256.hex()[:2] / row.sha256.hex()
        path.unlink()  # it may share its inode with others
        path.write_bytes(row.content)


def lay_blobs(directory: Path, blobs: list[tuple[str, int, bool]]) -> None:
    """Make sparse blobs: digest, length, and whether it needs an inode of its own.

    The others share one by ten of the same length, which takes a fifth of the time. Those that
    will be evicted do not, so that each removal gives an inode back as it would.
    """
    store = directory / "blobs" / "sha256"
    shared: dict[int, tuple[Path, int]] = {}
    for sha256, size_bytes, alone in blobs:
        path = store / sha256[:2] / sha256
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        inode, names = shared.get(size_bytes, (path, 0))
        if alone or not 0 < names < NAMES_PER_INODE:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            os.ftruncate(fd, size_bytes)
            os.close(fd)
            inode, names = path, 0
        else:
            path.hardlink_to(inode)
        if not alone:
            shared[size_bytes] = inode, names + 1
