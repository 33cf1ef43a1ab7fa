"""Connections that never rest: `python -m tests.deb.load` reads a plan, works until its input ends.

Every byte is checked, and every failure counts: there are no retries. One thing is no failure: a
server that has announced `Connection: close` with an answer may close after it, and the next
request goes over a new connection.

The plan is one line of JSON, see `Plan`. `going` is printed once every connection has had an
answer, and at the end the report as JSON, see `Report`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import itertools
import json
import sys
import time
from dataclasses import dataclass, field

# pip gives up then.
ANSWER_SECONDS = 15.0
_TOLD = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """Where to connect, how often, and what has to come: a page's files, a file's digest."""

    host: str
    port: int
    connections: int
    pages: dict[str, dict[str, str]]
    files: dict[str, str]


@dataclass(slots=True)
class Report:
    """What became of it; `failures` are the first ones in words."""

    requests: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    connections: int = 0
    announced_closes: int = 0
    slowest_seconds: float = 0.0


class BadAnswerError(Exception):
    """An answer that is not what the plan says."""


class Connection:
    """One connection after the other, for one request after the other."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self._plan = plan
        self._report = report
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> bytes:
        """Return the body of a 200; raises BadAnswerError, OSError, EOFError, TimeoutError."""
        reader, writer = self._streams or await self._connect()
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {self._plan.host}\r\n"
            "Accept: application/vnd.pypi.simple.v1+json\r\n\r\n".encode()
        )
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await reader.readexactly(int(fields["content-length"]))
        if fields.get("connection") == "close":
            self._report.announced_closes += 1
            self.close()
        if " 200 " not in status:
            raise BadAnswerError(f"{status}: {body[:200]!r}")
        return body

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._streams = await asyncio.open_connection(self._plan.host, self._plan.port)
        self._report.connections += 1
        return self._streams

    def close(self) -> None:
        """Leave the connection, if there is one."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def work(plan: Plan, report: Report, turn: int, first: asyncio.Event) -> None:
    """Ask for one thing after the other until cancelled."""
    connection = Connection(plan, report)
    everything = [*plan.pages, *plan.files]
    # Each begins somewhere else.
    targets = itertools.cycle(
        everything[turn % len(everything) :] + everything[: turn % len(everything)]
    )
    try:
        for path in targets:
            began = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    body = await connection.get(path)
                check(plan, path, body)
            except (BadAnswerError, OSError, EOFError, TimeoutError) as error:
                report.failed += 1
                if len(report.failures) < _TOLD:
                    report.failures.append(f"{path}: {type(error).__name__}: {error}")
                connection.close()
            report.requests += 1
            report.slowest_seconds = max(report.slowest_seconds, time.monotonic() - began)
            first.set()
    finally:
        connection.close()


def check(plan: Plan, path: str, body: bytes) -> None:
    """Raise BadAnswerError unless the body is what it has to be."""
    if path in plan.files:
        right = hashlib.sha256(body).hexdigest() == plan.files[path]
    else:
        listed = {file["filename"]: file["hashes"]["sha256"] for file in json.loads(body)["files"]}
        right = listed == plan.pages[path]
    if not right:
        raise BadAnswerError(f"wrong bytes, {len(body)} of them")


async def run(plan: Plan) -> Report:
    """Work by the plan until standard input ends."""
    report = Report()
    firsts = [asyncio.Event() for _ in range(plan.connections)]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(work(plan, report, turn, first)) for turn, first in enumerate(firsts)
        ]
        for first in firsts:
            await first.wait()
        sys.stdout.write("going\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
    return report


def main() -> None:
    """Read the plan, work, report."""
    plan = Plan(**json.loads(sys.stdin.readline()))
    with contextlib.suppress(KeyboardInterrupt):
        report = asyncio.run(run(plan))
        sys.stdout.write(json.dumps(dataclasses.asdict(report)) + "\n")


if __name__ == "__main__":
    main()
