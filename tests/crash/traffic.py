"""What the soak asks of a daemon until it dies: clients, an operator, and an eye on its disk.

Every answer that came whole must be right; an answer may be missing, broken off, or a refusal in
words. What is wrong is collected as sentences.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from pypicached.cache.download import HOLD_BYTES
from pypicached.control.client import ControlClient
from pypicached.errors import ControlError
from pypicached.messages import InvalidateRequest, PruneRequest
from tests.crash.whole import blocks_in
from tests.crash.world import World

CLIENTS = 6
JSON = "application/vnd.pypi.simple.v1+json"
# A refusal in words; a 404 would say that there is no such thing.
REFUSALS = (502, 503)
LOOK_SECONDS = 0.002


class Traffic:
    """Clients and an operator of one life of a daemon. `wrong` is what they met."""

    def __init__(self, world: World, url: str, control: ControlClient, seed: int) -> None:
        self.wrong: list[str] = []
        self.answers = 0
        self._world = world
        self._url = url
        self._control = control
        self._seed = seed
        self._paths: dict[str, str] = {}

    async def run(self) -> None:
        """Ask until nobody answers any more."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(
                *(
                    self._client(session, random.Random(f"{self._seed} {n}"))
                    for n in range(CLIENTS)
                ),
                self._operator(random.Random(f"{self._seed} operator")),
            )

    # ── a client ─────────────────────────────────────────────────────────────────────────────

    async def _client(self, session: aiohttp.ClientSession, source: random.Random) -> None:
        while True:
            try:
                await self._ask(session, source)
            except aiohttp.ClientConnectorError:
                return  # it is dead
            except (aiohttp.ClientError, OSError):
                pass  # broken off; what was broken off is not complete

    async def _ask(self, session: aiohttp.ClientSession, source: random.Random) -> None:
        chance = source.random()
        if chance < 0.02:
            await self._list(session)
        elif chance < 0.25 or not self._paths:
            await self._page(session, source.choice(list(self._world.projects)))
        else:
            await self._file(session, source.choice(list(self._paths)), source)

    async def _list(self, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{self._url}/simple/", headers={"Accept": JSON}) as answer:
            if self._refused(answer, "the project list"):
                return
            listed = {row["name"] for row in (await answer.json(content_type=None))["projects"]}
            if listed != set(self._world.projects):
                self.wrong.append(f"the project list has {len(listed)} projects")

    async def _page(self, session: aiohttp.ClientSession, project: str) -> None:
        path = f"/simple/{project}/"
        async with session.get(self._url + path, headers={"Accept": JSON}) as answer:
            if self._refused(answer, path):
                return
            files = (await answer.json(content_type=None))["files"]
        told = {file["filename"]: file["hashes"]["sha256"] for file in files}
        if told != {file.filename: file.sha256 for file in self._world.projects[project]}:
            self.wrong.append(f"{path} lists {told}")
        for file in files:
            link = urljoin(path, file["url"])
            self._paths[file["filename"]] = link
            if file["filename"].endswith(".whl"):
                self._paths[f"{file['filename']}.metadata"] = f"{link}.metadata"

    async def _file(self, session: aiohttp.ClientSession, name: str, source: random.Random) -> None:
        body = self._world.body_of(name)
        headers, start, stop = {}, 0, len(body)
        if source.random() < 0.25:
            start = source.randrange(len(body))
            stop = source.randint(start + 1, len(body))
            headers = {"Range": f"bytes={start}-{stop - 1}"}
        url = URL(self._url + self._paths[name], encoded=True)
        async with session.get(url, headers=headers) as answer:
            if self._refused(answer, name):
                return
            if source.random() < 0.05:
                return  # a client that leaves
            got = await answer.read()
        if answer.status == 200:
            start, stop = 0, len(body)
        # A range of what is still arriving is sent as it comes, but for the last 64 KiB.
        early = answer.status == 206 and stop <= len(body) - HOLD_BYTES
        if got != body[start:stop] and not (early and "fwd" in answer.headers["Cache-Status"]):
            self.wrong.append(f"{name}: {len(got)} other bytes than {start} to {stop}")

    def _refused(self, answer: aiohttp.ClientResponse, what: str) -> bool:
        self.answers += 1
        if answer.status in (200, 206):
            return False
        if answer.status not in REFUSALS:
            self.wrong.append(f"{what}: {answer.status} {answer.reason}")
        return True

    # ── the operator ─────────────────────────────────────────────────────────────────────────

    async def _operator(self, source: random.Random) -> None:
        with contextlib.suppress(ControlError):
            while True:
                await asyncio.to_thread(self._command(source))
                await asyncio.sleep(source.uniform(0.0, 0.1))

    def _command(self, source: random.Random) -> Callable[[], object]:
        """Return one thing that an operator may want."""
        control, project = self._control, source.choice(list(self._world.projects))
        size = source.randrange(1_000_000, 6_000_000)
        commands: list[Callable[[], object]] = [
            lambda: control.prune(PruneRequest(to_size_bytes=size), _ignore),
            lambda: control.prune(PruneRequest(days=0, projects=[project]), _ignore),
            lambda: control.invalidate(InvalidateRequest(projects=[project])),
            lambda: control.invalidate(InvalidateRequest(projects=[project], files=True)),
            lambda: self._verify(project),
            lambda: control.pin([f"{project}==1.*"]),
            lambda: control.unpin([row.requirement for row in control.pins()]),
            lambda: control.backup(_ignore, _ignore),
            lambda: control.list_projects("size"),
            control.status,
        ]
        return source.choice(commands)

    def _verify(self, project: str) -> None:
        names = {row.project for row in self._control.list_projects("size")}
        if project in names:
            answer = self._control.verify([project], repair=True, on_progress=_ignore)
            self.wrong += [
                f"verify: {found.filename}: {found.problem}" for found in answer.problems
            ]


def _ignore(_step: object) -> None:
    """Take progress, or bytes, for read."""


# ── the disk ─────────────────────────────────────────────────────────────────────────────────


def taken_at_once(*directories: Path) -> int:
    """Return what surely lay in these directories at one moment, themselves included; all blocks.

    A look takes a while, and what goes may make room for what comes: only what two looks have seen
    was there between them.
    """
    first, second = (
        {i: octets for path in directories for i, octets in blocks_in(path).items()}
        for _ in range(2)
    )
    return sum(min(first[inode], second[inode]) for inode in first.keys() & second.keys())


class Watched:
    """The most that some directories ever took on disk, as far as was seen."""

    def __init__(self) -> None:
        self.most_bytes = 0
        self.looks = 0


@contextlib.contextmanager
def watching(*directories: Path) -> Iterator[Watched]:
    """Look at directories all the time, in a thread."""
    watched, over = Watched(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            watched.most_bytes = max(watched.most_bytes, taken_at_once(*directories))
            watched.looks += 1

    thread = threading.Thread(target=look, name="disk")
    thread.start()
    try:
        yield watched
    finally:
        over.set()
        thread.join()
