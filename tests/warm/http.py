"""A source as a daemon would be one: it asks a fake index over HTTP, and tells errors as errors."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from yarl import URL

from pypicached.errors import FileGoneError, ProjectNotFoundError, UpstreamUnavailableError
from pypicached.simple.model import ProjectFile
from pypicached.simple.parse import parse_page
from pypicached.warm.source import Listed

JSON = "application/vnd.pypi.simple.v1+json"


class HttpSource:
    """Brings everything from `index_url`; sdists are put into `directory`.

    `most` is how many calls were under way at a time; `cancelled` how many did not come to an end.
    """

    def __init__(self, session: aiohttp.ClientSession, index_url: str, directory: Path) -> None:
        self._session = session
        self._index_url = index_url
        self._directory = directory
        self._now = 0
        self.most = 0
        self.cancelled = 0

    async def page(self, project: str) -> Listed:
        """Ask for a page."""
        url = f"{self._index_url}{project}/"
        status, body, content_type = await self._get(url, JSON)
        if status == 404:
            raise ProjectNotFoundError(f"no index here has a project named {project}")
        if status != 200:
            raise UpstreamUnavailableError("fake", f"it answered {status}")
        return Listed(parse_page(body, content_type, url, project))

    async def metadata(self, project: str, file: ProjectFile) -> bytes:
        """Ask for a sidecar."""
        status, body, _ = await self._get(f"{file.url}.metadata", "*/*")
        if status == 404:
            raise FileGoneError("fake", "a listed file is gone")
        if status != 200:
            raise UpstreamUnavailableError("fake", f"it answered {status}")
        return body

    async def sdist(self, project: str, file: ProjectFile) -> Path:
        """Download an sdist."""
        _, body, _ = await self._get(file.url, "*/*")
        path = self._directory / file.filename
        path.write_bytes(body)
        return path

    async def _get(self, url: str, accept: str) -> tuple[int, bytes, str]:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            async with self._session.get(URL(url, encoded=True), headers={"Accept": accept}) as got:
                return got.status, await got.read(), got.headers.get("Content-Type", "")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._now -= 1
