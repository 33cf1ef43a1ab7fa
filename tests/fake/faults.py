"""Misbehaviour on demand: which requests it strikes, and what it does to their answers.

A fault works on the resource (wrong content, before conditions and ranges are looked at, so that
a resumed transfer stays consistent) or on the reply (how it is delivered). Rules are applied in
the order they were made. One request meets every permanent rule that matches it, and at most one
counted rule, the oldest: counted rules form a queue.
"""

from __future__ import annotations

import asyncio
import fnmatch
import gzip
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fake.resources import Resource
from tests.fake.wire import Reply, Request

# A glob over the decoded path ("*" also crosses slashes), or any question about the request.
Pattern = str | Callable[[Request], bool]


def matches(pattern: Pattern, request: Request, method: str | None = None) -> bool:
    """Tell whether the request is one of those that the pattern and the method mean."""
    if method is not None and request.method != method:
        return False
    if callable(pattern):
        return pattern(request)
    return fnmatch.fnmatchcase(request.path, pattern)


class Gate:
    """Holds matching transfers at one position until it is opened; then everything passes.

    `reached` belongs to the loop of the upstream; `open` and `wait_reached` work from any thread.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pattern: Pattern, after_bytes: int | None
    ) -> None:
        self.pattern = pattern
        self.after_bytes = after_bytes
        self.waiting = 0
        self._loop = loop
        self._reached = asyncio.Event()
        self._reached_by_thread = threading.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let every held transfer go on, and never hold one again."""
        self._loop.call_soon_threadsafe(self._opened.set)

    async def reached(self) -> None:
        """Return as soon as one transfer is, or was, held here."""
        await self._reached.wait()

    def wait_reached(self, timeout_seconds: float = 10.0) -> None:
        """Do the same from another thread; raises TimeoutError."""
        if not self._reached_by_thread.wait(timeout_seconds):
            raise TimeoutError("no transfer has reached the gate")

    async def wait(self) -> None:
        """Hold one transfer (called by the server)."""
        self._reached.set()
        self._reached_by_thread.set()
        self.waiting += 1
        try:
            await self._opened.wait()
        finally:
            self.waiting -= 1


@dataclass(slots=True)
class Fault:
    """One rule; `times` counts down, None is for ever; `struck` says how often it was applied."""

    pattern: Pattern
    kind: str
    times: int | None
    method: str | None
    args: dict[str, Any]
    struck: int = 0

    def cancel(self) -> None:
        """Strike no further request."""
        self.times = 0


@dataclass(slots=True)
class FaultRules:
    """The rules and gates of one upstream, in the order they were made."""

    faults: list[Fault] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)

    def add(self, fault: Fault) -> Fault:
        """Add a rule; raises ValueError for a kind that does not exist."""
        if fault.kind not in _ON_RESOURCE and fault.kind not in _ON_REPLY:
            raise ValueError(f"no such fault: {fault.kind}")
        self.faults.append(fault)
        return fault

    def take(self, request: Request) -> list[Fault]:
        """Return what strikes this request, and count it."""
        struck: list[Fault] = []
        queued = False
        for fault in self.faults:
            counted = fault.times is not None
            spent = fault.times == 0 or (counted and queued)
            if spent or not matches(fault.pattern, request, fault.method):
                continue
            if fault.times is not None:
                fault.times -= 1
                queued = True
            fault.struck += 1
            struck.append(fault)
        return struck

    def stops_for(self, request: Request) -> list[Gate]:
        """Return the gates that this request has to pass."""
        return [gate for gate in self.gates if matches(gate.pattern, request)]


def spoil_resource(resource: Resource, faults: list[Fault]) -> None:
    """Apply those faults that change what is answered."""
    for fault in faults:
        if fault.kind in _ON_RESOURCE:
            _ON_RESOURCE[fault.kind](resource, **fault.args)


def spoil_reply(reply: Reply, faults: list[Fault]) -> None:
    """Apply those faults that change how it is delivered."""
    for fault in faults:
        if fault.kind in _ON_REPLY:
            _ON_REPLY[fault.kind](reply, **fault.args)


# ── content ──────────────────────────────────────────────────────────────────────────────────


def _status(
    resource: Resource, code: int, body: bytes = b"", headers: dict[str, str] | None = None
) -> None:
    resource.status, resource.body = code, body
    resource.headers = dict(headers or {})
    resource.content_type = "text/plain"


def _wrong_bytes(resource: Resource, at: int | None = None) -> None:
    position = len(resource.body) // 2 if at is None else at
    spoilt = bytearray(resource.body)
    spoilt[position] ^= 0xFF
    resource.body = bytes(spoilt)


def _short(resource: Resource, n: int = 1) -> None:
    resource.body = resource.body[: max(0, len(resource.body) - n)]


def _long(resource: Resource, n: int = 1) -> None:
    resource.body += b"\0" * n


def _garbage(resource: Resource, size: int = 1000) -> None:
    resource.body = random.Random(size).randbytes(size)


def _gzip_encoded(resource: Resource, *, label_only: bool = False) -> None:
    if not label_only:
        resource.body = gzip.compress(resource.body, compresslevel=1, mtime=0)
    resource.headers["Content-Encoding"] = "gzip"


def _change_etag(resource: Resource, etag: str | None = '"changed"') -> None:
    resource.etag = etag


def _wrong_type(resource: Resource, content_type: str) -> None:
    resource.content_type = content_type


def _ignore_range(resource: Resource) -> None:
    resource.ranges = False


def _header(resource: Resource, name: str, value: str) -> None:
    resource.headers[name] = value


# ── delivery ─────────────────────────────────────────────────────────────────────────────────


def _silent(ending: Literal["reset", "hang"]) -> Callable[..., None]:
    def silent(reply: Reply) -> None:
        reply.silent, reply.ending = True, ending

    return silent


def _cut(ending: Literal["fin", "reset", "hang"]) -> Callable[..., None]:
    def cut(reply: Reply, n: int) -> None:
        reply.cut_at, reply.ending = n, ending

    return cut


def _no_length(reply: Reply, how: Literal["chunked", "close"] = "chunked") -> None:
    reply.framing = how


def _delay(reply: Reply, seconds: float) -> None:
    reply.delay_seconds = seconds


def _throttle(reply: Reply, rate: int) -> None:
    reply.rate = rate


_ON_RESOURCE: dict[str, Callable[..., None]] = {
    "status": _status,
    "wrong_bytes": _wrong_bytes,
    "short": _short,
    "long": _long,
    "garbage": _garbage,
    "gzip_encoded": _gzip_encoded,
    "change_etag": _change_etag,
    "wrong_type": _wrong_type,
    "ignore_range": _ignore_range,
    "header": _header,
}
_ON_REPLY: dict[str, Callable[..., None]] = {
    "hang": _silent("hang"),
    "reset": _silent("reset"),
    "hang_body_after": _cut("hang"),
    "reset_after": _cut("reset"),
    "close_after": _cut("fin"),
    "no_length": _no_length,
    "delay": _delay,
    "throttle": _throttle,
}
