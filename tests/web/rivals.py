"""Several fake indexes that publish the same names, and a way to ask for one in every way.

What each index publishes differs in its bytes, so that an answer tells where it came from.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from tests.fake import DistFile, FakeUpstream, Request, make_wheel
from tests.harness import JSON, Clock, Reply, Running, running, write_config

# Past `page_ttl`, `negative_ttl`, and the longest pause of a breaker.
LATER_SECONDS = 700


class Index(NamedTuple):
    """A fake index under its name; `wheel` makes what it publishes for a project."""

    name: str
    upstream: FakeUpstream

    def wheel(self, project: str) -> DistFile:
        """The version says whose file it is."""
        return make_wheel(project, f"1.0+{self.name}")

    def publish(self, *projects: str) -> None:
        """List one wheel of each."""
        for project in projects:
            self.upstream.add(project, self.wheel(project))

    def path_of(self, project: str) -> str:
        """Return what follows `/files/{index}/` for the project's wheel."""
        return self.upstream.url_of(self.wheel(project)).removeprefix("http://")

    def told(self, word: str) -> list[Request]:
        """Return the requests that hold a word anywhere, however it is spelled."""
        return [
            r for r in self.upstream.requests if word in _plain(r.raw_path, *r.headers.values())
        ]


def _plain(*texts: str) -> str:
    text = unquote(unquote("\n".join(texts))).lower()
    return text.replace("_", "-").replace(".", "-")


@contextlib.asynccontextmanager
async def rivals(*names: str) -> AsyncIterator[list[Index]]:
    """Run an index for each name."""
    async with contextlib.AsyncExitStack() as stack:
        yield [Index(name, await stack.enter_async_context(FakeUpstream())) for name in names]


@contextlib.asynccontextmanager
async def before(
    directory: Path,
    *indexes: Index,
    clock: Clock | None = None,
    keys: dict[str, dict[str, object]] | None = None,
    **overrides: Any,
) -> AsyncIterator[Running]:
    """Run a daemon in front of indexes in this order; `keys` are further ones of a table."""
    tables = [
        {"name": one.name, "url": one.upstream.url, **(keys or {}).get(one.name, {})}
        for one in indexes
    ]
    config = write_config(directory, *tables)
    async with running(directory, None, clock or Clock(), config, **overrides) as daemon:
        yield daemon


class Asked(NamedTuple):
    """A request and its answer."""

    method: str
    target: str
    reply: Reply


SPELLINGS = ("{0}", "{upper}", "{under}", "{dots}", "{coded}", "{0}%20", "%2e/{0}", "{0}/../{0}")


def targets(project: str, indexes: list[Index]) -> Iterator[str]:
    """Yield every URL by which a client may ask for a project or its files."""
    spelled = {
        "upper": project.upper(),
        "under": project.replace("-", "__"),
        "dots": project.replace("-", "."),
        "coded": f"%{ord(project[0]):02x}{project[1:]}",
    }
    prefixes = ["", *(f"/{one.name}" for one in indexes)]
    for prefix in prefixes:
        for spelling in SPELLINGS:
            name = spelling.format(project, **spelled)
            yield f"{prefix}/simple/{name}/"
            yield f"{prefix}/simple/{name}"
        yield f"{prefix}/simple/{project}/?format=application/vnd.pypi.simple.v1%2Bjson"
        yield f"{prefix}/simple/"
    elsewhere = indexes[0].path_of("zz").rpartition("/")[0]
    for publisher in indexes:
        filename = publisher.wheel(project).filename
        for prefix in prefixes:
            yield f"{prefix}/simple/{project}/{quote(filename)}"
            yield f"{prefix}/simple/{project}/{quote(filename)}.metadata"
        for asked in indexes:
            path = f"/files/{asked.name}/{publisher.path_of(project)}"
            # The name as a directory, too; and the other spelling of each letter.
            yield from (path, f"{path}.metadata", path.replace("-py3", "%2Dpy3"), path.upper())
            yield f"/files/{asked.name}/{elsewhere}/{project}/x.whl"
    yield f"/index/{project}/"
    yield f"/pypi/{project}/json"


WAYS: tuple[tuple[str, dict[str, str]], ...] = (
    ("GET", {"Accept": JSON}),
    ("HEAD", {}),
    ("GET", {"Range": "bytes=0-99"}),
    ("GET", {"Cache_Control": "no-cache"}),
)


async def ask_in_every_way(
    daemon: Running, project: str, indexes: list[Index], ways: int = len(WAYS)
) -> list[Asked]:
    """Ask for a project by every URL, by GET, HEAD, a range, and past the cache, all at once."""

    async def ask(target: str, method: str, headers: dict[str, str]) -> Asked:
        return Asked(method, target, await daemon.ask(target, method, **headers))

    urls = targets(project, indexes)
    asked = [ask(url, *way) for url, way in itertools.product(urls, WAYS[:ways])]
    return await asyncio.gather(*asked)


def foreign(asked: list[Asked], project: str, others: list[Index]) -> list[str]:
    """Return the targets whose answers hold anything of other indexes."""
    return [
        f"{one.method} {one.target}"
        for one in asked
        for other in others
        if one.reply.status < 400 and _holds(one.reply, project, other)
    ]


def _holds(reply: Reply, project: str, other: Index) -> bool:
    wheel = other.wheel(project)
    link = f"files/{other.name}/{other.path_of(project)}"
    bodies = (wheel.body, wheel.body[:100], wheel.metadata)
    return (
        reply.body in bodies
        or f"+{other.name}".encode() in reply.body
        or link in reply.headers.get("Location", "")
        or f"files/{other.name}/".encode() in reply.body
    )
