"""Looking up host names in threads of their own, a few per index at a time.

The C library's look-up cannot be cancelled, and a name server that does not answer holds its thread
for half a minute. In a pool that all indexes share, six such look-ups would keep every other name
waiting, and a stop of the daemon too. So: a daemon thread for each look-up, one look-up per name,
a bound on both their number and the time that is waited for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

# An index leads to two or three names; those of a hostile page are looked up one after another.
MOST_LOOKUPS = 4
# As the HTTP client asks by itself: no IPv6 addresses on a host that has none (getaddrinfo(3)).
FLAGS = socket.AI_ADDRCONFIG
# A numeric address and port need no further look-up (getaddrinfo(3)).
NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

# What socket.getaddrinfo takes by position here: host, port, family, type, proto, flags.
Lookup = Callable[[str, int, int, int, int, int], Sequence[tuple[Any, Any, Any, Any, Any]]]
Found = list[ResolveResult]


class Resolver(AbstractResolver):
    """The names of one index. Used by one event loop."""

    def __init__(self, seconds: float, lookup: Lookup = socket.getaddrinfo) -> None:
        self._seconds = seconds
        self._lookup = lookup
        self._running: dict[tuple[str, int, int], asyncio.Future[Found]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> Found:
        """Return the addresses of a name. Raises OSError if they cannot be had in time."""
        key = (host, port, int(family))
        running = self._running.get(key)
        if running is None:
            if len(self._running) >= MOST_LOOKUPS:
                raise OSError(None, "too many names are being looked up")
            running = self._start(*key)
        try:
            # Whoever waits for it may leave: the look-up goes on, and ends by itself.
            return await asyncio.wait_for(asyncio.shield(running), self._seconds)
        except TimeoutError as error:
            raise OSError(None, "the name was not resolved in time") from error

    def _start(self, host: str, port: int, family: int) -> asyncio.Future[Found]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found] = loop.create_future()
        key = (host, port, family)
        self._running[key] = future

        def tell(found: Found, error: OSError | UnicodeError | None) -> None:
            self._running.pop(key, None)
            if future.done():
                return
            if error is None:
                future.set_result(found)
            else:
                future.set_exception(error)
                future.exception()  # seen: nobody may be waiting any more

        def look_up() -> None:
            found: Found = []
            failure: OSError | UnicodeError | None = None
            try:
                found = _results(host, self._lookup(*key, socket.SOCK_STREAM, 0, FLAGS))
            except (OSError, UnicodeError) as error:
                failure = error
            # The daemon may have stopped meanwhile: then nobody asks any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, found, failure)

        threading.Thread(target=look_up, name=f"look-up {host}", daemon=True).start()
        return future

    async def close(self) -> None:
        """Nothing to close: threads end with their look-ups, or with the process."""


def _results(host: str, infos: Sequence[tuple[Any, Any, Any, Any, Any]]) -> Found:
    """Return what the HTTP client takes. A link-local address is of no use without its zone."""
    return [
        ResolveResult(
            hostname=host,
            host=f"{address[0]}%{address[3]}" if len(address) > 3 and address[3] else address[0],
            port=address[1],
            family=family,
            proto=proto,
            flags=NUMERIC,
        )
        for family, _, proto, _, address in infos
    ]
