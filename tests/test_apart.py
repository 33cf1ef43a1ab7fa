"""Blocking work that does not come back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pypicached.apart import Apart, NoAnswerError
from tests.cache.client import until


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """Return what work waits for, as if it were a disk that hangs; the end of the test ends it."""
    event = threading.Event()
    yield event
    event.set()


async def test_run__result_and_error() -> None:
    """What the work returns is returned, what it raises is raised, in a thread of that name."""
    apart = Apart("reading", 20.0)
    assert await apart.run(lambda: threading.current_thread().name) == "reading"
    with pytest.raises(ZeroDivisionError):
        await apart.run(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        await apart.run(sys.exit)
    assert await apart.run(lambda: 7) == 7


async def test_run__one_at_a_time() -> None:
    """Any number of callers have their work done, each after another."""
    apart, running, most = Apart("x", 20.0), 0, 0

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.001)
        running -= 1

    await asyncio.gather(*(apart.run(work) for _ in range(20)))
    assert most == 1


async def test_run__hangs(hanging: threading.Event) -> None:
    """It is given up on in time, later callers at once; once it comes back, all is well again."""
    apart = Apart("hangs", 0.1)
    with pytest.raises(NoAnswerError):
        await apart.run(hanging.wait)
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(NoAnswerError):
            await apart.run(hanging.wait)
    # With the patience of each it would be 10 s.
    assert time.monotonic() - began < 5
    assert [thread.name for thread in threading.enumerate()].count("hangs") == 1
    hanging.set()
    await until(lambda: apart._running is None)
    assert await apart.run(lambda: 7) == 7


async def test_run__caller_leaves(hanging: threading.Event) -> None:
    """A caller who is cancelled leaves the thread to the next one's patience."""
    apart = Apart("x", 20.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(apart.run(hanging.wait), 0.01)
    second = asyncio.create_task(apart.run(lambda: 7))
    await asyncio.sleep(0)
    hanging.set()
    assert await second == 7


def test_run__process_ends() -> None:
    """A process ends without a thread that hangs."""
    program = (
        "import asyncio, threading\n"
        "from pypicached.apart import Apart, NoAnswerError\n"
        "try: asyncio.run(Apart('x', 0.01).run(threading.Event().wait))\n"
        "except NoAnswerError: print('given up')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert (done.stdout, done.stderr) == ("given up\n", "")
