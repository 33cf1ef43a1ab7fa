"""Daemon processes, each in a directory with a short path (it holds a Unix socket)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Client
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

# Its assertions are tests, inherited by test modules.
pytest.register_assert_rewrite("tests.e2e.locking")

MakeDaemon = Callable[..., DaemonProcess]
MakeClient = Callable[..., Client]


@pytest.fixture
def upstream() -> Iterator[ThreadedFakeUpstream]:
    """A fake index that speaks JSON."""
    with ThreadedFakeUpstream() as fake:
        yield fake


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as path:
        yield Path(path)


@pytest.fixture
def make_daemon(directory: Path) -> Iterator[MakeDaemon]:
    """Return a maker of daemons that are not started yet; all of them are ended."""
    made: list[DaemonProcess] = []

    def make(*arguments: str, **environment: str) -> DaemonProcess:
        own = directory if not made else directory / str(len(made))
        own.mkdir(exist_ok=True)
        made.append(DaemonProcess(own, *arguments, **environment))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()


@pytest.fixture
def daemon(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> DaemonProcess:
    """Return a running daemon in front of `upstream`."""
    return make_daemon(upstream.url).start()


@pytest.fixture
def make_client(tmp_path: Path) -> MakeClient:
    """Return a maker of clients, each with a new home."""
    made: list[Client] = []

    def make(daemon: DaemonProcess, **environment: str) -> Client:
        home = tmp_path / f"home-{len(made)}"
        made.append(Client(home, daemon.simple_url, environment=environment))
        return made[-1]

    return make


def publish_tree(upstream: ThreadedFakeUpstream) -> dict[str, str]:
    """Publish `app` with what it needs; return project → version of a right installation."""
    upstream.add("app", make_wheel("app", "1.0", requires=["lib>=2", "tool"]))
    for version in ("1.0", "2.0", "2.1"):
        # Above 64 KiB a file is streamed while it arrives.
        upstream.add("lib", make_wheel("lib", version, size_bytes=150_000))
    upstream.add("tool", make_wheel("tool", "0.3", requires=["base_lib; python_version>'3'"]))
    upstream.add("base-lib", make_wheel("base_lib", "5"))
    return {"app": "1.0", "lib": "2.1", "tool": "0.3", "base_lib": "5"}
