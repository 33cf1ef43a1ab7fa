"""The end of the process, also where a thread of it hangs in a disk that does not answer.

Nobody can free such a thread; the event loop, and the interpreter at its end, wait for it.
"""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import threading
import time

from pypicached.logs import event

logger = logging.getLogger(__name__)

# What is left after the drain is a commit under way, the ledger's last words and its close.
AFTER_DRAIN_SECONDS = 10.0
# Whoever asks a second time does not want to wait.
HURRIED_SECONDS = 5.0


class Ending:
    """Ends the process by force where it does not end by itself; for `serve` alone.

    What was written by then is whole: a commit is a rename, and the ledger's are transactions, as
    for a process that is killed. It is a thread of its own, since the event loop may be what hangs.
    """

    def __init__(self) -> None:
        self._ends_at = math.inf

    def within(self, seconds: float) -> None:
        """Give the process so many seconds from now at most; what was said before stands, too."""
        ends_at = time.monotonic() + seconds
        if ends_at >= self._ends_at:
            return
        self._ends_at = ends_at
        timer = threading.Timer(seconds, _end)
        # It must neither hold up the end nor be gone while the interpreter waits for threads.
        timer.daemon = True
        timer.start()


def _end() -> None:
    event(logger, logging.ERROR, "ended by force: a thread hangs, probably in a disk; where:")
    faulthandler.dump_traceback(all_threads=True)
    os._exit(1)
