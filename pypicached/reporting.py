"""What the service manager is told of the running daemon: `STATUS=`, time-outs, the watchdog.

`systemctl status` shows the line. It is made of what is in memory every few seconds, and sent where
it has changed; what the ledger has to be asked for is as of the last minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from pypicached import systemd
from pypicached.cache.budget import Budget
from pypicached.cache.files import Files
from pypicached.errors import clean
from pypicached.operations import Operations
from pypicached.settings.units import format_size
from pypicached.upstream import Connection, Offline

LINE_SECONDS = 10.0
LEDGER_SECONDS = 60.0
DRAIN_SECONDS = 1.0
# So many of the failing indexes are named; `pypicached status` tells of all.
MAX_NAMED = 2
REASON_LIMIT = 80
FAILURE_LIMIT = 500
# What a start takes beside its ledger, and a stop beside its drain, on a slow and busy host.
START_SECONDS, STOP_SECONDS = 90.0, 20.0
# A ledger of an older version is copied and then changed: a slow disk does that with so many bytes
# of it in a second. One that was damaged is read through, which is less.
MIGRATED_BYTES_A_SECOND = 2_000_000


def starting(ledger_bytes: int) -> str:
    """Return that we are opening a ledger of so many bytes, and need the time it may take."""
    seconds = START_SECONDS + ledger_bytes / MIGRATED_BYTES_A_SECOND
    return _state(f"starting: opening the ledger ({format_size(ledger_bytes)})", _extend(seconds))


def ready(listeners: Sequence[str]) -> str:
    """Return that all of it serves."""
    return _state(f"serving on {', '.join(listeners)}", "READY=1")


def stopping(drain_seconds: float) -> str:
    """Return that we stop, and need the time that clients are given."""
    return _state("stopping", "STOPPING=1", _extend(drain_seconds + STOP_SECONDS))


def stopped_serving() -> None:
    """Tell that clients are done with, and what is left is ours."""
    _send("stopping: writing down what is in memory")


def failed(reason: str) -> None:
    """Tell why there is no daemon; the line stays until the next try."""
    _send(systemd.FAILED + clean(reason, limit=FAILURE_LIMIT))


class Draining:
    """Tells how many answers are still under way, a line a second at most."""

    def __init__(self) -> None:
        self._told: int | None = None
        self._told_at = 0.0

    def __call__(self, active: int) -> None:
        """Note that so many answers are under way."""
        now = time.monotonic()
        if active == self._told or now - self._told_at < DRAIN_SECONDS:
            return
        self._told, self._told_at = active, now
        _send(f"stopping: {count(active, 'answer')} under way")


class Reporting:
    """Keeps the line of a daemon that serves. One task runs it."""

    def __init__(
        self,
        *,
        operations: Operations,
        connections: Mapping[str, Connection],
        offline: Offline,
        budget: Budget,
        files: Files,
        is_comparing: Callable[[], bool],
    ) -> None:
        self._operations = operations
        self._connections = connections
        self._offline = offline
        self._budget = budget
        self._files = files
        self._is_comparing = is_comparing
        self._asked_at = float("-inf")
        self._hit_rate: float | None = None
        self._problems = 0

    async def run(self) -> None:
        """Keep the line until cancelled."""
        told = ""
        while True:
            line = await self.line()
            if line != told and _send(line):
                told = line
            await asyncio.sleep(LINE_SECONDS)

    async def line(self) -> str:
        """Return the line as it is now."""
        now = time.monotonic()
        if now - self._asked_at >= LEDGER_SECONDS:
            self._asked_at = now
            status = await self._operations.status()
            self._hit_rate, self._problems = status.hit_rate_24h, len(status.problems)
        return " · ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        yield f"serving on {', '.join(self._operations.listeners)}"
        yield "offline: upstreams are not asked" if self._offline.on else self._indexes()
        yield amount(self._budget.held_bytes, self._budget.limit_bytes)
        if self._hit_rate is not None:
            yield f"{self._hit_rate * 100:.0f} % hits in 24 h"
        if downloads := len(self._files.downloads):
            yield count(downloads, "download")
        if self._is_comparing():
            yield "comparing ledger and disk"
        if self._problems:
            yield f"{count(self._problems, 'problem')}: see pypicached status"

    def _indexes(self) -> str:
        found = [(name, one.health.condition) for name, one in self._connections.items()]
        return describe_indexes([(name, c.state, c.error or "") for name, c in found])


def describe_indexes(indexes: Sequence[tuple[str, str, str]]) -> str:
    """Return "2 of 3 indexes ok, acme failing: timed out" of (name, state, error). Pure."""
    bad = [one for one in indexes if one[1] in ("slow", "failing")]
    total = count(len(indexes), "index", "indexes")
    if not bad:
        return f"{total} ok"
    named = [f"{name} {state}" + (f": {error}" if error else "") for name, state, error in bad]
    more = [f"{len(bad) - MAX_NAMED} more"] if len(bad) > MAX_NAMED else []
    told = ", ".join([*(clean(one, REASON_LIMIT) for one in named[:MAX_NAMED]), *more])
    if len(indexes) == 1:
        return f"index {told}"
    return f"{len(indexes) - len(bad)} of {total} ok, {told}"


def amount(held_bytes: int, limit_bytes: int | None) -> str:
    """Return "12.3 GiB of 20 GiB", or the first part where there is no limit."""
    held = format_size(held_bytes)
    return held if limit_bytes is None else f"{held} of {format_size(limit_bytes)}"


def count(number: int, thing: str, things: str | None = None) -> str:
    """Return "1 download", "3 downloads"."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"


async def feed_watchdog(interval_seconds: float) -> None:
    """Say that the event loop turns, twice in the time after which it counts as stuck.

    The loop itself says it, at once and then again and again: no thread may speak for it.
    """
    while True:
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(interval_seconds / 2)


def _extend(seconds: float) -> str:
    # Never shortens what the unit allows (sd_notify(3)).
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}"


def _send(line: str) -> bool:
    return systemd.notify(_state(line))


def _state(line: str, *states: str) -> str:
    """Return a line, which is one whatever is in it, with other states in the same message."""
    one = "".join(c if c.isprintable() else "?" for c in line)
    return "\n".join((*states, f"STATUS={one}"))
