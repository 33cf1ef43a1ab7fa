"""Clients of a machine's daemon that run here, but connect from within the machine's network."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self, TypeVar
from urllib.parse import urljoin

from tests.deb.load import Plan, Report
from tests.deb.machine import Machine
from tests.fake.wheels import DistFile

T = TypeVar("T")

ADDRESS = ("127.0.0.1", 3143)
SECONDS = 30.0
_JSON = "application/vnd.pypi.simple.v1+json"
_PIECE = 1024 * 1024


class Answer(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Download(NamedTuple):
    """A transfer that is under way: `flying` is set with its first bytes."""

    flying: threading.Event
    result: Future[tuple[int, str]]


class Visitor:
    """A few clients of one machine, each on a thread that lives in the machine's network."""

    def __init__(self, machine: Machine, address: tuple[str, int] = ADDRESS) -> None:
        self._machine = machine
        self._address = address

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(8, initializer=self._machine.enter_network)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def do(self, work: Callable[[], T]) -> T:
        """Run a function in the machine's network."""
        return self._pool.submit(work).result()

    def get(self, path: str, **headers: str) -> Answer:
        """Return the answer to a GET."""
        return self.begin(path, **headers).result(SECONDS)

    def begin(self, path: str, **headers: str) -> Future[Answer]:
        """Begin a GET."""
        return self._pool.submit(self._get, path, headers)

    def _get(self, path: str, headers: dict[str, str]) -> Answer:
        connection = self._ask(path, headers)
        answer = connection.getresponse()
        got = Answer(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()
        return got

    def _ask(self, path: str, headers: dict[str, str]) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(*self._address, timeout=SECONDS)
        connection.request("GET", path, headers=headers)
        return connection

    def page(self, project: str) -> dict[str, str]:
        """Return filename → absolute path of what a project page lists; it must be a 200."""
        path = f"/simple/{project}/"
        answer = self.get(path, Accept=_JSON)
        assert answer.status == 200, answer
        files = json.loads(answer.body)["files"]
        return {file["filename"]: urljoin(path, file["url"]) for file in files}

    def fetch(self, project: str, file: DistFile) -> None:
        """Fetch a file by way of its page; it must be there and be right."""
        answer = self.get(self.page(project)[file.filename])
        assert answer.status == 200, answer
        assert hashlib.sha256(answer.body).hexdigest() == file.sha256

    def download(self, path: str, bytes_a_second: float) -> Download:
        """Begin a transfer at about that speed; its result is length and SHA-256."""
        flying = threading.Event()
        return Download(flying, self._pool.submit(self._download, path, bytes_a_second, flying))

    def _download(
        self, path: str, bytes_a_second: float, flying: threading.Event
    ) -> tuple[int, str]:
        connection = self._ask(path, {})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        digest, length, began = hashlib.sha256(), 0, time.monotonic()
        while piece := answer.read(_PIECE):
            digest.update(piece)
            length += len(piece)
            flying.set()
            time.sleep(max(0.0, began + length / bytes_a_second - time.monotonic()))
        connection.close()
        return length, digest.hexdigest()


class Load:
    """A process with many connections (`tests.deb.load`); `with` ends it however it stands."""

    def __init__(self, machine: Machine, plan: Plan) -> None:
        self._line = machine.in_network(sys.executable, "-m", "tests.deb.load")
        self._plan = plan

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(dataclasses.asdict(self._plan)) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "going\n"
        return self

    def finish(self) -> Report:
        """Stop asking, and return what became of it."""
        output, _ = self._process.communicate(timeout=SECONDS)
        return Report(**json.loads(output))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
