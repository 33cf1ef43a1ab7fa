"""What is cached already: pages, small files and sidecars by rate, large files by bytes."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import statistics
import time
from collections.abc import Iterator

import msgspec

from bench import clients, rates
from bench.corpus import HOT, HUGE_HOT, LARGE_HOT
from bench.processes import TargetError, cpu_seconds_of
from bench.targets import FILE_HEADERS, PAGE_HEADERS, Target
from bench.wire.book import Book
from bench.wire.stage import Stage

CONNECTIONS = 32
WARM_SECONDS = 30.0
# Who has not answered once in the usual time gets so many times more of it.
MORE = 8
# Copies of a large file: one takes 20 ms, and processor time is counted in ticks of 10.
REPEATS = 32


class Hit(msgspec.Struct, frozen=True):
    """One thing to ask for again and again."""

    row: str
    path: str
    headers: dict[str, str]
    connections: int = CONNECTIONS


def warm(stage: Stage, book: Book) -> None:
    """Have every target fetch what will be asked for; who cannot has no rows of it."""
    for target in stage.targets.values():
        with book.attempt("warming", target.name):
            for project in (HOT, HUGE_HOT):
                _ask(target, target.page_path(project), PAGE_HEADERS)
            # The second answer is what a hit is.
            for project in (HOT, LARGE_HOT) * 2:
                sha256 = _ask_for_file(target, _file(stage, target, project))
                if sha256 != stage.wheels[project].sha256:
                    raise TargetError("serves other bytes than were published")


def measure(stage: Stage, book: Book) -> None:
    """Measure every hit of every target once."""
    hits = {target.name: list(_hits(stage, target, book)) for target in stage.targets.values()}
    rows = dict.fromkeys(hit.row for of_target in hits.values() for hit in of_target)
    for row in rows:
        for target in stage.targets.values():
            for hit in (h for h in hits[target.name] if h.row == row):
                with book.attempt(row, target.name, row, f"{row}, CPU"):
                    rate = _rate(stage, target, hit)
                    book.add(row, target.name, rate.per_second)
                    book.add(f"{row}, CPU", target.name, rate.cpu_microseconds)
                    book.add(f"{row}, p99", target.name, rate.p99_ms)
    _measure_large(stage, book)


def _rate(stage: Stage, target: Target, hit: Hit) -> rates.Rate:
    for seconds in (stage.options.seconds, stage.options.seconds * MORE):
        with contextlib.suppress(rates.NoAnswerError):
            return rates.measure(
                target, hit.path, hit.headers, connections=hit.connections, seconds=seconds
            )
    raise TargetError("no answer in time")


def _hits(stage: Stage, target: Target, book: Book) -> Iterator[Hit]:
    page, huge = target.page_path(HOT), target.page_path(HUGE_HOT)
    for connections in (1, 32, 256):
        yield Hit(f"index hit, {connections}", page, PAGE_HEADERS, connections)
    yield Hit("huge page", huge, PAGE_HEADERS)
    with book.attempt("304", target.name):
        etag, _ = _ask(target, page, PAGE_HEADERS)
        if not etag:
            raise TargetError("has no ETag")
        unchanged = PAGE_HEADERS | {"If-None-Match": etag}
        _ask(target, page, unchanged, wanted=304)
        yield Hit("304", page, unchanged)
    with book.attempt("small file", target.name):
        file = _file(stage, target, HOT)
        yield Hit("small file", file, FILE_HEADERS)
    with book.attempt("sidecar", target.name):
        file = _file(stage, target, HOT)
        _ask(target, file + ".metadata", FILE_HEADERS)
        yield Hit("sidecar", file + ".metadata", FILE_HEADERS)


def _measure_large(stage: Stage, book: Book) -> None:
    size = stage.wheels[LARGE_HOT].size
    for number in (1, 8):
        row = f"large file, {number}"
        for target in stage.targets.values():
            with book.attempt(row, target.name, row, f"{row}, CPU"):
                job = clients.Job(
                    target.port,
                    _file(stage, target, LARGE_HOT),
                    clients=number,
                    hashers=0,
                    headers=FILE_HEADERS,
                )
                seconds, used = [], 0.0
                for _ in range(REPEATS // number):
                    before = cpu_seconds_of(target.pid)
                    outcomes = clients.run_apart(job)
                    used += cpu_seconds_of(target.pid) - before
                    broken = [o.failure for o in outcomes if o.failure]
                    if broken:
                        raise TargetError(broken[0])
                    began = min(o.started_at for o in outcomes)
                    seconds.append(max(o.finished_at for o in outcomes) - began)
                octets = number * size
                book.add(row, target.name, octets / statistics.median(seconds) / 1e6)
                book.add(f"{row}, CPU", target.name, used / (len(seconds) * octets / 1e9))


def _file(stage: Stage, target: Target, project: str) -> str:
    return target.file_path(project, stage.wheels[project].filename)


def _ask_for_file(target: Target, path: str) -> str:
    """Return a file's sha256; some caches send clients away until they have it themselves."""
    until = time.monotonic() + WARM_SECONDS
    while True:
        try:
            return _ask(target, path, FILE_HEADERS)[1]
        except TargetError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def _ask(
    target: Target, path: str, headers: dict[str, str], *, wanted: int = 200
) -> tuple[str, str]:
    """Ask once; return the ETag ("" if there is none) and the body's sha256.

    Raises TargetError for another status.
    """
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        digest = hashlib.sha256(answer.read()).hexdigest()
    if answer.status != wanted:
        raise TargetError(f"answers {answer.status}")
    return answer.getheader("ETag") or "", digest
