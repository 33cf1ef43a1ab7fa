"""A daemon whose configuration file a test rewrites, in front of two fake indexes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pypicached.messages import ReloadAnswer
from pypicached.settings import Server
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import JSON, Clock, Running, running

ALPHA = make_wheel("alpha", "1.0", upload_time="2020-01-01T00:00:00Z")
# Large enough to be streamed while it arrives.
LARGE = make_wheel("alpha", "2.0", upload_time="2020-01-01T00:00:00Z", size_bytes=400_000)


class World:
    """Two indexes (`main` and `other`) that publish `alpha`, and a daemon's directory."""

    def __init__(self, directory: Path, main: FakeUpstream, other: FakeUpstream) -> None:
        self.directory = directory
        self.main = main
        self.other = other
        self.path = directory / "pypicached.toml"
        # What the daemon was told to log like.
        self.logged: list[Server] = []

    def index(self, name: str = "main", upstream: FakeUpstream | None = None, **keys: str) -> str:
        """Return an `[[index]]` table; values of `keys` are TOML."""
        url = (upstream or getattr(self, name)).url
        lines = ["[[index]]", f'name = "{name}"', *(f"{key} = {keys[key]}" for key in keys)]
        return "\n".join([*lines, *([] if "url" in keys else [f'url = "{url}"']), ""])

    def write(self, text: str) -> None:
        """Give the configuration file this content; without an index it has `main`."""
        self.path.write_text(text if "[[index]]" in text else f"{text}\n{self.index()}")

    @contextlib.asynccontextmanager
    async def running(
        self, text: str, clock: Clock | None = None, **overrides: Any
    ) -> AsyncIterator[Running]:
        """Run a daemon with this file."""
        self.write(text)
        async with running(self.directory, None, clock, self.path, **overrides) as daemon:
            # A connection that is closed without an answer is a failure, and tried no second time.
            daemon.session._retry_connection = False
            daemon.daemon._configure_logs = self.logged.append
            yield daemon

    async def reload(self, daemon: Running, text: str) -> ReloadAnswer:
        """Rewrite the file, and have it read."""
        self.write(text)
        return await reload(daemon)


async def reload(daemon: Running) -> ReloadAnswer:
    """Have the configuration read again."""
    assert daemon.daemon.reloading is not None
    return await daemon.daemon.reloading.reload()


@contextlib.asynccontextmanager
async def world_in(directory: Path) -> AsyncIterator[World]:
    """Run the two indexes."""
    async with FakeUpstream() as main, FakeUpstream() as other:
        for upstream in (main, other):
            publish(upstream)
        yield World(directory, main, other)


def publish(upstream: FakeUpstream) -> None:
    """List what an index has."""
    upstream.add("alpha", ALPHA, LARGE)


def changed(answer: ReloadAnswer) -> list[str]:
    """Return the keys that a reload changed, and how where that is not plain; it must be good."""
    assert answer.problems == []
    return [c.key if c.what == "changed" else f"{c.key} {c.what}" for c in answer.changed]


@contextlib.contextmanager
def stopped_at(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stop]:
    """Stop whoever calls this coroutine function of ours, once it has its result, until let go.

    For moments between two steps that nothing outside can hold.
    """
    stop, call = Stop(), getattr(owner, name)

    async def stopping(*given: Any, **named: Any) -> Any:
        result = await call(*given, **named)
        stop.reached.set()
        await stop.go_on.wait()
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stopping)
        yield stop
        stop.go_on.set()


class Stop:
    """Where `stopped_at` stopped somebody."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()


async def owner(daemon: Running, project: str, prefix: str = "") -> str | int:
    """Return the index that the links of a page lead to, or the status if there is no page."""
    reply = await daemon.ask(f"{prefix}/simple/{project}/", Accept=JSON)
    if reply.status != 200:
        return reply.status
    return reply.text.partition("/files/")[2].partition("/")[0]


def file_path(index: str, upstream: FakeUpstream, file: DistFile) -> str:
    """Return the target of a file through an index."""
    return f"/files/{index}/{upstream.url_of(file).removeprefix('http://')}"


def told(upstream: FakeUpstream, word: str) -> list[str]:
    """Return the requests of an upstream whose path has a word in it."""
    return [request.path for request in upstream.requests if word in request.path]
