"""What a pypicached behind another one costs: a child's misses, beside those of a daemon alone.

Both ask over loopback for the same pages and files, one after another on one connection: a daemon
alone asks an index; a child asks its parent, which has them. `parent` is what the parent spends on
giving them. The digests that a child computes once more are in the child's figures.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.corpus import LARGE_BYTES, MANY, MEDIUM_BYTES, SMALL_BYTES, Corpus, Wheel
from bench.figures import markdown, print_table, shown, write_json
from bench.processes import cpu_seconds_of
from bench.targets import FILE_HEADERS, PAGE_HEADERS, Target, pypicached
from bench.upstream import Upstream

# What is asked for in a round: enough for the kernel's clock, which counts in steps of 10 ms.
PAGES, SMALL, MEDIUM, LARGE = 100, 100, 20, 2


class Row(msgspec.Struct):
    """One kind of thing: processor time and wall time of each, in ms."""

    what: str
    alone_cpu_ms: float
    child_cpu_ms: float
    parent_cpu_ms: float
    alone_ms: float
    child_ms: float


class Spent(msgspec.Struct):
    """What asking for some things took, in ms each."""

    ms: float
    cpu_ms: list[float]


def ask(target: Target, paths: Sequence[str], headers: dict[str, str], of: list[Target]) -> Spent:
    """Ask for all of them, and return what that took of these targets."""
    before = [cpu_seconds_of(one.pid) for one in of]
    connection = http.client.HTTPConnection("127.0.0.1", target.port)
    began = time.perf_counter()
    with contextlib.closing(connection):
        for path in paths:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            while answer.read(1024 * 1024):
                pass
            if answer.status != 200:
                raise SystemExit(f"{path}: {answer.status} {answer.reason}")
    seconds = time.perf_counter() - began
    # What follows behind an answer (the ledger, the disk) belongs to it.
    time.sleep(0.5)
    spent = [cpu_seconds_of(one.pid) - cpu for one, cpu in zip(of, before, strict=True)]
    count = len(paths)
    return Spent(1000 * seconds / count, [1000 * cpu / count for cpu in spent])


def measure_round(directory: Path) -> list[Row]:
    """Measure all kinds once, on empty caches."""
    site, scratch = directory / "site", directory / "run"
    corpus = Corpus(site)
    site.mkdir(parents=True)
    with Upstream(site) as upstream:
        files = upstream.files
        wheels: dict[str, list[Wheel]] = {}
        kinds = (("small", SMALL, SMALL_BYTES), ("medium", MEDIUM, MEDIUM_BYTES))
        for kind, count, size in (*kinds, ("large", LARGE, LARGE_BYTES)):
            wheels[kind] = [corpus.publish_wheel(f"{kind}-{n}", size) for n in range(count)]
            for wheel in wheels[kind]:
                corpus.publish_page(wheel.project, [wheel], 1, files)
        for n in range(PAGES):
            corpus.publish_page(f"page-{n}", [], MANY, files)
        settings = {"PYPICACHED_CACHE__MAX_SIZE": "50GB", "PYPICACHED_CACHE__PAGE_TTL": "1h"}
        with contextlib.ExitStack() as stack:

            def run(name: str, index_url: str) -> Target:
                return stack.enter_context(pypicached(index_url, scratch / name, settings))

            alone = run("alone", upstream.index_url)
            parent = run("parent", upstream.index_url)
            child = run("child", parent.index_url)
            pages = [f"/simple/page-{n}/" for n in range(PAGES)]
            ask(parent, pages, PAGE_HEADERS, [])
            rows = [_row(f"page of {MANY} files", alone, child, parent, pages, pages, PAGE_HEADERS)]
            for kind, found in wheels.items():
                ours = [
                    [one.file_path(w.project, w.filename) for w in found]
                    for one in (alone, child, parent)
                ]
                ask(parent, ours[2], FILE_HEADERS, [])
                megabytes = found[0].size / 1e6
                what = f"{kind} file ({megabytes:.3g} MB)"
                rows.append(_row(what, alone, child, parent, ours[0], ours[1], FILE_HEADERS))
    return rows


def _row(
    what: str,
    alone: Target,
    child: Target,
    parent: Target,
    alone_paths: Sequence[str],
    child_paths: Sequence[str],
    headers: dict[str, str],
) -> Row:
    by_itself = ask(alone, alone_paths, headers, [alone])
    chained = ask(child, child_paths, headers, [child, parent])
    (alone_cpu,), (child_cpu, parent_cpu) = by_itself.cpu_ms, chained.cpu_ms
    return Row(what, alone_cpu, child_cpu, parent_cpu, by_itself.ms, chained.ms)


def measure(rounds: int) -> list[Row]:
    """Return the medians of all rounds."""
    found: dict[str, list[Row]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            for row in measure_round(Path(directory)):
                found.setdefault(row.what, []).append(row)
    names = Row.__struct_fields__[1:]
    middle = {
        what: {name: statistics.median(getattr(row, name) for row in rows) for name in names}
        for what, rows in found.items()
    }
    return [Row(what, **values) for what, values in middle.items()]


def main() -> int:
    """Measure and print; no duration fails a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument(
        "--markdown", action="store_true", help="print it as bench/README.md has it"
    )
    options = parser.parse_args()
    rows = measure(options.rounds)
    head = ["ms, each", "CPU alone", "CPU child", "CPU parent", "child by alone", "alone", "child"]
    table = [
        [
            row.what,
            *(shown(one) for one in (row.alone_cpu_ms, row.child_cpu_ms, row.parent_cpu_ms)),
            f"{row.child_cpu_ms / row.alone_cpu_ms:.2f}",
            shown(row.alone_ms),
            shown(row.child_ms),
        ]
        for row in rows
    ]
    print(markdown(head, table)) if options.markdown else print_table(head, table)
    write_json(options.json, [msgspec.to_builtins(row) for row in rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
