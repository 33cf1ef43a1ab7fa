"""Runs the command that follows in this process, whose event loop gets stuck on SIGUSR1.

As a process of its own: a handler of Python's runs in the thread of the loop, between two of its
steps, and does not come back.
"""

from __future__ import annotations

import runpy
import signal
import sys
import time

_FOR_EVER = 3600.0


def be_stuck(_number: int, _frame: object) -> None:
    """Do nothing for longer than any watchdog waits."""
    time.sleep(_FOR_EVER)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, be_stuck)
    # What follows is `python -m MODULE ARGUMENTS`.
    sys.argv = sys.argv[sys.argv.index("-m") + 1 :]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
