"""Processes of our own: how they are started, and that they end with whoever started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

# prctl(2): the signal that we get when the thread that started us ends.
PR_SET_PDEATHSIG = 1


def command(module: str) -> list[str]:
    """Return the command line of a process that runs `main()` of a module of ours.

    Its first argument is our process id, for `die_with`.
    """
    home = str(Path(__file__).resolve().parent.parent)
    # First, to ignore SIGHUP, which a service manager may send to all of us, and whose default
    # action ends a process. Not "-m": -I leaves out the current directory, so a checkout names
    # itself.
    program = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        f"sys.path.insert(0, {home!r}); from {module} import main; main()"
    )
    return [sys.executable, "-I", "-c", program, str(os.getpid())]


def die_with(parent: int) -> None:
    """End this process as soon as its parent, the process `parent`, has ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died already
        raise SystemExit(1)
