"""A fake index on a machine's own loopback, scripted by the test as everywhere else."""

from __future__ import annotations

from typing import Any

from tests.deb.machine import Machine
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.upstream import Origin
from tests.proxy import FakeProxy

PORT = 8100
URL = f"http://127.0.0.1:{PORT}/simple/"


class Index(ThreadedFakeUpstream):
    """The fake index, listening in the machine's network at a port that is known beforehand."""

    def __init__(self, machine: Machine, **arguments: Any) -> None:
        super().__init__(**{"port": PORT, **arguments})
        self._machine = machine
        self._proxy: FakeProxy | None = None

    def _listen(self, origin: Origin) -> None:
        # On the thread of its loop, which does nothing else.
        self._machine.enter_network()
        super()._listen(origin)

    async def start_proxy(self) -> str:
        """Start an HTTP proxy beside it, and return its address; it ends with the index."""
        self._proxy = FakeProxy()
        await self._proxy.__aenter__()
        return self._proxy.address

    @property
    def proxied(self) -> list[str]:
        """The URLs that the proxy was asked for."""
        return [asked.target for asked in self._proxy.requests] if self._proxy else []

    async def stop(self) -> None:
        """Close every socket."""
        await super().stop()
        if self._proxy is not None:
            await self._proxy.__aexit__(None, None, None)
            self._proxy = None
