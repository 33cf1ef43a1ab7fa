"""The bench that compares caches: what it takes for a kept promise, and what its tools see."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import clients, processes
from bench.clients import Job
from bench.corpus import Corpus
from bench.figures import Figure, is_broken, markdown, shown
from bench.heartbeat import Heartbeat
from bench.processes import REPOSITORY, TargetError
from bench.targets import DAEMON
from bench.upstream import Upstream
from bench.wire.book import Book
from bench.wire.promises import judge
from bench.wire.report import document, put_into, render_markdown
from bench.wire.rows import values_of

ABOUT = {
    "when": "2026-01-01",
    "cores": 2,
    "processor": "one",
    "versions": "Python 3",
    "rounds": 3,
    "large_bytes": 200_000_000,
    "targets": [DAEMON, "aiohttp", "proxpi"],
}


def a_book(**samples: dict[str, list[float]]) -> Book:
    book = Book()
    for row, of_targets in samples.items():
        for target, values in of_targets.items():
            for value in values:
                book.add(row, target, value)
    return book


def fall_over() -> None:
    raise TargetError("fell over")


# ── promises ─────────────────────────────────────────────────────────────────────────────────


def test_figure__a_promise_is_kept_on_its_side() -> None:
    """At most is at most, at least is at least, and what was not measured is not kept."""
    assert Figure("a", 3.0, "ms", 3.0).is_kept
    assert not Figure("a", 3.1, "ms", 3.0).is_kept
    assert Figure("a", 0.8, "x", 0.8, at_least=True).is_kept
    assert not Figure("a", 0.79, "x", 0.8, at_least=True).is_kept
    assert not Figure("a", None, "x", 0.8).is_kept
    assert Figure("a", None, "x").is_kept


def test_is_broken__a_stretch_breaks_nothing() -> None:
    """What we only aim at fails no run."""
    assert not is_broken([Figure("a", 3.0, "x", 2.0, stretch=True)])
    assert is_broken([Figure("a", 3.0, "x", 2.0)])


def test_judge__divides_what_the_row_says() -> None:
    """More requests a second are better, and so is less time for each."""
    rates = {DAEMON: [800.0], "aiohttp": [1000.0], "proxpi": [100.0]}
    costs = {DAEMON: [50.0], "aiohttp": [33.0]}
    book = a_book(**{"index hit, 32": rates, "index hit, 32, CPU": costs})
    found = {f.name: f for f in judge(values_of(book), 200_000_000, {"hits"})}
    assert found["index hit, 32, by aiohttp"].value == pytest.approx(0.8)
    assert found["index hit, 32, by aiohttp"].is_kept
    assert found["index hit, 32, by aiohttp, by CPU"].value == pytest.approx(0.66)
    assert not found["index hit, 32, by aiohttp, by CPU"].is_kept
    assert found["index hit, 32, by proxpi"].value == pytest.approx(8)
    assert not found["index hit, 32, by nginx cache"].is_kept


def test_judge__only_of_what_was_run() -> None:
    """Promises about a part that was not run are not shown as broken."""
    names = [f.name for f in judge(values_of(Book()), 200_000_000, {"starts"})]
    assert "pypicached --help" in names
    assert not any(name.startswith(("index hit", "cold", "herd", "pip")) for name in names)


def test_judge__a_herd_is_held_to_the_longer_of_download_and_copying() -> None:
    """No cache is quicker than one download, or than the machine copies."""
    book = a_book(**{"herd, all done": {DAEMON: [6.0], "direct": [2.0], "nginx static": [5.0]}})
    found = {f.name: f for f in judge(values_of(book), 200_000_000, {"herds"})}
    assert found["herd, all done by the longer of these"].value == pytest.approx(1.2)


def test_values_of__median_or_least_and_nothing_of_who_failed() -> None:
    """Rates go by the median, a client's own seconds by the least, failures have no value."""
    book = a_book(
        **{
            "index hit, 1": {DAEMON: [1.0, 9.0, 2.0], "proxpi": [1.0]},
            "pip, 60 wheels": {DAEMON: [3.0, 2.0, 4.0]},
        }
    )
    with book.attempt("index hit, 1", "proxpi"):
        fall_over()
    values = values_of(book)
    assert values.get("index hit, 1", DAEMON) == 2.0
    assert values.get("pip, 60 wheels", DAEMON) == 2.0
    assert values.get("index hit, 1", "proxpi") is None
    assert values.missing == {"index hit, 1": {"proxpi": "fell over"}}


def test_attempt__a_mistake_of_ours_is_no_result() -> None:
    """Only what a target does wrong is a missing value."""
    with pytest.raises(ZeroDivisionError), Book().attempt("row", "proxpi"):
        raise ZeroDivisionError


def test_render_markdown__a_row_per_measure_and_per_promise() -> None:
    """The tables of a README come from the document alone, with ratios."""
    book = a_book(
        **{
            "index hit, 32": {DAEMON: [800.0], "aiohttp": [1000.0]},
            "index hit, 1": {DAEMON: [500.0]},
        }
    )
    places = render_markdown(document(book, ABOUT, {}, {"hits"}))
    assert "| index hit, 32 (req/s) | 800 | 1,000 (0.800x) | - |" in places["short"]
    assert "index hit, 1" not in places["short"]
    assert "| index hit, 1 (req/s) | 500 | - | - |" in places["rows"]
    assert "| index hit, 32, by aiohttp | 0.800 x | ≥ 0.8 x | kept |" in places["promises"]


def test_put_into__replaces_what_stands_between_its_marks() -> None:
    """A README keeps its words; again with the same tables, nothing changes."""
    marks = "<!-- bench.wire: a -->old<!-- end of bench.wire: a -->"
    once = put_into(f"before {marks} behind", {"a": "new", "b": "nowhere"})
    assert once == ("before <!-- bench.wire: a -->\nnew\n<!-- end of bench.wire: a --> behind")
    assert put_into(once, {"a": "new"}) == once


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12345.6, "12,346"), (99.44, "99.4"), (1.234, "1.23"), (0.01234, "0.012"), (3.0, "3")],
)
def test_shown__three_digits(value: float, expected: str) -> None:
    """No more digits than a measurement is worth."""
    assert shown(value) == expected


def test_markdown__a_head_a_rule_and_rows() -> None:
    """Figures are on the right."""
    assert markdown(["", "a"], [["x", "1"]]) == "|  | a |\n| --- | --: |\n| x | 1 |"


# ── the upstream ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    corpus = Corpus(tmp_path)
    wheel = corpus.publish_wheel("demo", 200_000)
    with Upstream(tmp_path) as running:
        corpus.publish_page("demo", [wheel], 5, running.files)
        corpus.publish_page("plain", [wheel], 5, running.files, html=True)
        yield running


def ask(address: str, path: str, **headers: str) -> clients.Outcome:
    host, _, port = address.partition(":")
    assert host == "127.0.0.1"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    (outcome,) = clients.run(Job(int(port), path, 1, 1, headers=named, deadline_seconds=10))
    return outcome


def wheel_path(directory: Path) -> str:
    (found,) = directory.glob("packages/*/*/*/*.whl")
    return "/" + str(found.relative_to(directory))


def test_upstream__serves_files_and_tells_of_them(upstream: Upstream, tmp_path: Path) -> None:
    """A file comes whole, and what was asked for is told once."""
    path = wheel_path(tmp_path)
    outcome = ask(upstream.files, path)
    body = (tmp_path / path[1:]).read_bytes()
    assert outcome.failure == ""
    assert outcome.sha256 == hashlib.sha256(body).hexdigest()
    time.sleep(0.05)  # its thread notes what it has sent once it has
    (seen,) = upstream.take_seen()
    assert (seen.method, seen.path, seen.status, seen.sent_bytes) == ("GET", path, 200, len(body))
    assert upstream.take_seen() == []


def test_upstream__delays_and_paces(upstream: Upstream, tmp_path: Path) -> None:
    """An answer begins after the delay; a file comes at the rate, a page all at once."""
    upstream.pace(delay=0.1, rate=1e6)
    outcome = ask(upstream.files, wheel_path(tmp_path))
    assert outcome.first_byte_at - outcome.started_at >= 0.1
    assert outcome.finished_at - outcome.started_at >= 0.1 + 0.18
    page = ask(upstream.pages, "/simple/demo/", **{"Accept_Encoding": "gzip"})
    assert 0.1 <= page.finished_at - page.started_at < 0.25


def test_upstream__pages_as_indexes_have_them(upstream: Upstream) -> None:
    """JSON, compressed for who takes that; HTML alone where there is nothing else; else 404."""
    plain = ask(upstream.pages, "/simple/demo/")
    packed = ask(upstream.pages, "/simple/demo/", **{"Accept_Encoding": "gzip, deflate"})
    assert 0 < packed.received < plain.received
    assert ask(upstream.pages, "/simple/plain/").failure == ""
    assert ask(upstream.pages, "/simple/none/").status == 404


def test_upstream__ranges(upstream: Upstream, tmp_path: Path) -> None:
    """A resumed download gets the rest."""
    path = wheel_path(tmp_path)
    request = urllib.request.Request(
        f"http://{upstream.files}{path}", headers={"Range": "bytes=1000-"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 206
        assert answer.read() == (tmp_path / path[1:]).read_bytes()[1000:]


# ── the clients ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"HTTP/1.1 200 ok\r\nContent-Length: 3\r\n\r\nabc", ""),
        (b"HTTP/1.1 200 ok\r\nContent-Length: 4\r\n\r\nabc", "closed early"),
        (b"HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", ""),
        (
            b"HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "closed early",
        ),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 302 Found"),
    ],
)
async def test_clients__tell_a_whole_body_from_a_broken_one(answer: bytes, failure: str) -> None:
    """However its end is told, a short body is a failure, and so is being sent elsewhere."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        job = Job(port, "/", 1, 0, deadline_seconds=5)
        (outcome,) = await asyncio.to_thread(clients.run, job)
    assert outcome.failure == failure


# ── processes ────────────────────────────────────────────────────────────────────────────────


# Of two that burn 0.3 s each, in ticks of 10 ms: more than one of them does with its start.
BOTH_SECONDS = 0.55


def test_cpu_seconds_of__counts_children_that_run_and_that_have_ended() -> None:
    """A target's work is that of all its processes."""
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    stay = burn + "time.sleep(60)"
    program = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
        f"process = subprocess.Popen([sys.executable, '-c', {stay!r}])\n"
        "print('started', flush=True)\nprocess.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            until = time.monotonic() + 20
            while processes.cpu_seconds_of(process.pid) < BOTH_SECONDS and time.monotonic() < until:
                time.sleep(0.05)
            assert processes.cpu_seconds_of(process.pid) >= BOTH_SECONDS
            assert len(processes.family_of(process.pid)) == 2
        finally:
            os.killpg(process.pid, 9)


def test_heartbeat__sees_a_blocked_loop(tmp_path: Path) -> None:
    """A loop that is held up for 100 ms by its own work is seen to be."""
    beating = tmp_path / "heartbeat"
    heart = Heartbeat(beating)
    heart.start()
    program = (
        "import asyncio, sys, time\nfrom bench import heartbeat\n"
        "import pypicached.__main__\n"
        "async def run():\n"
        "    await asyncio.sleep(0.05)\n"
        "    until = time.thread_time() + 0.1\n"
        "    while time.thread_time() < until: pass\n"
        "    await asyncio.sleep(0.05)\n"
        "pypicached.__main__.main = lambda: asyncio.run(run())\n"
        "heartbeat.main()"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(beating)], cwd=REPOSITORY, check=True, timeout=30
    )
    beats = heart.read()
    assert beats is not None
    assert beats.beats > 5
    assert beats.own_seconds >= 0.09
    assert beats.late_seconds >= beats.own_seconds
