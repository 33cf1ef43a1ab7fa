"""How a daemon ends: asked to, hurried, or killed; and what is there after the next start."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import MakeDaemon, publish_tree
from tests.e2e.process import DaemonProcess
from tests.fake.faults import Gate
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import DistFile, make_wheel

WHEEL = make_wheel("alpha", "1.0", size_bytes=1_000_000)
CUT_OFF = (http.client.IncompleteRead, ConnectionError)


@contextlib.contextmanager
def slow_transfer(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, wheel: DistFile = WHEEL
) -> Iterator[tuple[http.client.HTTPResponse, Gate]]:
    """Yield an answer of `daemon` that stands in the middle of `wheel`, and what holds it there."""
    upstream.add("alpha", wheel)
    gate = upstream.hold("*.whl", after_bytes=len(wheel.body) // 2)
    with daemon.asking(daemon.file_paths("alpha")[wheel.filename]) as answer:
        assert answer.read(1000) == wheel.body[:1000]
        gate.wait_reached()
        yield answer, gate


# ── asked to ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop__idle(number: signal.Signals, daemon: DaemonProcess) -> None:
    """SIGTERM and Ctrl-C end an idle daemon quietly, with 0, and its control socket is gone."""
    with daemon.asking("/healthz") as answer:
        answer.read()
        # The connection stays open, as clients keep it.
        assert daemon.stop(number) == 0
    assert not daemon.socket.exists()
    assert daemon.log.splitlines()[-1].endswith("stopped")
    assert not any(word in daemon.log for word in ("Traceback", "ERROR", "WARN"))


def test_stop__running_transfer_ends_whole(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess
) -> None:
    """A transfer that runs at SIGTERM ends whole within `drain`, and what it brought is kept."""
    with slow_transfer(upstream, daemon) as (answer, gate):
        daemon.send(signal.SIGTERM)
        daemon.wait_notice("STOPPING=1")
        gate.open()
        assert answer.read() == WHEEL.body[1000:]
    assert daemon.wait() == 0
    daemon.start()
    assert daemon.fetch("alpha") == {WHEEL.filename: WHEEL.body}
    assert upstream.count("*.whl") == 1


def test_stop__drain_runs_out(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> None:
    """What has not ended within `drain` is cut off, so that no client takes it for whole."""
    daemon = make_daemon(upstream.url, PYPICACHED_SERVER__DRAIN="0.2s").start()
    with slow_transfer(upstream, daemon) as (answer, _):
        assert daemon.stop() == 0
        with pytest.raises(CUT_OFF):
            answer.read()
    assert "cut off 1 running answer" in daemon.log
    assert daemon.blobs_of(len(WHEEL.body)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop__second_signal(
    number: signal.Signals, upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """A second signal stops at once, however much of `drain` is left; clients are cut off."""
    daemon = make_daemon(upstream.url, PYPICACHED_SERVER__DRAIN="10m").start()
    with slow_transfer(upstream, daemon) as (answer, _):
        daemon.send(number)
        daemon.wait_notice("STOPPING=1")
        assert daemon.stop(number) == 0
        with pytest.raises(CUT_OFF):
            answer.read()
    assert "Traceback" not in daemon.log


# ── killed ───────────────────────────────────────────────────────────────────────────────────


def test_kill__everything_listed_is_still_served(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess
) -> None:
    """After kill -9 in the middle of a download, all that `list` had shown is served and right."""
    projects = [name.replace("_", "-") for name in publish_tree(upstream)]
    for project in projects:
        daemon.fetch(project)
    daemon.settle()
    rows = [row for project in projects for row in daemon.ask("list", project)]
    assert len(rows) == 6
    with slow_transfer(upstream, daemon):
        daemon.stop(signal.SIGKILL)
    upstream.heal()
    upstream.down()
    daemon.start()
    served = {name: body for project in projects for name, body in daemon.fetch(project).items()}
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in served.items()}
    assert digests == {row["filename"]: row["sha256"] for row in rows}


def test_kill__interrupted_download_begins_anew(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess
) -> None:
    """What a killed daemon had half of leaves nothing behind and is fetched again, whole."""
    with slow_transfer(upstream, daemon):
        daemon.stop(signal.SIGKILL)
    upstream.heal()
    daemon.start()
    assert list((daemon.cache / "tmp").iterdir()) == []
    assert daemon.fetch("alpha") == {WHEEL.filename: WHEEL.body}
    assert daemon.ask("status")["problems"] == []


def test_stop__command_in_progress(make_daemon: MakeDaemon) -> None:
    """A caller on the control socket who never finishes a request does not hold up the end."""
    daemon = make_daemon(PYPICACHED_SERVER__DRAIN="0.2s").start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.connect(str(daemon.socket))
        caller.sendall(b"POST /prune HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        # Answered after that head was read: one loop, in the order of arrival.
        assert daemon.ask("status")["problems"] == []
        assert daemon.stop() == 0
