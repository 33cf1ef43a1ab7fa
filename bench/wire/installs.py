"""`pip download` and `uv pip install` of 60 wheels that are cached: by how much more than straight.

Straight is a static nginx on loopback that says the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.corpus import APP_BYTES
from bench.processes import TargetError
from bench.targets import DAEMON, Target
from bench.wire.book import Book
from bench.wire.stage import Stage, app

TIME_LIMIT_SECONDS = 120
# What is compared in a quick run.
QUICK = (DAEMON, "nginx static")
# An installer's seconds vary a lot; the least of them does not.
TIMES = 4


def measure(stage: Stage, book: Book) -> None:
    """Run both tools against every target that has the wheels, one after the other."""
    chosen = [t for t in stage.targets.values() if t.name != "aiohttp"]
    if stage.options.quick:
        chosen = [target for target in chosen if target.name in QUICK]
    for tool in ("pip", "uv"):
        row = f"{tool}, 60 wheels"
        for _ in range(TIMES):
            for target in chosen:
                with book.attempt(row, target.name):
                    book.add(row, target.name, _seconds(tool, target, stage.directory / "client"))


def warm(stage: Stage, book: Book) -> None:
    """Have every cache fetch the wheels, as a first client does."""
    for target in stage.caches:
        if not stage.options.quick or target.name in QUICK:
            with book.attempt("warming", target.name, "pip, 60 wheels", "uv, 60 wheels"):
                for tool in ("pip", "uv"):
                    _seconds(tool, target, stage.directory / "client")


def _seconds(tool: str, target: Target, home: Path) -> float:
    """Return what a tool takes with nothing in its own cache. Raises TargetError."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    where = home / "wheels"
    arguments = ["--no-cache-dir", "--quiet", "--index-url", target.index_url, app(0)]
    commands = {
        "pip": [sys.executable, "-m", "pip", "download", "--dest", str(where), *arguments],
        "uv": [
            *(str(Path(sys.executable).parent / "uv"), "pip", "install"),
            *("--python", sys.executable, "--target", str(where), *arguments),
        ],
    }
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    began = time.perf_counter()
    done = subprocess.run(
        commands[tool],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise TargetError(f"{tool} failed: {done.stderr.strip()[-300:]}")
    found = len(list(where.glob("*.whl" if tool == "pip" else "*.dist-info")))
    if found != len(APP_BYTES):
        raise TargetError(f"{tool} brought {found} of {len(APP_BYTES)} wheels")
    return seconds
