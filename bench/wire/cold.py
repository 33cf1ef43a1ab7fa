"""What is not cached yet: how much later its bytes come than from the upstream itself."""

from __future__ import annotations

import statistics

from bench import clients
from bench.clients import Job, Outcome
from bench.processes import TargetError
from bench.targets import DAEMON, FILE_HEADERS, PAGE_HEADERS
from bench.wire.book import Book
from bench.wire.stage import COLD, Stage

DELAY_SECONDS = 0.05
STREAM_RATE = 20e6
DEADLINE_SECONDS = 60.0
STREAM_ROWS = ("cold stream, first byte", "cold stream, total")


def measure(stage: Stage, book: Book, number: int) -> None:
    """Measure every cold answer of every cache once, in the round of that number."""
    stage.upstream.pace(DELAY_SECONDS)
    _measure_pages(stage, book, "cold page", [f"page-{number}-{k}" for k in range(COLD)])
    for style in ("json", "html"):
        _measure_pages(stage, book, f"cold huge page, {style}", [f"huge-{style}-{number}"])
    _measure_files(stage, book, number)
    stage.upstream.pace()
    if number == 0:
        _measure_stream(stage, book)


def _measure_pages(stage: Stage, book: Book, row: str, projects: list[str]) -> None:
    for target in stage.caches:
        with book.attempt(row, target.name):
            added = [
                _added(
                    (stage.direct.port, stage.direct.page_path(project)),
                    (target.port, target.page_path(project)),
                    PAGE_HEADERS,
                )
                for project in projects
            ]
            book.add(row, target.name, statistics.median(added) * 1000)


def _measure_files(stage: Stage, book: Book, number: int) -> None:
    projects = [f"file-{number}-{k}" for k in range(COLD)]
    for target in stage.caches:
        with book.attempt("cold small file", target.name):
            added = []
            for project in projects:
                # A client knows the page before it knows the file.
                path = target.file_path(project, stage.wheels[project].filename)
                straight = stage.direct_file(project)
                added.append(_added(straight, (target.port, path), FILE_HEADERS))
            book.add("cold small file", target.name, statistics.median(added) * 1000)


def _added(straight: tuple[int, str], through: tuple[int, str], headers: dict[str, str]) -> float:
    """Return by how much later the last byte comes than straight from the upstream.

    That is asked right before and right after, and its quicker answer counts.
    """
    before = _seconds(*straight, headers)
    taken = _seconds(*through, headers)
    return taken - min(before, _seconds(*straight, headers))


def _seconds(port: int, path: str, headers: dict[str, str]) -> float:
    outcome = _one(port, path, headers)
    return outcome.finished_at - outcome.started_at


def _measure_stream(stage: Stage, book: Book) -> None:
    """Have all caches fetch the same large file at once, each at the upstream's rate.

    That takes little of the machine, and ten seconds.
    """
    stage.upstream.pace(DELAY_SECONDS, STREAM_RATE)
    jobs = {"direct": _job(*stage.direct_file("stream"), FILE_HEADERS)}
    for target in stage.caches:
        with book.attempt("cold stream", target.name, *STREAM_ROWS):
            path = target.file_path("stream", stage.wheels["stream"].filename)
            jobs[target.name] = _job(target.port, path, FILE_HEADERS)
    with book.attempt("cold stream", DAEMON):
        outcomes = {name: one for name, (one,) in clients.run_beside(jobs).items()}
    stage.upstream.pace()
    straight = outcomes.pop("direct")
    for name, outcome in outcomes.items():
        with book.attempt("cold stream", name, *STREAM_ROWS):
            if outcome.failure:
                raise TargetError(outcome.failure)
            later = (outcome.first_byte_at - outcome.started_at) - (
                straight.first_byte_at - straight.started_at
            )
            book.add("cold stream, first byte", name, later * 1000)
            ratio = (outcome.finished_at - outcome.started_at) / (
                straight.finished_at - straight.started_at
            )
            book.add("cold stream, total", name, (ratio - 1) * 100)


def _one(port: int, path: str, headers: dict[str, str]) -> Outcome:
    (outcome,) = clients.run(_job(port, path, headers))
    if outcome.failure:
        raise TargetError(outcome.failure)
    return outcome


def _job(port: int, path: str, headers: dict[str, str]) -> Job:
    return Job(port, path, 1, 0, headers=headers, deadline_seconds=DEADLINE_SECONDS)
