"""The resolver's process: it reads a job, asks for what it needs, writes the plans, and ends.

Resolving is pure Python that runs for seconds, and one such thread would take the daemon's event
loop nearly all of its time. No other module imports this.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import BinaryIO

from pypicached.child import die_with
from pypicached.warm.frames import (
    LENGTH_BYTES,
    Answer,
    Done,
    Said,
    decode_answer,
    decode_job,
    frame,
)
from pypicached.warm.library import Library
from pypicached.warm.work import work_out

# A job with thousands of pages takes a tenth of it; an sdist made to fill memory ends here.
MEMORY_BYTES = 4 * 1024**3


def main() -> None:
    """Do one job; the first argument is the process that wants it."""
    die_with(int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with os.fdopen(os.dup(1), "wb", buffering=0) as out, os.fdopen(0, "rb") as source:
        os.dup2(2, 1)  # whatever prints must not break the frames
        job = decode_job(_read(source))

        def send(message: Said) -> None:
            out.write(frame(message))

        def receive() -> Answer:
            return decode_answer(_read(source))

        send(Done(work_out(job, Library(send, receive))))


def _read(source: BinaryIO) -> bytes:
    length = int.from_bytes(_exactly(source, LENGTH_BYTES), "big")
    return _exactly(source, length)


def _exactly(source: BinaryIO, count: int) -> bytes:
    found = source.read(count)
    if len(found) < count:
        raise SystemExit(1)  # the daemon wants no more of us
    return found
