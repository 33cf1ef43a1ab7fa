"""pypicached beside its peers, and beside what the machine can do, all measured in one run.

The peers come from PyPI, into an environment of their own; nginx and wrk are Debian's. All targets
run side by side over one upstream on loopback, and take turns: whatever else the machine does, it
does to each of them. Exit code 1: a promise was not kept, with --strict; 2: the daemon did not
start.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.corpus import LARGE_BYTES
from bench.figures import is_broken, write_json
from bench.processes import REPOSITORY, TargetError, family_of, memory_of, resident_bytes_of
from bench.targets import DAEMON, NGINX
from bench.wire import cold, herds, hits, installs, starts
from bench.wire.book import Book
from bench.wire.report import (
    document,
    figures_of,
    print_report,
    put_into,
    render_markdown,
)
from bench.wire.stage import NAMES, Options, Stage, running

ROUNDS, SECONDS = 3, 2.0
QUICK_ROUNDS, QUICK_SECONDS = 1, 1.0
DOCUMENTS = (REPOSITORY / "README.md", REPOSITORY / "bench" / "README.md")
PARTS = ("hits", "cold", "herds", "installs", "starts")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.wire",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="how long each rate is measured")
    parser.add_argument(
        "--target", action="append", choices=NAMES, help="this one beside pypicached; repeatable"
    )
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="this part alone; may be repeated"
    )
    parser.add_argument(
        "--in", dest="where", type=Path, help="work in this directory's file system"
    )
    parser.add_argument("--strict", action="store_true", help="fail if a promise was not kept")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="JSON",
        help="measure nothing: put the tables of these results into README.md and bench/README.md",
    )
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Measure everything that was asked for. Raises TargetError without the daemon."""
    parts = options.only or PARTS
    plan = Options(
        options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
        options.seconds or (QUICK_SECONDS if options.quick else SECONDS),
        LARGE_BYTES,
        options.quick,
        tuple(options.target or NAMES),
    )
    book = Book()
    began, load = time.monotonic(), os.getloadavg()[0]
    with running(plan, directory) as stage:
        if DAEMON not in stage.targets:
            raise TargetError(stage.absent[DAEMON])
        book.listen_to(stage.heart)
        for name, size in stage.start_bytes.items():
            book.add("memory, start", name, size / 1e6)
        _measure(stage, book, parts)
        about = {
            "when": time.strftime("%Y-%m-%d", time.gmtime()),
            "quick": options.quick,
            "rounds": plan.rounds,
            "large_bytes": plan.large_bytes,
            "targets": list(stage.targets),
            "cores": os.cpu_count(),
            "processor": _processor(),
            "load_before": load,
            "versions": _versions(),
            "seconds": round(time.monotonic() - began),
        }
        return document(book, about, stage.absent, parts)


def _measure(stage: Stage, book: Book, parts: Sequence[str]) -> None:
    if "hits" in parts:
        hits.warm(stage, book)
    if "installs" in parts:
        installs.warm(stage, book)
    for number in range(stage.options.rounds):
        print(f"round {number + 1} of {stage.options.rounds}", file=sys.stderr)
        if "hits" in parts:
            hits.measure(stage, book)
            _note_memory(stage, book, "memory, hits")
        if "cold" in parts:
            cold.measure(stage, book, number)
            _note_memory(stage, book, "memory, cold")
        if "herds" in parts:
            herds.measure(stage, book, number)
            _note_memory(stage, book, "memory, herds")
        if "installs" in parts:
            installs.measure(stage, book)
            _note_memory(stage, book, "memory, installs")
    if "starts" in parts:
        starts.measure(stage, book)


def _note_memory(stage: Stage, book: Book, row: str) -> None:
    """Note what each target has in memory; of the daemon its worker processes apart."""
    for target in stage.targets.values():
        if target.name != DAEMON:
            book.add(row, target.name, resident_bytes_of(target.pid) / 1e6)
            continue
        book.add(row, DAEMON, memory_of(target.pid)["VmRSS"] / 1e6)
        workers = family_of(target.pid)[1:]
        if workers:
            book.add("memory, workers", DAEMON, sum(memory_of(w)["VmRSS"] for w in workers) / 1e6)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    if NGINX.exists():
        told = subprocess.run([str(NGINX), "-v"], capture_output=True, text=True, check=False)
        found.append(told.stderr.strip().rpartition("version: ")[2])
    return ", ".join(found)


def main() -> int:
    """Run the bench and return its exit code."""
    options = parse_arguments(sys.argv[1:])
    if options.markdown is not None:
        places = render_markdown(json.loads(options.markdown.read_text()))
        for readme in DOCUMENTS:
            readme.write_text(put_into(readme.read_text(), places))
        return 0
    with tempfile.TemporaryDirectory(prefix="wire-", dir=options.where) as directory:
        try:
            told = run(options, Path(directory))
        except TargetError as error:
            print(error, file=sys.stderr)
            return 2
    print_report(told)
    print(f"\n{told['about']['seconds']} s, load before {told['about']['load_before']:.1f}")
    write_json(options.json, told)
    return 1 if options.strict and is_broken(figures_of(told)) else 0


if __name__ == "__main__":
    sys.exit(main())
