"""A crowd that sends slowly, says nothing, or never reads: everybody else is served as usual.

Rules 64 and 66. Nothing here is timed: what is compared are answers, memory and lines in the log.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.crowd import Crowd, closed, drip
from tests.e2e.process import JSON, DaemonProcess
from tests.fake import DistFile, ThreadedFakeUpstream, make_wheel

SLOW_SENDERS, IDLE, DEAF_EACH = 200, 1000, 20
MB = 1_000_000
# What 1,260 connections may cost: 60 KB each; those that do not read hold no copy of a body.
GROWTH_BYTES = 75 * MB
LINES = 20

LARGE = make_wheel("large", size_bytes=20 * MB)
SMALL = make_wheel("small", size_bytes=10_000)
ROWS = "".join(f'<a href="big-1.{n}.tar.gz">big-1.{n}.tar.gz</a><br/>\n' for n in range(40_000))
PAGE = f"<!DOCTYPE html><html><body>\n{ROWS}</body></html>".encode()
NAMES = [{"name": f"project-{number}"} for number in range(100_000)]
LIST = json.dumps({"meta": {"api-version": "1.0"}, "projects": NAMES}).encode()


def publish(upstream: ThreadedFakeUpstream) -> None:
    upstream.add("large", LARGE)
    upstream.add("small", SMALL)
    upstream.serve("/simple/big/", PAGE, "text/html")
    upstream.serve("/simple/", LIST, JSON)


def resident_bytes(daemon: DaemonProcess) -> int:
    """Return what the process holds in memory."""
    return int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1]) * 4096


def as_usual(daemon: DaemonProcess, path_of: dict[DistFile, str]) -> list[tuple[int, int]]:
    """Ask for some of everything; return status and length of each answer."""
    paths = [*path_of.values(), "/simple/small/", "/simple/big/", "/simple/", "/healthz"]
    got = [daemon.get(path, Accept=f"{JSON}, text/plain") for path in paths]
    return [(status, len(body)) for status, body in got]


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {JSON}\r\n\r\n".encode()


@pytest.mark.slow
def test_crowd__rule_66_others_are_served(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """200 slow senders, 1,000 idle connections and 60 that never read change no other's answer."""
    publish(upstream)
    daemon = make_daemon(upstream.url, PYPICACHED_LIMITS__REQUEST_HEAD="3s").start()
    path_of = {
        file: daemon.file_paths(name)[file.filename]
        for name, file in (("small", SMALL), ("large", LARGE))
    }
    usual = as_usual(daemon, path_of)
    assert {status for status, _ in usual} == {200}
    assert as_usual(daemon, path_of) == usual
    before, lines = resident_bytes(daemon), len(daemon.log.splitlines())
    with Crowd(daemon.url) as crowd:
        quiet = crowd.join(IDLE, request("/healthz"))
        slow = crowd.join(SLOW_SENDERS, b"GET /simple/small/ HTTP/1.1\r\nX: ")
        for path in ("/simple/big/", "/simple/", path_of[LARGE]):
            crowd.join(DEAF_EACH, request(path), deaf=True)
        gone = 0
        while gone < SLOW_SENDERS:
            drip(slow)
            assert as_usual(daemon, path_of) == usual
            gone = len(list(closed(slow)))
        # Those that are merely idle stay: none is in anybody's way.
        assert list(closed(quiet)) == []
        assert daemon.ask("status")["downloads"] == []
        assert resident_bytes(daemon) - before < GROWTH_BYTES
    assert as_usual(daemon, path_of) == usual
    assert len(daemon.log.splitlines()) - lines < LINES
    assert daemon.stop() == 0


@pytest.mark.slow
def test_crowd__rule_66_idle_ones_yield(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """Beyond `clients` idle connections are closed for new ones, again and again, in few words."""
    publish(upstream)
    daemon = make_daemon(upstream.url, PYPICACHED_LIMITS__CLIENTS="50").start()
    path_of = {SMALL: daemon.file_paths("small")[SMALL.filename]}
    usual = as_usual(daemon, path_of)
    with Crowd(daemon.url) as crowd:
        for _ in range(4):
            idle = crowd.join(200, request("/healthz"))
            while len(list(closed(idle))) < 150:
                assert as_usual(daemon, path_of) == usual
    assert len(daemon.log.splitlines()) < LINES


@pytest.mark.slow
def test_crowd__rule_66_junk_leaves_few_lines(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """Requests for what cannot be, and bytes that are no request, leave neither line nor memory."""
    publish(upstream)
    daemon = make_daemon(upstream.url).start()
    usual = as_usual(daemon, {})
    junk = [b"\0" * 2000, b"GET / HTTP/1.1\r\n\r\n", request("/files/pypi/../../etc/passwd")]
    junk += [request("/simple/%00/"), request("/" + "a/" * 3000), b"PRI * HTTP/2.0\r\n\r\n"]
    junk += [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n",
    ]

    def storm(times: int) -> None:
        for _ in range(times):
            with Crowd(daemon.url) as crowd:
                for bytes_ in junk:
                    crowd.join(10, bytes_)

    storm(15)
    before, lines = resident_bytes(daemon), len(daemon.log.splitlines())
    storm(40)
    assert as_usual(daemon, {}) == usual
    assert len(daemon.log.splitlines()) - lines < LINES
    assert resident_bytes(daemon) - before < 30 * MB
