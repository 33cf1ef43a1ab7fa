"""What systemd does for the daemon when it dies, hangs, or was never started."""

from __future__ import annotations

import re

from tests.deb.configuring import CONFIGURATION, configure, drop_in
from tests.deb.index import Index
from tests.deb.machine import Machine
from tests.deb.visitor import Visitor

# A daemon that hangs for good when it gets SIGUSR1: the handler runs on the event loop's thread.
_STUCK = """
import signal, time
from pypicached.__main__ import main

def hang(*_):
    time.sleep(3600)

signal.signal(signal.SIGUSR1, hang)
main()
"""


def test_killed__restarts(host: Machine, visitor: Visitor) -> None:
    """After SIGKILL it is started again; whoever asks meanwhile waits, and is answered."""
    assert visitor.get("/simple/six/").status == 200
    before = host.kill("KILL")
    waiting = [visitor.begin("/simple/six/") for _ in range(6)]
    assert {one.result().status for one in waiting} == {200}
    assert host.pid() not in (before, "0")
    assert host.state("pypicached.service") == "active"


def test_stopped__first_request_starts_it(host: Machine, visitor: Visitor) -> None:
    """With the service stopped and its sockets there, a request starts it and is answered."""
    host.systemctl("stop", "pypicached.service")
    assert host.state("pypicached.service") == "inactive"
    assert visitor.get("/simple/six/").status == 200
    assert host.state("pypicached.service") == "active"


def test_stopped__first_command_starts_it(host: Machine) -> None:
    """A command on the control socket does so, too."""
    host.systemctl("stop", "pypicached.service")
    assert "local" in host.out("pypicached", "status")
    assert host.state("pypicached.service") == "active"


def test_stuck__watchdog(host: Machine, index: Index, visitor: Visitor) -> None:
    """A loop that hangs is noticed; where it hung is in the journal, and it serves again."""
    assert host.show("pypicached.service", "WatchdogUSec") == "30s"
    host.write("/usr/local/lib/stuck.py", _STUCK)
    drop_in(
        host,
        "pypicached.service",
        "[Service]\nWatchdogSec=2s\nExecStart=\n"
        "ExecStart=/usr/lib/pypicached/bin/python -I /usr/local/lib/stuck.py serve\n",
    )
    host.systemctl("restart", "pypicached.service")
    before = host.kill("USR1")
    waiting = visitor.begin("/simple/six/")
    assert waiting.result().status == 200
    assert host.pid() not in (before, "0")
    journal = host.journal()
    assert "Watchdog timeout" in journal
    assert re.search(r'File "/usr/local/lib/stuck\.py", line \d+ in hang', journal)


def test_frozen__watchdog(host: Machine, visitor: Visitor) -> None:
    """A process that does nothing at all (stopped) goes the same way.

    Before it ends it is woken, and may accept what it will not answer: that is not asked here.
    """
    drop_in(host, "pypicached.service", "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=2s\n")
    host.systemctl("restart", "pypicached.service")
    before = host.kill("STOP")
    host.wait_for(lambda: host.pid() not in (before, "0"), "another process")
    assert visitor.get("/simple/six/").status == 200
    assert "Watchdog timeout" in host.journal()


def test_bad_configuration__sockets_survive(host: Machine, index: Index, visitor: Visitor) -> None:
    """A start with a bad file fails with its words, again and again; mended, it just serves."""
    host.write(CONFIGURATION, "[cache]\nmax_sise = 3\n")
    assert host.systemctl("restart", "pypicached.service", check=False).returncode != 0
    # Five failures in ten seconds, systemd's own limit, would take the sockets down.
    assert host.show("pypicached.service", "StartLimitIntervalUSec") == "0"
    host.wait_for(lambda: int(host.show("pypicached.service", "NRestarts")) > 0, "a new try")
    assert "max_size" in host.journal()
    assert host.state("pypicached.socket") == "active"
    waiting = visitor.begin("/simple/six/")
    configure(host, index)
    assert waiting.result(60).status == 200
    assert host.state("pypicached.service") == "active"
