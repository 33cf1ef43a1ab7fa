"""What the service manager hears from the first moment to the last, and that a stuck loop is told.

The test is the manager: it listens where NOTIFY_SOCKET says (`tests.e2e.process`).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

from tests.e2e.conftest import MakeDaemon
from tests.e2e.test_stopping import slow_transfer
from tests.fake.threaded import ThreadedFakeUpstream

WATCHDOG_SECONDS = 1.0
_STUCK = Path(__file__).with_name("stuck.py")


def fields_of(notice: str) -> dict[str, str]:
    """Return the assignments of one notice."""
    return dict(line.split("=", 1) for line in notice.split("\n"))


def test_notices__life(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> None:
    """A start, the line of a daemon that serves, a drain and an end are told, in this order.

    Both ends ask for the time that they may take: a ledger to be migrated, a long `drain`.
    """
    daemon = make_daemon(upstream.url, PYPICACHED_SERVER__DRAIN="1h")
    daemon.launch()
    start = fields_of(daemon.wait_notice("STATUS=starting"))
    assert start["STATUS"] == "starting: opening the ledger (0 B)"
    assert int(start["EXTEND_TIMEOUT_USEC"]) >= 60_000_000
    ready = fields_of(daemon.wait_notice("READY=1"))
    assert ready["STATUS"].startswith("serving on http://127.0.0.1:")
    daemon.url = ready["STATUS"].removeprefix("serving on ")
    line = fields_of(daemon.wait_notice(" · "))["STATUS"]
    assert line.startswith(f"{ready['STATUS']} · 1 index ok · ")
    with slow_transfer(upstream, daemon) as (answer, gate):
        daemon.send(signal.SIGTERM)
        stop = fields_of(daemon.wait_notice("STOPPING=1"))
        assert int(stop["EXTEND_TIMEOUT_USEC"]) > 3_600_000_000
        daemon.wait_notice("STATUS=stopping: 1 answer under way")
        gate.open()
        answer.read()
    daemon.wait_notice("STATUS=stopping: writing down what is in memory")
    assert daemon.wait() == 0


def test_notices__a_large_ledger_has_its_time(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """What is asked for at the start grows with the ledger that may have to be migrated."""
    daemon = make_daemon(upstream.url).start()
    assert daemon.stop() == 0
    # SQLite takes no notice of what stands behind the pages that it knows of.
    os.truncate(daemon.cache / "ledger.sqlite", 1 << 30)
    daemon.launch()
    start = fields_of(daemon.wait_notice("STATUS=starting"))
    assert start["STATUS"] == "starting: opening the ledger (1 GiB)"
    assert int(start["EXTEND_TIMEOUT_USEC"]) > 500_000_000


def test_notices__why_there_is_no_daemon(make_daemon: MakeDaemon) -> None:
    """What kept it from starting is told: a mistake in the configuration, or what it met then."""
    daemon = make_daemon()
    config = daemon.directory / "wrong.toml"
    config.write_text('[cache]\nmax_sise = "1GiB"\n')
    daemon.launch("--config", str(config))
    daemon.wait_notice("STATUS=failed: cache.max_sise: unknown key")
    assert daemon.wait() == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon.launch("--listen", where)
        daemon.wait_notice(f"STATUS=failed: {where} is in use: ")
        assert daemon.wait() == 1


# ── the watchdog ─────────────────────────────────────────────────────────────────────────────


def test_watchdog__fed(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> None:
    """It is fed at once, and then at least twice in the time after which it bites."""
    daemon = make_daemon(upstream.url, WATCHDOG_USEC=str(int(WATCHDOG_SECONDS * 1_000_000)))
    daemon.start()
    began = time.monotonic()
    for _ in range(5):
        daemon.wait_notice("WATCHDOG=1")
    # 4 half intervals; the host may be busy.
    assert time.monotonic() - began < 3 * WATCHDOG_SECONDS


def test_watchdog__starved_by_a_stuck_loop(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon
) -> None:
    """A loop that is stuck feeds it no more, and SIGABRT shows in the log where it is stuck."""
    daemon = make_daemon(upstream.url, WATCHDOG_USEC=str(int(WATCHDOG_SECONDS * 1_000_000)))
    daemon.start(within=[sys.executable, str(_STUCK)])
    daemon.wait_notice("WATCHDOG=1")
    daemon.send(signal.SIGUSR1)
    daemon.wait_silence("WATCHDOG=1", WATCHDOG_SECONDS)
    # As systemd does now (WatchdogSignal=).
    daemon.send(signal.SIGABRT)
    assert daemon.wait() == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in daemon.log
    assert "in be_stuck" in daemon.log
