"""A daemon and a store that is not always there: clients see nothing of it, and nothing is lost."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.process import WAIT_SECONDS, DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import DistFile, make_wheel
from tests.s3 import servers
from tests.s3.servers import Endpoint


@pytest.fixture
def port() -> int:
    """Return a port of which nothing listens yet."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        found: int = reserved.getsockname()[1]
    return found


@pytest.fixture
def bucket(port: int) -> str:
    """Return the name of a bucket that nobody else has: moto's are those of the whole process."""
    return f"wheels-{port}"


@pytest.fixture
def sharing(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon, port: int, bucket: str
) -> DaemonProcess:
    """Return a daemon that shares a store at that port; it is not started."""
    return make_daemon(
        upstream.url,
        **Endpoint(f"http://127.0.0.1:{port}").environment(bucket),
    )


def publish(upstream: ThreadedFakeUpstream, project: str) -> list[DistFile]:
    wheels = [make_wheel(project, f"{n}.0", size_bytes=30_000 + n) for n in range(4)]
    upstream.add(project, *wheels)
    return wheels


def ask(url: str, method: str, target: str) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT_SECONDS)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        assert answer.status == 200, answer.reason
        return answer.read()
    finally:
        connection.close()


def objects(url: str, bucket: str) -> set[str]:
    """Return the digests of what is there."""
    listing = ask(url, "GET", f"/{bucket}?list-type=2").decode()
    return set(re.findall(r"<Key>sha256/[0-9a-f]{2}/([0-9a-f]{64})</Key>", listing))


def wait_store(daemon: DaemonProcess, state: str, waiting: int) -> None:
    """Return once `status` has the store in that state, and so many files wait for it."""
    until = time.monotonic() + 2 * WAIT_SECONDS
    found = None
    while time.monotonic() < until:
        store = daemon.ask("status")["store"]
        found = (store["state"], store["waiting_files"])
        if found == (state, waiting):
            return
    raise AssertionError(f"{found}, not {(state, waiting)}")


@pytest.mark.timeout(120)
def test_store_outage__from_the_start_and_later(
    upstream: ThreadedFakeUpstream, sharing: DaemonProcess, port: int, bucket: str
) -> None:
    """A daemon starts without its store, says so, and goes on by itself once it is there.

    What it could not put there before it was killed is put there after the next start; what comes
    while the store is away again, once it is back.
    """
    first = publish(upstream, "alpha")
    sharing.start()
    assert set(sharing.fetch("alpha").values()) == {wheel.body for wheel in first}
    wait_store(sharing, "failing", 4)
    told = sharing.command("status").stdout
    assert "problem: the shared store cannot be reached since " in told
    assert "files come from upstream, and 4 wait for it; see [store.s3]" in told
    assert sharing.stop(signal.SIGKILL) == -signal.SIGKILL
    with servers.moto(port) as store:
        ask(store.url, "PUT", f"/{bucket}")
        sharing.start()
        wait_store(sharing, "ok", 0)
        assert objects(store.url, bucket) == {wheel.sha256 for wheel in first}
    second = publish(upstream, "beta")
    assert set(sharing.fetch("beta").values()) == {wheel.body for wheel in second}
    wait_store(sharing, "failing", 4)
    with servers.moto(port) as store:
        wait_store(sharing, "ok", 0)
        assert objects(store.url, bucket) == {wheel.sha256 for wheel in first + second}
    assert sharing.stop() == 0
