"""A cache of 1,000,000 files, 10 TB and 20,000 pages: does it start, answer and evict as promised?

The directory is made first (`scaling.ledger`: real ledger, sparse blobs; a minute or two and some
1.5 GB). Then a daemon starts on it, commands are run as a person runs them, and a client asks for
small hits all the while: what it waits beyond what it waits when nothing happens is what the
daemon's own work costs others. A second daemon has a lower limit and evicts.

Exit code 1: a promise was not kept, with --strict; 2: the daemon did not start. On a shared machine
look twice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import targets
from bench.figures import Figure, as_json, is_broken, print_figures, write_json
from bench.processes import REPOSITORY, TargetError, memory_of
from bench.scaling.hits import Hits, Load, between, rate_of, worst_of
from bench.scaling.ledger import Row, Shape, fill_blobs, name_of, plan, write
from bench.targets import Target
from pypicached.control.client import ControlClient
from pypicached.errors import ControlError
from pypicached.messages import Progress

FULL, QUICK = (1_000_000, 20_000), (100_000, 2_000)
# Nobody is asked: all that these benches ask for is here.
NOWHERE = "http://127.0.0.1:9/simple/"
HOT_FILES = 64
QUIET_SECONDS = 2.0
ROUNDS = 3
# With the limit at this share of what is there, the worker removes a bit more than 5 %.
FULLNESS = 1.015
EVICTED_SHARE = 0.01
GIVE_UP_SECONDS = 180.0


class EnoughError(Exception):
    """Stops a command from within once its first line has come."""


class Daemon:
    """A daemon on the large cache, asked by commands and by small hits."""

    def __init__(self, target: Target, directory: Path, hot: list[Row]) -> None:
        self.pid = target.pid
        self._socket = directory / "control.sock"
        self._load = Load(target.port, [row.url_path for row in hot])
        self.control = ControlClient([self._socket])

    def hits(self, connections: int = 1, pause_seconds: float = 0.0) -> Hits:
        """Return small hits that have begun."""
        load = msgspec.structs.replace(
            self._load, connections=connections, pause_seconds=pause_seconds
        )
        return Hits(load)

    def command(self, *arguments: str) -> None:
        """Run a command as a person does, its output into a pipe."""
        subprocess.run(
            [sys.executable, "-m", "pypicached", *arguments, "--socket", str(self._socket)],
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], "HOME": str(self._socket.parent)},
            stdout=subprocess.PIPE,
            check=True,
        )

    def begin_verify(self) -> None:
        """Return once a verify has told of its first step; it stops then."""

        def enough(_: Progress) -> None:
            raise EnoughError

        while True:
            try:
                self.control.verify([], repair=False, on_progress=enough)
            except EnoughError:
                return
            except ControlError as error:
                if "another verify" not in str(error):
                    raise
                time.sleep(0.05)  # it has not yet noticed that we left


@contextmanager
def serving(directory: Path, hot: list[Row], max_size: str) -> Iterator[tuple[Daemon, float]]:
    """Run a daemon; gives it, and the seconds from its start until it was ready."""
    settings = {"PYPICACHED_CACHE__MAX_SIZE": max_size}
    began = time.monotonic()
    with targets.pypicached(NOWHERE, directory, settings) as target:
        yield Daemon(target, directory, hot), time.monotonic() - began


def measure_commands(directory: Path, rows: list[Row]) -> list[Figure]:
    """Start a daemon without a limit and run commands, with small hits beside them."""
    hot = hot_files(rows)
    with serving(directory, hot, "unlimited") as (daemon, seconds):
        figures = [
            Figure("start to ready", seconds, "s", 1.0),
            Figure("memory after the start", memory_mb(daemon.pid, "VmRSS"), "MB", 150.0),
        ]
        commands: dict[str, tuple[Callable[[], None], float | None]] = {
            "status": (lambda: daemon.command("status"), None),
            "stats": (lambda: daemon.command("stats"), None),
            "list --sort used": (lambda: daemon.command("list", "--sort", "used"), None),
            "list PROJECT": (lambda: daemon.command("list", name_of(0)), None),
            "prune --days 30 --dry-run": (
                lambda: daemon.command("prune", "--days", "30", "--dry-run"),
                2.0,
            ),
            "prune --days 0 --dry-run": (
                lambda: daemon.command("prune", "--days", "0", "--dry-run"),
                None,
            ),
            "verify, its first step": (daemon.begin_verify, None),
        }
        for name, (run, promise) in commands.items():
            figures.append(Figure(name, seconds_of(run), "s", promise))
        runs = {name: run for name, (run, _) in commands.items()}
        figures += beside_hits(daemon, runs)
        figures += [
            Figure("memory at its most", memory_mb(daemon.pid, "VmHWM"), "MB", 150.0),
            Figure("ledger", daemon.control.status().disk.ledger_bytes / 1e6, "MB"),
        ]
    return figures


def seconds_of(run: Callable[[], None]) -> float:
    """Run something twice; return the fewest seconds: others use this machine, too."""
    taken = []
    for _ in range(2):
        began = time.monotonic()
        run()
        taken.append(time.monotonic() - began)
    return min(taken)


def beside_hits(daemon: Daemon, commands: dict[str, Callable[[], None]]) -> list[Figure]:
    """Return how long small hits waited beside each command, and what that was beyond quiet.

    Of each the best of some rounds: what the daemon itself does it does each time, what else goes
    on on this machine it does not.
    """
    worst: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        with daemon.hits(pause_seconds=0.001) as hits:
            times: dict[str, tuple[float, float]] = {}
            for name, run in {"nothing": lambda: time.sleep(QUIET_SECONDS), **commands}.items():
                began = time.monotonic()
                run()
                times[name] = began, time.monotonic()
            slots = hits.end()
        for name, (began, ended) in times.items():
            worst.setdefault(name, []).append(worst_of(between(slots, began, ended)) * 1000)
    least = {name: min(seen) for name, seen in worst.items()}
    beyond = max(0.0, max(least.values()) - least["nothing"])
    return [
        *(Figure(f"small hits wait beside {name}", ms, "ms") for name, ms in least.items()),
        Figure("small hits wait beyond that beside nothing", beyond, "ms", 10.0),
    ]


def measure_eviction(directory: Path, rows: list[Row]) -> list[Figure]:
    """Start a daemon with a limit that has been passed, and hit it while it evicts."""
    used = sum(row.disk_bytes for row in rows)
    limit, wanted = int(used / FULLNESS), int(len(rows) * EVICTED_SHARE)
    with (
        serving(directory, hot_files(rows), str(limit)) as (daemon, _),
        daemon.hits(connections=4) as hits,
    ):
        before = time.monotonic()
        total = daemon.control.status().disk.files
        began = wait_for(lambda: daemon.control.status().disk.files < total)
        ended = wait_for(lambda: daemon.control.status().disk.files <= total - wanted)
        slots = hits.end()
        usual = rate_of(between(slots, before + 1, began - 1))
        during = rate_of(between(slots, began, ended))
    return [
        Figure(f"eviction of {wanted:,} files", ended - began, "s"),
        Figure("hits before", usual, "a second"),
        Figure("hits while it evicts", during, "a second"),
        Figure("hits kept", during / usual, "of usual", 0.5, at_least=True),
        Figure(
            "small hits wait while it evicts",
            worst_of(between(slots, began, ended)) * 1000,
            "ms",
        ),
    ]


def hot_files(rows: list[Row]) -> list[Row]:
    """Return small files that were used last."""
    small = [row for row in rows if row.kind == "metadata"]
    return sorted(small, key=lambda row: -row.last_used_at)[:HOT_FILES]


def wait_for(holds: Callable[[], bool]) -> float:
    """Return the moment at which something has come true. Raises TargetError if it does not."""
    until = time.monotonic() + GIVE_UP_SECONDS
    while not holds():
        if time.monotonic() > until:
            raise TargetError("the daemon does not evict")
        time.sleep(0.05)
    return time.monotonic()


def memory_mb(pid: int, field: str) -> float:
    """Return a field of the process's memory in MB."""
    return memory_of(pid)[field] / 1e6


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument(
        "--in", dest="where", type=Path, help="make it in this directory's file system"
    )
    parser.add_argument("--strict", action="store_true", help="fail if a promise was not kept")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, directory: Path) -> list[Figure]:
    """Make the cache and measure."""
    files, projects = QUICK if options.quick else FULL
    shape = Shape(files, projects, time.time())
    rows = plan(shape)
    began = time.monotonic()
    (directory / "cache").mkdir()
    asyncio.run(write(directory / "cache", shape, rows))
    fill_blobs(directory / "cache", hot_files(rows))
    total = sum(row.disk_bytes for row in rows)
    print(
        f"{files:,} files, {total / 1e12:.1f} TB, {projects:,} pages, "
        f"made in {time.monotonic() - began:.0f} s",
        file=sys.stderr,
    )
    return [*measure_commands(directory, rows), *measure_eviction(directory, rows)]


def main() -> int:
    """Run the bench and return its exit code."""
    options = parse_arguments(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="scale-", dir=options.where) as directory:
        try:
            figures = run(options, Path(directory))
        except TargetError as error:
            print(error, file=sys.stderr)
            return 2
    print_figures(figures)
    write_json(options.json, as_json(figures))
    return 1 if options.strict and is_broken(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
