"""Who fetched what: noted in memory, written with the counters, bounded by number and by age."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pypicached.errors import LedgerError
from pypicached.ledger import AuditRow, Ledger, audit, noted
from pypicached.ledger.noted import Agents, Noted
from pypicached.networks import ends_of, parse_network
from tests.ledger.conftest import NOW
from tests.ledger.rows import file_row, page_row

DAY = 86_400.0
ALL = (b"", b"\xff" * 16)


class Opened:
    """A ledger that notes, at a moment that one sets."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.moment = NOW

    def fetch(self, client: str = "10.0.0.1", filename: str = "alpha-1.0.whl") -> None:
        """Note that a client fetched a file."""
        project = filename.partition("-")[0]
        self.ledger.audit.fetched(client, "pip/25.0", "pypi", project, filename)

    async def rows(self, project: str = "alpha", *, refused: bool = False) -> list[AuditRow]:
        """Return all rows of a project, after a flush."""
        await self.ledger.usage.flush()
        batches = self.ledger.audit.of_project(project, ALL, 0.0, refused=refused)
        return [row async for batch in batches for row in batch]

    async def complete_since(self, *, refused: bool = False) -> float | None:
        """Return since when nothing is missing, after a flush."""
        await self.ledger.usage.flush()
        return await self.ledger.audit.complete_since(refused=refused)


@contextlib.asynccontextmanager
async def opened(path: Path, keep: float = 90 * DAY, at: float = NOW) -> AsyncIterator[Opened]:
    state: list[Opened] = []
    async with Ledger.open(path, now=lambda: state[0].moment if state else at) as ledger:
        state.append(Opened(ledger))
        state[0].moment = at
        await ledger.audit.keep(keep)
        yield state[0]


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(tmp_path / "ledger.sqlite") as one:
        yield one


async def test_audit__sums_over_flushes(book: Opened) -> None:
    """A row is a client, a tool and a file: first and last moment, and how often."""
    for step in (0, 10, 20):
        book.moment = NOW + step
        book.fetch()
        book.fetch()
        if step == 10:
            await book.ledger.usage.flush()
    assert await book.rows() == [
        AuditRow("10.0.0.1", "pip/25.0", "pypi", "alpha", "alpha-1.0.whl", NOW, NOW + 20, 6)
    ]
    assert await book.rows(refused=True) == []


async def test_audit__refusals_apart(book: Opened) -> None:
    """What was refused is not what was fetched; a whole project has no file name."""
    book.ledger.audit.refused("::1", "uv/0.9.1", "", "alpha", "")
    assert await book.rows() == []
    (row,) = await book.rows(refused=True)
    assert (row.client, row.filename, row.count) == ("::1", "", 1)


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8::7", "unix"])
async def test_audit__every_kind_of_client(book: Opened, client: str) -> None:
    """Addresses of both kinds and the Unix socket come back as they were."""
    book.fetch(client)
    assert [row.client for row in await book.rows()] == [client]


async def test_audit__nobody(book: Opened) -> None:
    """A connection that has no peer any more is nobody's."""
    book.fetch("")
    assert await book.rows() == []


async def test_audit__of_a_network(book: Opened) -> None:
    """A network's clients are those in it, of their own kind, with and without a project."""
    clients = ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", "::a00:1", "unix")
    for client in clients:
        book.fetch(client)
        book.fetch(client, "beta-2.0.whl")
    await book.ledger.usage.flush()
    ends = ends_of(parse_network("10.0.0.0/8"))
    of = book.ledger.audit
    found = [r async for b in of.of_project("alpha", ends, 0.0, refused=False) for r in b]
    assert [row.client for row in found] == ["10.0.0.0", "10.255.255.255"]
    found = [r async for b in of.of_clients(ends, 0.0, refused=False) for r in b]
    assert [(row.client, row.project) for row in found] == [
        (client, project) for client in clients[1:3] for project in ("alpha", "beta")
    ]
    everybody = [r async for b in of.of_clients(ALL, 0.0, refused=False) for r in b]
    assert {row.client for row in everybody} == set(clients)
    alone = [r async for b in of.of_clients((b"", b""), 0.0, refused=False) for r in b]
    assert {row.client for row in alone} == {"unix"}


async def test_audit__since(book: Opened) -> None:
    """What was last done before is left out."""
    book.fetch("10.0.0.1")
    book.moment = NOW + 100
    book.fetch("10.0.0.2")
    await book.ledger.usage.flush()
    of = book.ledger.audit
    for walk in (
        of.of_project("alpha", ALL, NOW + 50, refused=False),
        of.of_clients(ALL, NOW + 50, refused=False),
    ):
        assert [row.client async for batch in walk for row in batch] == ["10.0.0.2"]


async def test_audit__in_pages(book: Opened) -> None:
    """More rows than one page has come each once, in both orders."""
    names = {f"alpha-{n}.whl" for n in range(1500)} | {"alpha-1.whl"}
    for name in names:
        book.fetch("10.0.0.1", name)
        book.fetch("10.0.0.2", name)
    await book.ledger.usage.flush()
    of = book.ledger.audit
    for walk in (
        of.of_project("alpha", ALL, 0.0, refused=False),
        of.of_clients(ALL, 0.0, refused=False),
    ):
        batches = [batch async for batch in walk]
        met = [(row.client, row.filename) for batch in batches for row in batch]
        assert (len(met), len(set(met))) == (3000, 3000)
        assert max(map(len, batches)) <= 1000


async def test_audit__flush_that_fails_loses_nothing(
    book: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is written next time, with what came since."""
    book.fetch()
    with monkeypatch.context() as patch:
        patch.setattr(audit, "NOTE", "INSERT INTO nowhere VALUES (?)")
        flush = asyncio.create_task(book.ledger.usage.flush())
        await asyncio.sleep(0)
        book.moment = NOW + 1
        book.fetch()
        with pytest.raises(LedgerError):
            await flush
    book.moment = NOW + 5
    book.fetch()
    book.fetch("10.0.0.2")
    assert [(r.client, r.first_at, r.last_at, r.count) for r in await book.rows()] == [
        ("10.0.0.1", NOW, NOW + 5, 3),
        ("10.0.0.2", NOW + 5, NOW + 5, 1),
    ]


async def test_audit__written_at_the_end(tmp_path: Path) -> None:
    """Closing the ledger writes what is pending; the next start goes on with it."""
    path = tmp_path / "ledger.sqlite"
    async with opened(path) as book:
        book.fetch()
    async with opened(path, at=NOW + 50) as book:
        book.fetch()
        assert [row.count for row in await book.rows()] == [2]
        assert await book.complete_since() == NOW


async def test_audit__old_rows_go(book: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was last done longer ago than is kept goes, batch by batch, oldest first."""
    monkeypatch.setattr(audit, "BATCH_ROWS", 2)
    for n in range(5):
        book.moment = NOW + n
        book.fetch(filename=f"alpha-{n}.whl")
    await book.ledger.usage.flush()
    book.moment = NOW + 3.5 + 90 * DAY
    left = []
    for _ in range(4):
        await book.ledger.audit.drop_old()
        left.append([row.filename for row in await book.rows()])
    names = [f"alpha-{n}.whl" for n in range(5)]
    assert left == [names[2:], names[4:], names[4:], names[4:]]
    assert await book.complete_since() == NOW + 3


async def test_audit__too_many_rows(book: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the oldest go, and it is said since when the rest is complete."""
    monkeypatch.setattr(audit, "MAX_KEPT", (3, 2))
    for n in range(5):
        book.moment = NOW + n
        book.fetch(filename=f"alpha-{n}.whl")
        book.ledger.audit.refused("10.0.0.1", "pip/25.0", "pypi", "alpha", f"alpha-{n}.whl")
    book.fetch(filename="alpha-0.whl")
    assert [row.filename for row in await book.rows()] == [f"alpha-{n}.whl" for n in (0, 3, 4)]
    assert [row.filename for row in await book.rows(refused=True)] == [
        f"alpha-{n}.whl" for n in (3, 4)
    ]
    assert await book.complete_since() == NOW + 2
    # Refusals push out no fetch.
    assert await book.complete_since(refused=True) == NOW + 2


async def test_audit__more_at_once_than_memory_holds(
    book: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not noted for want of room makes the records complete since then only."""
    monkeypatch.setattr(noted, "MAX_ROWS", 2)
    book.ledger.audit._noted = (Noted(2), Noted(2))
    for n in range(4):
        book.moment = NOW + n
        book.fetch(filename=f"alpha-{n}.whl")
    assert [row.filename for row in await book.rows()] == ["alpha-0.whl", "alpha-1.whl"]
    assert await book.complete_since() == NOW + 3


async def test_audit__many_rows_in_rounds(book: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush writes all there is, in transactions that are short."""
    monkeypatch.setattr(audit, "WRITE_ROWS", 10)
    for n in range(25):
        book.fetch(filename=f"alpha-{n}.whl")
    book.ledger.audit.refused("::1", "pip/25.0", "pypi", "alpha", "")
    assert book.ledger.audit.rounds == 3
    assert (len(await book.rows()), len(await book.rows(refused=True))) == (25, 1)
    assert book.ledger.audit.rounds == 1


def test_noted__absorbs() -> None:
    """Given back, what was noted before is summed with what was noted since; the bound holds."""
    before, later = Noted(2), Noted(2)
    key, other = ("c", "a", "i", "p", "f"), ("c", "a", "i", "p", "g")
    before.add(key, 1.0)
    later.add(key, 2.0)
    later.add(other, 3.0)
    later.absorb(before)
    assert list(later) == [(key, 1.0, 2.0, 2), (other, 3.0, 3.0, 1)]
    third = Noted(2)
    third.add(("x",) * 5, 4.0)
    later.absorb(third)
    assert (len(later), later.missed_at) == (2, 4.0)


def test_agents__of_one_client_are_bounded() -> None:
    """A client that makes up agents counts with so many, others with their own."""
    agents = Agents()
    counted = {agents.count("10.0.0.1", f"pip/{n}") for n in range(1000)}
    assert len(counted) == noted.MAX_AGENTS + 1
    assert agents.count("10.0.0.1", "pip/0") == "pip/0"
    assert agents.count("10.0.0.2", "pip/999") == "pip/999"
    for n in range(2 * noted.MAX_CLIENTS):
        agents.count(f"client {n}", "pip/1")
    assert len(agents._seen) <= noted.MAX_CLIENTS


async def test_audit__off_notes_nothing(tmp_path: Path) -> None:
    """Off, no client is noted, and it is complete since never."""
    path = tmp_path / "ledger.sqlite"
    async with opened(path, keep=0.0) as book:
        book.fetch("203.0.113.77")
        book.ledger.audit.refused("203.0.113.77", "pip/25.0", "pypi", "alpha", "")
        assert await book.rows() == await book.rows(refused=True) == []
        assert await book.complete_since() is None
        await book.ledger.audit.drop_old()


async def test_audit__switched_off_and_on(tmp_path: Path) -> None:
    """Switching it off removes all there is from the file; on again, it is complete since then."""
    path = tmp_path / "ledger.sqlite"
    packed = ends_of(parse_network("203.0.113.77"))[0]
    async with opened(path) as book:
        for n in range(300):
            book.fetch("203.0.113.77", f"alpha-{n}.whl")
            book.ledger.audit.refused("203.0.113.77", "pip/25.0", "pypi", "alpha", f"{n}")
    assert packed in path.read_bytes()
    async with opened(path, keep=0.0) as book:
        assert await book.rows() == await book.rows(refused=True) == []
    assert packed not in path.read_bytes()
    assert b"pip/25.0" not in path.read_bytes()
    async with opened(path, at=NOW + 99) as book:
        assert await book.complete_since() == NOW + 99
    async with opened(path, at=NOW + 200) as book:
        assert await book.complete_since() == NOW + 99


async def test_audit__knows(book: Opened) -> None:
    """Known is what was fetched or refused, is cached, or has a page; remembered absence is not."""
    assert not await book.ledger.audit.knows("alpha")
    await book.ledger.pages.put(page_row("alpha", state="absent", body=None))
    assert not await book.ledger.audit.knows("alpha")
    await book.ledger.pages.put(page_row("alpha"))
    await book.ledger.files.record(file_row("beta-1.0.whl", project="beta"), 4096)
    book.fetch(filename="gamma-1.0.whl")
    book.ledger.audit.refused("::1", "pip/25.0", "", "delta", "")
    await book.ledger.usage.flush()
    for project in ("alpha", "beta", "gamma", "delta"):
        assert await book.ledger.audit.knows(project)
