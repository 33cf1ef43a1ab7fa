"""A daemon in the test's own event loop, in front of a fake upstream, with a clock that obeys.

The public listener and the control socket are real; only the upstream and the clock are not.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from yarl import URL

from pypicached.daemon import Daemon
from pypicached.settings import load

JSON = "application/vnd.pypi.simple.v1+json"


class Clock:
    """The time as the daemon sees it: it passes as usual, and by `advance`."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        self._ahead += seconds


class Running:
    """A running daemon and a client session of its own."""

    def __init__(self, daemon: Daemon, url: str, session: aiohttp.ClientSession, clock: Clock):
        self.daemon = daemon
        self.url = url
        self.session = session
        self.clock = clock

    def get(self, path: str, **headers: str) -> aiohttp.client._RequestContextManager:
        """GET without following redirects; header names with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.get(self.url + path, headers=named, allow_redirects=False)

    async def page(self, project: str, **headers: str) -> dict[str, object]:
        """Return a project page as JSON; it must be a 200."""
        async with self.get(f"/simple/{project}/", Accept=JSON, **headers) as answer:
            assert answer.status == 200, await answer.text()
            page: dict[str, object] = await answer.json(content_type=None)
            return page

    async def file_url(self, project: str, filename: str) -> str:
        """Return the absolute URL that our page gives a file."""
        page = await self.page(project)
        files = page["files"]
        assert isinstance(files, list)
        link = next(file["url"] for file in files if file["filename"] == filename)
        base = URL(f"{self.url}/simple/{project}/")
        return str(base.join(URL(link, encoded=True)))


@contextlib.asynccontextmanager
async def running(
    directory: Path, index_url: str, clock: Clock | None = None, **overrides: object
) -> AsyncIterator[Running]:
    """Run a daemon on `directory`; `overrides` are dotted keys with `__` for the dot."""
    clock = clock or Clock()
    given: dict[str, object] = {
        "server.listen": ["127.0.0.1:0"],
        "server.control_socket": str(directory / "control.sock"),
        "cache.directory": str(directory / "cache"),
        "cache.min_free": "1MB",
        "index_url": index_url,
    }
    given.update({name.replace("__", "."): value for name, value in overrides.items()})
    environment = {"HOME": str(directory)}
    loaded = load(None, environment, given)
    daemon = Daemon(loaded.settings, [], now=clock)
    async with daemon.running(), aiohttp.ClientSession(auto_decompress=True) as session:
        yield Running(daemon, daemon.operations.listeners[0], session, clock)
