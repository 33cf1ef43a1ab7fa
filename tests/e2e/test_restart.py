"""Restarts under load with sockets that the service manager holds: clients wait, and no more."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.crowd import Crowd
from tests.e2e.load import Load
from tests.e2e.process import DaemonProcess
from tests.e2e.test_stopping import slow_transfer
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

CLIENTS = 64
# Enough that dozens of requests arrive in the moments in which idle connections are closed.
IDLERS = 300
RESTARTS = 3
SMALL = [make_wheel("alpha", f"1.{n}", size_bytes=size) for n, size in enumerate((60_000, 90_000))]
LARGE = make_wheel("beta", "1.0", size_bytes=20_000_000)
SHARE = 1_000_000
DEAF_REQUESTS = 200


@pytest.fixture
def empty(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> DaemonProcess:
    """Return a running daemon on handed-over sockets."""
    daemon = make_daemon(upstream.url)
    daemon.units.tcp()
    daemon.units.unix("control", daemon.socket)
    return daemon.start()


@pytest.fixture
def activated(upstream: ThreadedFakeUpstream, empty: DaemonProcess) -> DaemonProcess:
    """Return one with everything cached."""
    upstream.add("alpha", *SMALL)
    upstream.add("beta", LARGE)
    daemon = empty
    daemon.fetch("alpha")
    daemon.fetch("beta")
    daemon.settle()
    return daemon


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_restart__under_load(activated: DaemonProcess) -> None:
    """64 kept connections ask without a pause, and none of their requests fails.

    A download that a slow client is in the middle of at each stop comes whole.
    """
    paths = ["/simple/alpha/", *activated.file_paths("alpha").values()]
    large = activated.file_paths("beta")[LARGE.filename]
    with Load(activated.url, paths, CLIENTS) as load:
        for _ in range(RESTARTS):
            load.wait_for(CLIENTS * 5)
            with activated.asking(large) as answer:
                body = answer.read(SHARE)
                before = load.connections
                activated.send(signal.SIGTERM)
                activated.wait_notice("STOPPING=1")
                # Nothing else is answered meanwhile: they wait in the queue of the socket.
                body += answer.read()
            assert body == LARGE.body
            assert activated.wait() == 0
            activated.start()
            load.wait_for(CLIENTS * 5)
            # Everybody had to connect anew.
            load.wait_for_connections(before + CLIENTS)
    assert load.failures == []
    assert "cut off" not in activated.log
    assert not any(word in activated.log for word in ("Traceback", "ERROR", "WARN"))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_restart__connections_that_idle(activated: DaemonProcess) -> None:
    """A client that comes back to a kept connection is answered, or finds it closed beforehand.

    Never is it closed with the request already there: that would be a reset.
    """
    paths = ["/simple/alpha/", *activated.file_paths("alpha").values()]
    with Load(activated.url, paths, IDLERS, idle_seconds=1.0) as load:
        for _ in range(RESTARTS):
            load.wait_for(IDLERS * 2)
            before = load.connections
            assert activated.stop() == 0
            activated.start()
            # Each of them, in its own time, found its connection closed.
            load.wait_for_connections(before + IDLERS)
        load.wait_for(IDLERS)
    assert load.failures == []


def test_restart__whoever_comes_meanwhile_waits(empty: DaemonProcess) -> None:
    """A client that connects and asks while no daemon runs is answered by the next one."""
    where = urlsplit(empty.url)
    assert empty.stop() == 0
    with socket.create_connection((where.hostname, where.port), timeout=20) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        empty.start()
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_drain__a_kept_connection_is_told_to_close(
    upstream: ThreadedFakeUpstream, empty: DaemonProcess
) -> None:
    """While others are still being answered, a kept connection has one more answer, and its end."""
    kept = http.client.HTTPConnection(urlsplit(empty.url).netloc, timeout=20)
    with contextlib.closing(kept), slow_transfer(upstream, empty) as (answer, gate):
        kept.request("GET", "/healthz")
        before = kept.getresponse()
        assert before.read()
        assert before.getheader("Connection") is None
        empty.send(signal.SIGTERM)
        empty.wait_notice("STOPPING=1")
        kept.request("GET", "/healthz")
        after = kept.getresponse()
        assert (after.status, after.getheader("Connection")) == (200, "close")
        after.read()
        gate.open()
        answer.read()
    assert empty.wait() == 0


def test_drain__a_request_that_has_begun_to_arrive(empty: DaemonProcess) -> None:
    """Its rest is waited for, though not for ever: it is answered, and told to close."""
    where = urlsplit(empty.url)
    address = (where.hostname, where.port)
    with (
        socket.create_connection(address, timeout=20) as half,
        socket.create_connection(address, timeout=20) as never,
    ):
        for client in (half, never):
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        # Until they have been read.
        with socket.create_connection(address, timeout=20) as other:
            other.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert other.recv(65536)
        empty.send(signal.SIGTERM)
        empty.wait_notice("STOPPING=1")
        # Longer than what counts as quiet.
        time.sleep(0.6)
        half.sendall(b"\r\n")
        answer = half.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nConnection: close\r\n" in answer
        assert never.recv(65536) == b""
    assert empty.wait() == 0


def test_drain__an_answer_that_is_not_read(activated: DaemonProcess) -> None:
    """An answer that its client is slow to take is waited for, and cut off when `drain` is over."""
    assert activated.stop() == 0
    activated.environment["PYPICACHED_SERVER__DRAIN"] = "1s"
    activated.start()
    # One that is written in one go: nothing but the connection knows what of it is left.
    path = activated.file_paths("alpha")[SMALL[0].filename]
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with Crowd(activated.url) as crowd:
        # More than the kernel takes of answers that nobody reads.
        crowd.join(1, request * DEAF_REQUESTS, deaf=True)
        answered = -1
        while answered != (now := requests_for_files(activated)):
            answered = now
        assert 0 < answered < DEAF_REQUESTS
        assert activated.stop() == 0
    assert "cut off 1 running answers" in activated.log


def requests_for_files(daemon: DaemonProcess) -> int:
    """Return how many requests for files have been answered."""
    return int(daemon.ask("stats")["kinds"]["file"]["requests"])
