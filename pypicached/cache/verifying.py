"""Verifying what is stored: every blob is read through and compared with its name.

One blob at a time and a step at a time, on the disk pool, with rests in between, so that traffic
goes on. The ledger is walked by digest, in pages. What is read, replaced or evicted meanwhile is no
damage: a finding counts only if the entry, and the very file that was looked at, are still there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from pypicached.cache.blobs import Blobs
from pypicached.cache.pace import Pace
from pypicached.errors import BusyError, HostError, LedgerError, NotFoundError
from pypicached.ledger import BlobRow, Ledger
from pypicached.store import Examination

BATCH = 200
# A blob that is another file each time we look is being replaced, not damaged.
LOOKS = 3


class Damage(msgspec.Struct):
    """A blob that is not what its name says; `names` are (project, filename) of what it holds."""

    names: list[tuple[str, str]]
    problem: str
    repaired: bool = False


class Step(msgspec.Struct, frozen=True):
    """How far it is, and the damage that was found since the last step, if any."""

    blobs: int
    total: int
    octets: int
    damage: Damage | None = None


class Verifying:
    """Verifies one thing at a time: a second caller is refused. Safe while traffic goes on."""

    def __init__(self, ledger: Ledger, blobs: Blobs) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._running = False

    async def run(self, projects: list[str], *, repair: bool) -> AsyncGenerator[Step, None]:
        """Read the blobs of projects (none named: all); yield steps, the last one with the sums.

        With `repair` damaged blobs are dropped with their entries. Raises BusyError, NotFoundError
        for a project of which nothing is cached, LedgerError, and HostError if the disk is gone.
        """
        if self._running:
            raise BusyError("another verify is running; ask again when it is done")
        self._running = True
        try:
            async with contextlib.aclosing(self._run(projects, repair)) as steps:
                async for step in steps:
                    yield step
        finally:
            self._running = False

    async def _run(self, projects: list[str], repair: bool) -> AsyncGenerator[Step, None]:
        digests = await self._digests(projects) if projects else None
        total = (await self._ledger.files.totals())[0] if digests is None else len(digests)
        done = octets = 0
        pace = Pace()
        yield Step(done, total, octets)
        async for row in self._rows(digests):
            look = Look(self._ledger, self._blobs, row, pace)
            async with contextlib.aclosing(look.steps()) as steps:
                async for read in steps:
                    octets += read
                    yield Step(done, total, octets)
            done += 1
            if look.damage is not None:
                yield Step(done, total, octets, await self._judge(look.damage, row, repair))
        yield Step(done, max(done, total), octets)

    async def _digests(self, projects: list[str]) -> list[str]:
        """Return the blobs of projects, each once."""
        found: dict[str, None] = {}
        for project in projects:
            files = await self._ledger.files.of_project(project)
            if not files:
                raise NotFoundError(f"nothing of {project} is cached")
            found |= dict.fromkeys(file.sha256 for file in files)
        return list(found)

    async def _rows(self, digests: list[str] | None) -> AsyncIterator[BlobRow]:
        """Yield the rows of these blobs, or of all; pages at a time, no transaction stays open."""
        if digests is not None:
            for digest in digests:
                if row := await self._ledger.files.get_blob(digest):
                    yield row
            return
        last = ""
        while rows := await self._ledger.files.next_blobs(last, BATCH):
            for row in rows:
                yield row
            last = rows[-1].sha256

    async def _judge(self, found: Examination, row: BlobRow, repair: bool) -> Damage:
        """Return what is damaged, and drop it if that is wanted."""
        assert found.problem is not None
        files = await self._ledger.files.of_blob(row.sha256)
        names = [(file.project, file.filename) for file in files] or [("", row.sha256)]
        damage = Damage(names, found.problem)
        if repair:
            try:
                refused = await self._blobs.drop_damaged(row.sha256, found.seen)
            except LedgerError as error:
                refused = str(error)
            damage.repaired = refused is None
            if refused is not None:
                damage.problem += f"; cannot be dropped: {refused}"
        return damage


class Look:
    """One blob, looked at until the finding is sure. `damage` is the finding, None if it is well.

    Used once.
    """

    def __init__(self, ledger: Ledger, blobs: Blobs, row: BlobRow, pace: Pace) -> None:
        self.damage: Examination | None = None
        self._files = ledger.files
        self._store = blobs.store
        self._row = row
        self._pace = pace

    async def steps(self) -> AsyncGenerator[int, None]:
        """Look; yield how many bytes were read, step by step. Raises LedgerError, HostError."""
        for _ in range(LOOKS):
            found = self._store.examine(self._row.sha256, self._row.size_bytes)
            try:
                while not found.finished:
                    began = time.monotonic()
                    yield await self._store.disk.run(found.step)
                    await self._pace.worked(time.monotonic() - began)
            finally:
                found.close()
            if found.problem is None or await self._is_sure(found):
                return

    async def _is_sure(self, found: Examination) -> bool:
        """Tell whether a finding counts, or the blob has gone; else it is to be looked at again."""
        sha256, size_bytes = self._row.sha256, self._row.size_bytes
        row = await self._files.get_blob(sha256)
        if row is None:
            return True  # evicted meanwhile
        self._row = row
        if row.size_bytes != size_bytes or self._store.identify(sha256) != found.seen:
            return False
        try:
            # Where the whole disk has gone nothing is damaged, and nothing must be dropped.
            self._store.free_bytes()
        except OSError as error:
            raise HostError(f"the cache directory cannot be used: {error.strerror}") from error
        self.damage = found
        return True
