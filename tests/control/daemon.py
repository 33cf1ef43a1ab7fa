"""A control socket with a small fake behind it: the true edge of `control` and the commands."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from pypicached.control.app import Services, build_app
from pypicached.errors import ProjectNotFoundError
from pypicached.history import Question
from pypicached.messages import (
    DiskStatus,
    DownloadStatus,
    ExplainedFile,
    Explanation,
    Failure,
    FileRow,
    IndexStatus,
    InvalidateAnswer,
    InvalidateRequest,
    KindStats,
    OfflineAnswer,
    OfflineRequest,
    PinAnswer,
    PinRow,
    Progress,
    ProjectRow,
    PruneAnswer,
    PrunedFile,
    PruneRequest,
    ReloadAnswer,
    Stats,
    Status,
    TopProject,
    VerifyAnswer,
    VerifyProblem,
    WhoAnswer,
    WhoRow,
)
from pypicached.requirement import Requirement

USED_AT = "2026-01-02T03:04:05Z"
STATUS = Status(
    version="0.1.0",
    uptime_seconds=273_600.0,
    listeners=["unix:/run/x.sock", "127.0.0.1:4444", "[::1]:4444"],
    indexes=[
        IndexStatus("pypi", "https://index.example/simple/", "ok", since=USED_AT),
        IndexStatus(
            "acme", "https://acme.example/", "failing", since=USED_AT, last_error="refused"
        ),
    ],
    disk=DiskStatus(8 * 2**30, 20 * 2**30, 55 * 2**30, "/var/cache/pypicached", 12, 3, 2**20),
    hit_rate_24h=0.931,
    downloads=[DownloadStatus("torch-2.0-py3-none-any.whl", 2**30, 2 * 2**30, 3)],
    problems=["index acme: failing since Friday"],
    failures=[Failure(USED_AT, "acme/numpy", "timed out")],
    pid=4711,
)
WHO = WhoRow(
    client="10.0.0.7", agent="pip/25.0", project="demo", version="1.0", filename="demo-1.0.tar.gz",
    first_at=USED_AT, last_at=USED_AT, count=3, index="pypi",
)  # fmt: skip
PRUNED = PruneAnswer(False, [PrunedFile("demo", "demo-1.0.tar.gz", 4096, USED_AT)], 2, 8192)

PruneSteps = Callable[[PruneRequest], AsyncIterator[Progress | list[PrunedFile] | PruneAnswer]]


async def _prune_at_once(
    request: PruneRequest,
) -> AsyncIterator[Progress | list[PrunedFile] | PruneAnswer]:
    yield Progress(1, 2, "demo")
    for file in PRUNED.files:
        yield [file]
    yield PruneAnswer(request.dry_run, [], PRUNED.pages, PRUNED.bytes)


class FakeCopy:
    """Bytes in two pieces, and then, where more were announced, a failing disk."""

    def __init__(self, body: bytes, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        half = len(body) // 2
        self._pieces = [body[:half], body[half:]]
        self._whole = size_bytes == len(body)

    async def read(self) -> bytes:
        """Return the next piece."""
        if self._pieces:
            return self._pieces.pop(0)
        if self._whole:
            return b""
        raise OSError(errno.EIO, os.strerror(errno.EIO))


class FakeOperations:
    """Answers with constants, remembers what it was asked; `error` is raised instead."""

    def __init__(self) -> None:
        self.answer = STATUS
        self.asked: list[Any] = []
        self.error: Exception | None = None
        self.prune_steps: PruneSteps = _prune_at_once
        self.pinned: list[str] = []
        self.damaged: list[str] = []
        self.ledger = b"ledger"
        self.announced = 0
        self.copies = 0
        self.fetched = [WHO, WHO]
        self.note = ""
        self.reloaded = ReloadAnswer()
        self.projects = [ProjectRow("demo", 1, 1536, USED_AT, 7)]

    async def status(self) -> Status:
        """Return `answer`."""
        if self.error:
            raise self.error
        return self.answer

    async def stats(self, since_seconds: float, top: int) -> Stats:
        """Return constants."""
        self.asked.append((since_seconds, top))
        counters = KindStats(requests=10, hits=7, bytes_from_cache=1536)
        return Stats(USED_AT, {"file": counters}, {"pypi": counters}, [TopProject("demo", 10, 99)])

    async def explain(self, asked: Requirement) -> Explanation:
        """Return one file that is listed, and one that is not."""
        self.asked.append(str(asked))
        if self.error:
            raise self.error
        held = "held back by [policy] min_age until 2026-01-09 03:04 UTC: demo-2.0.tar.gz"
        return Explanation(
            "demo",
            "pypi",
            USED_AT,
            None,
            [
                ExplainedFile(
                    "demo-1.0.tar.gz", "pypi", "1.0", USED_AT, True, True, True, None, ""
                ),
                ExplainedFile(
                    "demo-2.0.tar.gz", "pypi", "2.0", USED_AT, False, False, False, "min_age", held
                ),
            ],
        )

    async def list_projects(self, sort: str) -> Iterator[ProjectRow]:
        """Return `projects`."""
        self.asked.append(sort)
        return iter(self.projects)

    async def list_files(self, project: str, sort: str) -> Iterator[FileRow]:
        """Return one file of `demo`; ProjectNotFoundError for others."""
        self.asked.append((project, sort))
        if project != "demo":
            raise ProjectNotFoundError(f"nothing of {project} is cached")
        row = FileRow("demo-1.0.tar.gz", "pypi", 1536, "ab" * 32, USED_AT, USED_AT, 7, True)
        return iter([row])

    def prune(
        self, request: PruneRequest
    ) -> AsyncIterator[Progress | list[PrunedFile] | PruneAnswer]:
        """Run `prune_steps`."""
        self.asked.append(request)
        return self.prune_steps(request)

    async def invalidate(self, request: InvalidateRequest) -> InvalidateAnswer:
        """Know `demo` only."""
        self.asked.append(request)
        unknown = [project for project in request.projects if project != "demo"]
        return InvalidateAnswer(1, unknown, 2, 3072, self.pinned)

    async def verify(
        self, projects: list[str], *, repair: bool
    ) -> AsyncIterator[Progress | VerifyAnswer]:
        """Find `damaged`."""
        self.asked.append((projects, repair))
        yield Progress(1, 3, bytes=1024)
        problems = [VerifyProblem("demo", name, "missing", repair) for name in self.damaged]
        yield VerifyAnswer(3, 4096, problems)

    @contextlib.asynccontextmanager
    async def backup(self) -> AsyncIterator[FakeCopy]:
        """Have `ledger` to give; its length is `announced`, if that is set."""
        if self.error:
            raise self.error
        self.copies += 1
        try:
            yield FakeCopy(self.ledger, self.announced or len(self.ledger))
        finally:
            self.copies -= 1

    async def pins(self) -> list[PinRow]:
        """Return one pin."""
        return [PinRow("demo==1.*", 2, 1536)]

    async def pin(self, rules: list[Requirement]) -> PinAnswer:
        """Have `demo` pinned already."""
        self.asked.append(rules)
        new = [str(rule) for rule in rules if rule.project != "demo"]
        return PinAnswer([PinRow(rule, 2, 1536) for rule in new], ["demo"])

    async def unpin(self, rules: list[Requirement]) -> PinAnswer:
        """Have nothing but `demo` pinned."""
        self.asked.append(rules)
        other = [str(rule) for rule in rules if rule.project != "demo"]
        return PinAnswer([PinRow("demo", 0, 0)], other)

    async def who(self, question: Question) -> AsyncIterator[list[WhoRow] | WhoAnswer]:
        """Have `fetched` of `demo`, a row at a time; ProjectNotFoundError for others."""
        self.asked.append(question)
        if question.requirement is not None and question.requirement.project != "demo":
            raise ProjectNotFoundError("nothing is known of it")
        for part in self.fetched:
            yield [part]
        yield WhoAnswer(USED_AT, self.note)

    async def reload(self) -> ReloadAnswer:
        """Return `reloaded`."""
        if self.error:
            raise self.error
        return self.reloaded

    def set_offline(self, request: OfflineRequest) -> OfflineAnswer:
        """Have been online until now, with two downloads under way."""
        self.asked.append(request)
        return OfflineAnswer(request.on, was_offline=False, downloads=2)


@contextlib.contextmanager
def serving(operations: FakeOperations, *, readers_gid: int | None = None) -> Iterator[Path]:
    """Serve the operations from a thread; yield the socket, which everybody may connect to."""
    with tempfile.TemporaryDirectory(prefix="pypicached-") as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "control.sock"
        loop = asyncio.new_event_loop()
        runner = loop.run_until_complete(_start(operations, path, readers_gid))
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield path
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


async def _start(operations: FakeOperations, path: Path, readers_gid: int | None) -> web.AppRunner:
    any_of_them = cast(Any, operations)
    services = Services(
        operations=any_of_them,
        keeping=any_of_them,
        explaining=any_of_them,
        history=any_of_them,
        warming=any_of_them,
        reload=operations.reload,
    )
    app = build_app(services, readers_gid=readers_gid)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    path.chmod(0o666)
    return runner
