"""Asking an index for a page and storing what it says: one conditional GET, one transaction.

A page that is new is answered with before the ledger has it: what it says of files that are here,
and of quarantine, has been taken in by then, and what a crash loses is asked for again.
"""

from __future__ import annotations

import asyncio
import io
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from pypicached.cache.changes import Changes
from pypicached.cache.codings import pack
from pypicached.cache.observe import Observations
from pypicached.cache.quarantine import Quarantine
from pypicached.cache.renderings import encode_page
from pypicached.cache.serials import Serials
from pypicached.cache.stepping import in_steps
from pypicached.cache.stored import forgotten
from pypicached.cache.worker import Worker, WorkerError
from pypicached.errors import (
    LedgerError,
    UpstreamAnswerError,
    UpstreamDeniedError,
    UpstreamError,
    UpstreamPausedError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from pypicached.ledger import Ledger, Page
from pypicached.logs import event
from pypicached.simple.model import ProjectPage
from pypicached.simple.odd import odd_keys
from pypicached.simple.parse import ParseError, is_costly, page_steps
from pypicached.store.disk import DiskPool
from pypicached.upstream import Connection, PageAnswer, Validators, open_page, page_url

logger = logging.getLogger(__name__)

# msgspec and lexbor hold the GIL for a whole call: 11 ms for a page of 5.4 MB. What is larger, or
# made to take long, is parsed in a process of its own (DESIGN.md).
INLINE_BYTES = 8 * 1024 * 1024
# To pack so many takes half a millisecond, which a thread's turn takes where others compute.
INLINE_FILES = 1000
RETRY_PAUSE_SECONDS = 0.15

OnParsed = Callable[[Page, ProjectPage], Awaitable[None]]


class Brought(NamedTuple):
    """What upstream said. `stored`: the ledger has been told, else `Refresh.store` is to tell it.

    `odd_paths` are the keys of files whose names do not tell the project; `told` is as of
    `PageAnswer`.
    """

    row: Page
    odd_paths: Sequence[str] = ()
    stored: bool = True
    told: str = ""


class Refresh:
    """Brings one index's pages up to date. Callers make sure that it runs once per page."""

    # Seconds for one attempt, its whole body included: 128 MiB at 2 MB/s.
    attempt_seconds = 60.0

    def __init__(
        self,
        connection: Connection,
        ledger: Ledger,
        *,
        disk: DiskPool,
        worker: Worker,
        observations: Observations,
        quarantine: Quarantine,
        changes: Changes,
        serials: Serials,
        on_bytes: Callable[[int], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._ledger = ledger
        self._disk = disk
        self._worker = worker
        self._observations = observations
        self._quarantine = quarantine
        self._changes = changes
        self._serials = serials
        self._on_bytes = on_bytes
        self._now = now
        # Projects of which the ledger does not hold what upstream said last.
        self._unwritten: set[str] = set()

    def believe_after(self, seconds: float) -> None:
        """Believe after so long what still says that an older page is the right one."""
        self._serials.believe_after_seconds = seconds

    async def run(self, project: str, before: Page | None, on_parsed: OnParsed) -> Brought:
        """Ask upstream; of all answers but a new page the ledger is told. Raises UpstreamError.

        What a cache upstream refuses (UpstreamRefusedError) is no longer served stale: our page of
        it is forgotten.

        What `on_parsed` does goes on while the page is packed, and has come to its end when this
        returns. It gets the row still without its body.
        """
        health = self._connection.health
        try:
            brought = await self._twice(project, before, on_parsed)
        except UpstreamPausedError:
            raise  # nothing was asked, so there is no news
        except UpstreamRefusedError as error:
            health.succeeded()  # a cache that keeps its rules is well
            text = f"page {project}: {error}"
            event(logger, logging.INFO, text, project=project, index=self._connection.name)
            if before is not None and before.state == "present":
                await self._put(forgotten(before))
            raise
        except UpstreamError as error:
            denied = isinstance(error, UpstreamDeniedError)
            wrong = isinstance(error, UpstreamAnswerError)
            health.failed(project, error.reason, denied=denied, wrong=wrong)
            name = self._connection.name
            self._observations.failed(f"page {project} of index {name}", error.reason)
            event(
                logger,
                logging.INFO,
                f"page {project} of index {name}: {error.reason}",
                project=project,
                index=name,
            )
            raise
        health.succeeded()
        return brought

    async def store(self, brought: Brought) -> None:
        """Tell the ledger of a new page. Raises nothing: its clients have been answered."""
        await self._put(brought.row, brought.odd_paths)

    async def _twice(self, project: str, before: Page | None, on_parsed: OnParsed) -> Brought:
        """Ask, and once more on a new connection: a bad node behind a kept-alive one, a reset.

        Not where upstream asks for time, or has had all there is.
        """
        try:
            return await self._ask(project, before, on_parsed, fresh=False)
        except (UpstreamTimeoutError, UpstreamPausedError):
            raise
        except UpstreamUnavailableError as error:
            if error.retry_after is not None:
                raise
            first = error
        await asyncio.sleep(RETRY_PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311
        try:
            return await self._ask(project, before, on_parsed, fresh=True)
        except UpstreamPausedError:
            raise first from None

    def paused(self, project: str) -> str | None:
        """Why the index is not asked for a page now; None if it is."""
        host = self._connection.hosts.own
        if not host.breaker.open:
            return None
        subject = page_url(self._connection, project).raw_path
        return host.last_error if host.breaker.closed_to(subject) else None

    def late(self) -> None:
        """A page is awaited for longer than its client may wait: `status` tells."""
        self._connection.health.late()

    async def _ask(
        self, project: str, before: Page | None, on_parsed: OnParsed, *, fresh: bool
    ) -> Brought:
        validators = Validators()
        # Of a page that could not be stored the ledger holds an older one: a 304 would renew that.
        if before is not None and before.state == "present" and project not in self._unwritten:
            validators = Validators(before.etag, before.last_modified)
        async with open_page(
            self._connection, project, validators, fresh=fresh, within=self.attempt_seconds
        ) as answer:
            now = self._now()
            if answer.outcome == "unchanged" and before is not None:
                await self._note(partial(self._changes.note_unchanged, before), project)
                return (await self._renew(before, now))._replace(told=answer.told)
            if answer.outcome == "absent":
                return await self._store_absence(project, before, now)
            if before is not None and self._serials.lags(project, before.serial, answer.serial):
                text = f"index {before.index} sent an older page of {project}: ours is kept for now"
                event(logger, logging.WARNING, text, project=project, index=before.index)
                return await self._renew(before, now)
            brought = await self._read_body(project, answer, now, on_parsed)
        self._quarantine.note(brought.row)
        return brought

    async def _read_body(
        self,
        project: str,
        answer: PageAnswer,
        now: float,
        on_parsed: OnParsed,
    ) -> Brought:
        """Read, parse and pack what upstream sent. Raises UpstreamAnswerError."""
        page = await self._parse(await self._read(answer), answer, project)
        if page.dropped:
            event(
                logger,
                logging.WARNING,
                f"left {page.dropped} unusable entries off the page of {page.name}",
                index=self._connection.name,
            )
        row = self._row(project, answer, now, status=page.status)
        # The ledger's thread is asked while this one renders.
        _, _, packed, odd_paths = await asyncio.gather(
            self._note(partial(self._changes.note_page, self._connection.name, page), project),
            on_parsed(row, page),
            self._pack(page),
            in_steps(odd_keys(page)),
        )
        row = msgspec.structs.replace(row, body=packed)
        return Brought(row, odd_paths, stored=False, told=answer.told)

    async def _read(self, answer: PageAnswer) -> bytes:
        assert answer.chunks is not None
        received = io.BytesIO()
        async for chunk in answer.chunks:
            self._on_bytes(len(chunk))
            received.write(chunk)
        body = received.getvalue()  # no copy
        if not answer.ends and _is_cut(body):
            raise UpstreamUnavailableError(self._connection.name, "broke off its answer")
        return body

    async def _pack(self, page: ProjectPage) -> bytes:
        small = len(page.files) <= INLINE_FILES
        return _packed(page) if small else await self._disk.run(_packed, page)

    async def _note(self, note: Callable[[], Awaitable[None]], project: str) -> None:
        """Have changes taken in; what the ledger does not take now is compared the next time."""
        try:
            await note()
        except LedgerError as error:
            event(logger, logging.ERROR, str(error), index=self._connection.name, project=project)

    async def _parse(self, body: bytes, answer: PageAnswer, project: str) -> ProjectPage:
        try:
            if len(body) > INLINE_BYTES or is_costly(body):
                return await self._worker.parse_page(body, answer.content_type, answer.url, project)
            return await in_steps(page_steps(body, answer.content_type, answer.url, project))
        except (ParseError, WorkerError) as error:
            # A page that we cannot read is like one that is none: stale, else 502.
            raise UpstreamAnswerError(self._connection.name, str(error)) from error

    def _row(
        self,
        project: str,
        answer: PageAnswer,
        now: float,
        *,
        body: bytes | None = None,
        status: str | None = None,
    ) -> Page:
        return Page(
            index=self._connection.name,
            project=project,
            state="present",
            body=body,
            status=status,
            etag=answer.validators.etag,
            last_modified=answer.validators.last_modified,
            serial=answer.serial,
            fetched_at=now,
            checked_at=now,
        )

    async def _renew(self, before: Page, now: float) -> Brought:
        row = msgspec.structs.replace(before, checked_at=now)
        self._quarantine.note(row)
        try:
            await self._ledger.pages.renew(row.index, row.project, now)
        except LedgerError as error:
            self._not_written(row, error)
        return Brought(row)

    async def _put(self, row: Page, odd_paths: Sequence[str] = ()) -> None:
        """Tell the ledger of a row; if it refuses, that costs us the page, not the client."""
        try:
            await self._ledger.pages.put(row, odd_paths)
            self._unwritten.discard(row.project)
        except LedgerError as error:
            self._not_written(row, error)

    def _not_written(self, row: Page, error: LedgerError) -> None:
        self._unwritten.add(row.project)
        self._observations.failed(f"page {row.project} of index {row.index}", str(error))
        event(logger, logging.ERROR, str(error), index=row.index, project=row.project)

    async def _store_absence(self, project: str, before: Page | None, now: float) -> Brought:
        """A 404 where there was a page means removed (rule 43), and stays so until it returns."""
        had = before is not None and before.state in ("present", "removed")
        row = Page(
            index=self._connection.name,
            project=project,
            state="removed" if had else "absent",
            body=None,
            # Malware is put into quarantine, and then deleted: what is here of it stays refused.
            status=None if before is None else before.status,
            etag=None,
            last_modified=None,
            serial=None,
            fetched_at=now,
            checked_at=now,
        )
        await self._note(partial(self._changes.note_absence, row.index, project), project)
        self._quarantine.note(row)
        await self._put(row)
        return Brought(row)


def _packed(page: ProjectPage) -> bytes:
    return pack(encode_page(page))


def _is_cut(body: bytes) -> bool:
    """Whether HTML that only a closed connection ended has an end missing that it began."""
    return b"<html" in body[:2048].lower() and b"</html" not in body[-2048:].lower()
