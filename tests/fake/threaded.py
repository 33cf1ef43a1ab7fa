"""The fake index with an event loop of its own in a thread, for tests without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.fake.upstream import FakeUpstream

T = TypeVar("T")

CALL_SECONDS = 10.0


class ThreadedFakeUpstream(FakeUpstream):
    """A `FakeUpstream` that `with` runs beside the caller.

    Publishing, faults, gates and records may be used from the caller's thread: they only add to
    and read plain containers. Coroutines go through `run`.
    """

    def __enter__(self) -> Self:
        self._own_loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._own_loop.run_forever, name="fake-upstream")
        self._thread.start()
        self.up()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.down()
        finally:
            self._let_go()
            self._own_loop.call_soon_threadsafe(self._own_loop.stop)
            self._thread.join()
            self._own_loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the index's loop; raises TimeoutError after ten seconds."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._own_loop)
        return future.result(CALL_SECONDS)

    def up(self) -> None:
        """Listen (again)."""
        self.run(self.start())

    def down(self) -> None:
        """Refuse connections and break those that are open, until `up`."""
        self.run(self.stop())
