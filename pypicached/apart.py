"""Blocking work in a thread of its own, given up on when it does not come back.

A disk that hangs (a network mount whose server is gone) holds whoever reads from it, and no signal
frees it. The pool of the cache's disk must not be emptied by files that lie elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class NoAnswerError(Exception):
    """The work has not come back in time; its thread may hang for ever."""


class Apart:
    """One thread at a time, however many callers there are: a second one waits for the first.

    The thread is a daemon: the process ends without it.
    """

    def __init__(self, name: str, limit_seconds: float) -> None:
        self._name = name
        self._limit_seconds = limit_seconds
        # What is under way, perhaps for ever, and since when.
        self._running: asyncio.Future[Any] | None = None
        self._began_at = 0.0

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises. NoAnswerError after the limit.

        At once, if what is under way has had its time.
        """
        while self._running is not None:
            await self._wait(self._running)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                self._tell(loop, self._fail, ended, error)
            else:
                self._tell(loop, self._succeed, ended, result)

        self._began_at = time.monotonic()
        threading.Thread(target=run, name=self._name, daemon=True).start()
        self._running = ended
        await self._wait(ended)
        return ended.result()

    async def _wait(self, ended: asyncio.Future[Any]) -> None:
        left = self._began_at + self._limit_seconds - time.monotonic()
        done, _ = await asyncio.wait({ended}, timeout=max(0.0, left))
        if not done:
            raise NoAnswerError

    def _tell(
        self, loop: asyncio.AbstractEventLoop, what: Callable[..., None], *given: Any
    ) -> None:
        # Who came too late finds a loop that has ended, and nobody who would want to know.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(what, *given)

    def _succeed(self, ended: asyncio.Future[T], result: T) -> None:
        self._running = None
        ended.set_result(result)

    def _fail(self, ended: asyncio.Future[Any], error: BaseException) -> None:
        self._running = None
        ended.set_exception(error)
        # asyncio complains of errors that nobody looked at: whoever waited may have given up.
        ended.exception()
