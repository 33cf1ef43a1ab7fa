"""Restarts under load with sockets that the service manager holds: clients wait, and no more."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.load import Load
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

CLIENTS = 64
# Enough that dozens of requests arrive in the moments in which idle connections are closed.
IDLERS = 300
RESTARTS = 3
SMALL = [make_wheel("alpha", f"1.{n}", size_bytes=size) for n, size in enumerate((500, 90_000))]
LARGE = make_wheel("beta", "1.0", size_bytes=20_000_000)
SHARE = 1_000_000


@pytest.fixture
def activated(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> DaemonProcess:
    """Return a daemon on handed-over sockets, with everything cached."""
    upstream.add("alpha", *SMALL)
    upstream.add("beta", LARGE)
    daemon = make_daemon(upstream.url)
    daemon.units.tcp()
    daemon.units.unix("control", daemon.socket)
    daemon.start()
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
            assert load.connections >= before + CLIENTS
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
            assert activated.stop() == 0
            activated.start()
        load.wait_for(IDLERS)
    assert load.failures == []
    assert load.connections >= IDLERS * (RESTARTS + 1)
