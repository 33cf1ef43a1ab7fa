"""A process that does not end by itself."""

from __future__ import annotations

import subprocess
import sys
import time

HANGS = """
import concurrent.futures, sys, threading
from pypicached import logs
from pypicached.ending import Ending
logs.configure("text", "info", sys.stderr)
ending = Ending()
for seconds in map(float, sys.argv[2:]):
    ending.within(seconds)
pool = concurrent.futures.ThreadPoolExecutor()
if sys.argv[1] == "hangs":
    pool.submit(threading.Event().wait)
pool.shutdown(wait=False)
"""


def run(*arguments: str) -> tuple[int, str, float]:
    """Run it; return exit code, log, and how long it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGS, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stderr, time.monotonic() - began


def test_within__a_thread_hangs() -> None:
    """A process whose thread does not end is ended, and its log says where that thread hangs.

    The first of several limits decides, in whatever order they were told.
    """
    for limits in (["0.2"], ["60", "0.2"], ["0.2", "60"]):
        code, log, _ = run("hangs", *limits)
        assert code == 1
        assert "ended by force" in log
        assert "in wait" in log


def test_within__nothing_hangs() -> None:
    """A process that ends by itself is not held up."""
    code, log, seconds = run("ends", "60")
    assert (code, log) == (0, "")
    assert seconds < 10
