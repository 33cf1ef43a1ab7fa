"""Many clients at once for one thing that is in no cache."""

from __future__ import annotations

import statistics

import msgspec

from bench import clients
from bench.clients import Job, Outcome
from bench.corpus import LARGE_HOT
from bench.processes import peak_bytes_of, reset_peaks_of, resident_bytes_of
from bench.targets import DAEMON, FILE_HEADERS, PAGE_HEADERS, Target
from bench.wire.book import Book
from bench.wire.stage import Stage

CLIENTS, CROWD = 50, 200
HASHERS = 5
RATE, SLOW_RATE, CUT_RATE = 100e6, 0.3e6, 2e6
PAGE_DELAY_SECONDS = 0.05
# Who has not finished by then has failed; a peer that fetches 50 times needs minutes.
DEADLINE_SECONDS, QUICK_DEADLINE_SECONDS = 45.0, 12.0
HERD_ROWS = ("upstream GETs", "upstream MB", "first byte", "all done", "failed", "growth")


def measure(stage: Stage, book: Book, number: int) -> None:
    """Send every herd to every cache once, in the round of that number."""
    _measure_wheel(stage, book, f"herd-{number}")
    _measure_cut(stage, book, f"cut-{number}")
    _measure_slow(stage, book, number)
    _measure_crowd(stage, book, f"crowd-{number}")
    stage.upstream.pace()


def _measure_wheel(stage: Stage, book: Book, project: str) -> None:
    """50 clients and one wheel of 200 MB; beside it one client alone, and mere copying."""
    stage.upstream.pace(rate=RATE)
    (straight,) = clients.run_apart(Job(*stage.direct_file(project), 1, 0, headers=FILE_HEADERS))
    book.add("herd, all done", "direct", straight.finished_at - straight.started_at)
    for target in stage.caches:
        rows = [f"herd, {row}" for row in HERD_ROWS]
        with book.attempt("herd", target.name, *rows):
            path = target.file_path(project, stage.wheels[project].filename)
            stage.upstream.take_seen()
            reset_peaks_of(target.pid)
            before = resident_bytes_of(target.pid)
            outcomes = clients.run_apart(_herd(stage, target, path))
            book.add("herd, growth", target.name, (peak_bytes_of(target.pid) - before) / 1e6)
            _sum_up(stage, book, "herd", target, project, outcomes)
    static = stage.targets.get("nginx static")
    if static is not None:
        _measure_copying(stage, book, static)


def _measure_copying(stage: Stage, book: Book, static: Target) -> None:
    """How long nginx needs to send it 50 times from its disk: no cache can be quicker."""
    project = LARGE_HOT
    with book.attempt("herd", static.name, "herd, all done"):
        path = static.file_path(project, stage.wheels[project].filename)
        outcomes = clients.run_apart(_herd(stage, static, path))
        seconds = max(o.finished_at for o in outcomes) - min(o.started_at for o in outcomes)
        book.add("herd, all done", static.name, seconds)


def _herd(stage: Stage, target: Target, path: str) -> Job:
    deadline = QUICK_DEADLINE_SECONDS if stage.options.quick else DEADLINE_SECONDS
    return Job(
        target.port,
        path,
        CLIENTS,
        HASHERS,
        headers=FILE_HEADERS,
        deadline_seconds=deadline,
    )


def _measure_cut(stage: Stage, book: Book, project: str) -> None:
    """One client comes first and resets its connection halfway, after 50 have joined it."""
    stage.upstream.pace(rate=CUT_RATE)
    for target in stage.caches:
        with book.attempt("cut herd", target.name, "cut herd, upstream GETs", "cut herd, failed"):
            wheel = stage.wheels[project]
            job = _herd(stage, target, target.file_path(project, wheel.filename))
            stage.upstream.take_seen()
            outcomes = clients.run_apart(
                msgspec.structs.replace(job, cut_first=True, cut_at=wheel.size // 2)
            )
            _sum_up(stage, book, "cut herd", target, project, outcomes[1:])


def _measure_slow(stage: Stage, book: Book, number: int) -> None:
    """50 clients for each cache at the same time: at that rate nothing of the machine is used."""
    stage.upstream.pace(rate=SLOW_RATE)
    stage.upstream.take_seen()
    projects = {t.name: f"slow-{number}-{k}" for k, t in enumerate(stage.caches)}
    jobs = {}
    for target in stage.caches:
        with book.attempt("slow herd", target.name, *(f"slow herd, {row}" for row in HERD_ROWS)):
            project = projects[target.name]
            path = target.file_path(project, stage.wheels[project].filename)
            jobs[target.name] = _herd(stage, target, path)
    with book.attempt("slow herd", DAEMON):
        outcomes = clients.run_beside(jobs)
    seen = stage.upstream.take_seen()
    for target in stage.caches:
        if target.name in outcomes:
            project = projects[target.name]
            ours = [s for s in seen if s.path == f"/{stage.wheels[project].path}"]
            book.add("slow herd, upstream GETs", target.name, len(ours))
            _fared(book, "slow herd", target.name, outcomes[target.name])
            ended = max((s.finished_at for s in ours), default=0.0)
            finished = [o.finished_at for o in outcomes[target.name] if not o.failure]
            if ended and finished:
                book.add("slow herd, after upstream", target.name, max(finished) - ended)


def _measure_crowd(stage: Stage, book: Book, project: str) -> None:
    """200 clients and a page of 200 files."""
    stage.upstream.pace(PAGE_DELAY_SECONDS)
    for target in stage.caches:
        with book.attempt("crowd", target.name, "crowd, upstream GETs", "crowd, all done"):
            stage.upstream.take_seen()
            outcomes = clients.run_apart(
                Job(
                    target.port,
                    target.page_path(project),
                    CROWD,
                    0,
                    headers=PAGE_HEADERS,
                    deadline_seconds=DEADLINE_SECONDS,
                )
            )
            seen = stage.upstream.take_seen()
            gets = sum(s.path == f"/simple/{project}/" for s in seen)
            book.add("crowd, upstream GETs", target.name, gets)
            _fared(book, "crowd", target.name, outcomes)


def _sum_up(
    stage: Stage, book: Book, name: str, target: Target, project: str, outcomes: list[Outcome]
) -> None:
    wheel = stage.wheels[project]
    seen = [s for s in stage.upstream.take_seen() if s.path == f"/{wheel.path}"]
    book.add(f"{name}, upstream GETs", target.name, len(seen))
    book.add(f"{name}, upstream MB", target.name, sum(s.sent_bytes for s in seen) / 1e6)
    wrong = [o for o in outcomes if o.sha256 and o.sha256 != wheel.sha256]
    if wrong and target.name == DAEMON:
        raise RuntimeError("the daemon has served wrong bytes")
    for outcome in wrong:
        outcome.failure = "wrong bytes"
    _fared(book, name, target.name, outcomes)


def _fared(book: Book, name: str, target: str, outcomes: list[Outcome]) -> None:
    """Note how many failed, and how soon the others had their first byte and all of them."""
    began = min(o.started_at for o in outcomes)
    whole = [o for o in outcomes if not o.failure]
    book.add(f"{name}, failed", target, len(outcomes) - len(whole))
    if not whole:
        reason = outcomes[0].failure
        for row in (f"{name}, first byte", f"{name}, all done"):
            book.missing.setdefault(row, {})[target] = f"all failed: {reason}"
        return
    first = statistics.median(o.first_byte_at for o in whole) - began
    book.add(f"{name}, first byte", target, first)
    book.add(f"{name}, all done", target, max(o.finished_at for o in whole) - began)
