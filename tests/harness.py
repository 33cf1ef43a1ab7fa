"""A daemon in the test's own event loop, in front of a fake upstream, with a clock that obeys.

The public listener and the control socket are real; only the upstream and the clock are not.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from pypicached.daemon import Daemon
from pypicached.settings import Source

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


class Reply(NamedTuple):
    """An answer as it came over the wire: nothing decoded, nothing followed."""

    status: int
    reason: str | None
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def text(self) -> str:
        """The body of an answer that is not coded."""
        return self.body.decode()


class Running:
    """A running daemon and a client session of its own."""

    def __init__(self, daemon: Daemon, url: str, session: aiohttp.ClientSession, clock: Clock):
        self.daemon = daemon
        self.parts = daemon.parts
        self.url = url
        self.session = session
        self.clock = clock

    def get(self, path: str, **headers: str) -> aiohttp.client._RequestContextManager:
        """GET without following redirects; header names with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.get(self.url + path, headers=named, allow_redirects=False)

    async def ask(self, target: str, method: str = "GET", **headers: str) -> Reply:
        """Send exactly this target and these headers (`_` for `-`), and none of the client's."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method,
            URL(self.url + target, encoded=True),
            headers=named,
            allow_redirects=False,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        ) as answer:
            return Reply(answer.status, answer.reason, answer.headers, await answer.read())

    async def page(self, project: str, **headers: str) -> dict[str, object]:
        """Return a project page as JSON; it must be a 200."""
        async with self.get(f"/simple/{project}/", Accept=JSON, **headers) as answer:
            assert answer.status == 200, await answer.text()
            page: dict[str, object] = await answer.json(content_type=None)
            return page

    async def written(self) -> None:
        """Return once the ledger has been told of what was answered with before.

        It writes in the order in which it is asked.
        """
        await self.parts.ledger.pages.drop_absent(0.0)

    async def file_url(self, project: str, filename: str) -> str:
        """Return the absolute URL that our page gives a file."""
        page = await self.page(project)
        files = page["files"]
        assert isinstance(files, list)
        link = next(file["url"] for file in files if file["filename"] == filename)
        base = URL(f"{self.url}/simple/{project}/")
        return str(base.join(URL(link, encoded=True)))


def write_config(directory: Path, *indexes: dict[str, object]) -> Path:
    """Write a configuration file with these `[[index]]` tables, for `running(config=…)`."""
    lines: list[str] = []
    for table in indexes:
        # Strings, numbers and lists of strings are spelled alike in JSON and TOML.
        lines += ["[[index]]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path = directory / "pypicached.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    index_url: str | None = None,
    clock: Clock | None = None,
    config: Path | None = None,
    environment: dict[str, str] | None = None,
    **overrides: object,
) -> AsyncIterator[Running]:
    """Run a daemon on `directory`; `overrides` are dotted keys with `__` for the dot.

    Its indexes are those of `config`, or the one at `index_url`; `environment` is added to its own.
    """
    clock = clock or Clock()
    given: dict[str, object] = {
        "server.listen": ["127.0.0.1:0"],
        "server.control_socket": str(directory / "control.sock"),
        "cache.directory": str(directory / "cache"),
        "cache.min_free": "1MB",
        "index_url": index_url,
    }
    given.update({name.replace("__", "."): value for name, value in overrides.items()})
    source = Source(config, {"HOME": str(directory), **(environment or {})}, given)
    daemon = Daemon(source.load(), source, now=clock)
    async with daemon.running(), aiohttp.ClientSession(auto_decompress=True) as session:
        yield Running(daemon, daemon.parts.operations.listeners[0], session, clock)
