"""A host below a directory, something that answers as a pypicached does, and the program."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pypicached_client as program
import pytest

# A daemon of its own for tests that want a real one.
from tests.e2e.conftest import MakeDaemon, daemon, directory, make_daemon, upstream

__all__ = ["MakeDaemon", "daemon", "directory", "make_daemon", "upstream"]

# What a pypicached answers to the index without its closing slash; a daemon's own is tried in
# test_real.py.
REDIRECT = {"Server": "pypicached/0.1.0", "Location": "simple/"}


@dataclass(frozen=True)
class Done:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


class Machine:
    """A host of its own; root calls, unless told otherwise."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.host = program.Host(root, "/home/user", {}, is_root=True)
        self.pip_conf = root / "etc/pip.conf"
        self.uv_toml = root / "etc/uv/uv.toml"
        self.pip_conf.parent.mkdir()
        self._capture = capture

    def run(self, *arguments: str) -> Done:
        """Run a command of the program."""
        code = program.main(arguments, self.host)
        out, err = self._capture.readouterr()
        return Done(code, out, err)

    def become(self, **changes: object) -> None:
        """Let another user call, or with other variables."""
        self.host = replace(self.host, **changes)  # type: ignore[arg-type]

    def put(self, path: str, text: str) -> Path:
        """Write a file at an absolute path of the host."""
        file = self.host.at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file


class Answerer:
    """A web server on loopback that answers everything in the same way."""

    def __init__(self) -> None:
        self.status = 301
        self.headers = dict(REDIRECT)
        self.paths: list[str] = []
        answerer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answerer.paths.append(self.path)
                self.send_response_only(answerer.status)
                for name, value in (answerer.headers | {"Content-Length": "0"}).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple/"


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    """Return a host with an empty /etc."""
    root = tmp_path / "root"
    root.mkdir()
    return Machine(root, capsys)


@pytest.fixture
def make_answerer() -> Iterator[Callable[[], Answerer]]:
    """Return a maker of running servers."""
    made: list[Answerer] = []

    def make() -> Answerer:
        made.append(Answerer())
        threading.Thread(target=made[-1].server.serve_forever, args=(0.01,)).start()
        return made[-1]

    yield make
    for answerer in made:
        answerer.server.shutdown()
        answerer.server.server_close()


@pytest.fixture
def answerer(make_answerer: Callable[[], Answerer]) -> Answerer:
    """Return something that answers as a pypicached does."""
    return make_answerer()
