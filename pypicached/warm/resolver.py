"""Runs the resolver's process and brings what it asks for. One process per job, gone with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from pypicached.cache.worker import WorkerError, on_disk
from pypicached.child import command
from pypicached.errors import (
    FileGoneError,
    NotFoundError,
    PypicachedError,
    RefusedError,
    UpstreamAnswerError,
    UpstreamError,
    VerificationError,
    clean,
)
from pypicached.warm.frames import (
    LENGTH_BYTES,
    Answer,
    Ask,
    AskMetadata,
    AskPage,
    Done,
    Kind,
    Outcome,
    Said,
    decode_said,
    frame,
)
from pypicached.warm.plan import Job, Plan
from pypicached.warm.source import Source

# Backtracking through hundreds of versions of a large set takes a minute or two.
TIME_LIMIT_SECONDS = 600.0
# What these say of a file, it will be tomorrow.
UNUSABLE = (FileGoneError, VerificationError, UpstreamAnswerError)
# Askings under way at a time; hosts have their own, lower limits.
MOST_AT_ONCE = 64


async def run_resolver(
    job: Job, source: Source, *, time_limit_seconds: float = TIME_LIMIT_SECONDS
) -> tuple[Plan, ...]:
    """Return a plan for each target of a job.

    Raises WorkerError if the process ended without one, or took longer than the limit, HostError
    if it could not be started. When cancelled it is killed, and what it asked for is cancelled.
    """
    try:
        async with asyncio.timeout(time_limit_seconds), _process() as process:
            return await _converse(process, job, source)
    except TimeoutError as error:
        raise WorkerError("resolving took too long") from error


@contextlib.asynccontextmanager
async def _process() -> AsyncIterator[asyncio.subprocess.Process]:
    with on_disk():
        process = await asyncio.create_subprocess_exec(
            *command("pypicached.warm.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", "")},
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        # Also of one that ended by itself, so that none is left a zombie.
        await asyncio.shield(process.wait())


async def _converse(
    process: asyncio.subprocess.Process, job: Job, source: Source
) -> tuple[Plan, ...]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(frame(job))
    desk = _Desk(process.stdin, source)
    # A mistake in bringing something ends all of it: nobody would answer the resolver any more.
    async with asyncio.TaskGroup() as group:
        plans = await _serve(process.stdout, desk, group)
    if plans is None:
        raise WorkerError(f"the resolver ended with {await process.wait()}")
    return plans


async def _serve(
    out: asyncio.StreamReader, desk: _Desk, group: asyncio.TaskGroup
) -> tuple[Plan, ...] | None:
    """Bring what is asked for until the plans come; None if the process ends before."""
    tasks: set[asyncio.Task[None]] = set()
    try:
        while not isinstance(said := await _hear(out), Done):
            task = group.create_task(desk.answer(said))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    finally:
        for task in tasks:
            task.cancel()  # asked ahead, and not needed
    return said.plans


async def _hear(out: asyncio.StreamReader) -> Said:
    length = int.from_bytes(await out.readexactly(LENGTH_BYTES), "big")
    return decode_said(await out.readexactly(length))


class _Desk:
    """Answers what the resolver asks, many things at a time."""

    def __init__(self, to: asyncio.StreamWriter, source: Source) -> None:
        self._to = to
        self._source = source
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def answer(self, ask: Ask) -> None:
        """Bring one thing and send it."""
        async with self._turns:
            answer = await self._bring(ask)
            with contextlib.suppress(ConnectionError):  # `_serve` hears that the process ended
                self._to.write(frame(answer))
                await self._to.drain()

    async def _bring(self, ask: Ask) -> Answer:
        kind: Kind = "page" if isinstance(ask, AskPage) else "metadata"
        key = ask.project if isinstance(ask, AskPage) else ask.file.url
        try:
            if isinstance(ask, AskPage):
                listed = await self._source.page(ask.project)
                return Answer("page", key, "here", page=listed.page, refused=listed.refused)
            if isinstance(ask, AskMetadata):
                body = await self._source.metadata(ask.project, ask.file)
                return Answer("metadata", key, "here", metadata=body)
            path = await self._source.sdist(ask.project, ask.file)
            return Answer("metadata", key, "here", path="" if path is None else str(path))
        except PypicachedError as error:
            return Answer(kind, key, _outcome(error, kind), _reason(error))


def _outcome(error: PypicachedError, kind: Kind) -> Outcome:
    if isinstance(error, RefusedError):
        return "refused"
    if isinstance(error, NotFoundError):
        return "not-found"
    # Of a page nothing may be concluded then; of one file, that it is not usable.
    if kind == "metadata" and isinstance(error, UNUSABLE):
        return "unusable"
    return "failed"


def _reason(error: PypicachedError) -> str:
    if isinstance(error, UpstreamError):
        return f"index {error.index}: {error.reason}"
    return clean(str(error))
