"""How long Python's start takes: two commands, and a daemon on an empty cache until it is ready."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from bench import targets
from bench.processes import REPOSITORY
from bench.targets import DAEMON
from bench.wire.book import Book
from bench.wire.stage import Stage

TIMES = 5


def measure(stage: Stage, book: Book) -> None:
    """Start each a few times. The daemon that is measured answers `stats`."""
    for _ in range(TIMES):
        for arguments in (["--help"], ["stats"]):
            row = f"start, {arguments[0]}"
            with book.attempt(row, DAEMON, watched=False):
                book.add(row, DAEMON, _command_seconds(stage, arguments))
    for number in range(TIMES):
        with book.attempt("start, daemon", DAEMON, watched=False):
            directory = stage.directory / f"start-{number}"
            began = time.monotonic()
            with targets.pypicached(stage.upstream.index_url, directory):
                book.add("start, daemon", DAEMON, time.monotonic() - began)


def _command_seconds(stage: Stage, arguments: list[str]) -> float:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(stage.directory),
        "PYTHONPATH": str(REPOSITORY),
        "PYPICACHED_SOCKET": str(stage.directory / "pypicached" / "control.sock"),
    }
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "pypicached", *arguments],
        env=environment,
        cwd=stage.directory,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began
