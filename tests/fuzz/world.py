"""A daemon process to be fuzzed, what is asked of it after every batch, and findings."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.process import DaemonProcess

# What it may hold in memory at the end: pages in memory have a bound of 64 MiB.
MOST_RESIDENT_BYTES = 400_000_000
WAIT_SECONDS = 20.0


class FindingError(Exception):
    """Something that must not be; `case` are the bytes that did it."""

    def __init__(self, what: str, case: bytes = b"") -> None:
        super().__init__(what)
        self.what = what
        self.case = case


@contextlib.contextmanager
def daemon_before(indexes: str) -> Iterator[DaemonProcess]:
    """Run a daemon in a directory of its own, in front of these `[[index]]` tables (TOML)."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        directory = Path(name)
        config = directory / "pypicached.toml"
        config.write_text(f'{indexes}[cache]\ncold_deadline = "2s"\n[limits]\npage_size = "8MiB"\n')
        daemon = DaemonProcess(directory)
        try:
            yield daemon.start("--config", str(config))
        finally:
            daemon.close()


def index_table(name: str, url: str, projects: str = "") -> str:
    """Return the table of an index that is not waited for; `projects` is a glob."""
    owned = f'projects = ["{projects}"]\n' if projects else ""
    return f'[[index]]\nname = "{name}"\nurl = "{url}"\ntimeout = "1s"\n{owned}'


async def exchange(url: str, sent: bytes, *, seconds: float) -> bytes:
    """Send bytes and return what comes back, until the end or until nothing more does."""
    where = urlsplit(url)
    received = b""
    try:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
    except ConnectionError as error:
        raise FindingError(f"no connection: {error}", sent) from error
    try:
        writer.write(sent)
        while data := await asyncio.wait_for(reader.read(1 << 20), seconds):
            received += data
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return received


async def check(daemon: DaemonProcess) -> None:
    """Raise FindingError unless the daemon lives, answers, and has nothing to regret."""
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await exchange(daemon.url, request, seconds=WAIT_SECONDS)
    log = daemon.log
    if "Traceback" in log:
        raise FindingError("a traceback in the log:\n" + log[log.index("Traceback") :][:3000])
    if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"ok\n")):
        raise FindingError(f"no answer to /healthz: {answer!r}\n{log[-2000:]}")


def check_at_the_end(daemon: DaemonProcess) -> None:
    """Raise FindingError if what it keeps is damaged, it has grown, or it does not stop well."""
    resident = int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1]) * 4096
    if resident > MOST_RESIDENT_BYTES:
        raise FindingError(f"it holds {resident / 1e6:.0f} MB")
    problems = daemon.ask("verify")["problems"]
    if problems:
        raise FindingError(f"damaged: {problems}")
    status = daemon.ask("status")
    if status["offline"] or status["downloads"]:
        raise FindingError(f"its state has changed: {status}")
    code = daemon.stop()
    if code != 0:
        raise FindingError(f"it ended with {code}:\n{daemon.log[-2000:]}")
