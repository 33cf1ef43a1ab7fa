"""What must be true of a cache whatever happened to its daemon, looked at from outside.

Each finding is a sentence, so that a test can show them all and the soak can go on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from pypicached.control.client import ControlClient
from tests.e2e.process import DaemonProcess

# What follows behind the last answer: a commit, an eviction, the adoption of orphans.
SETTLE_SECONDS = 10.0
# Words that no log may have, whatever an upstream does.
BAD_WORDS = ("Traceback", "unexpected", "malformed", "database is locked", "internal error")


def control_of(daemon: DaemonProcess) -> ControlClient:
    """Return the commands' way to a daemon."""
    return ControlClient([daemon.socket])


@contextlib.contextmanager
def ledger_of(cache: Path) -> Iterator[sqlite3.Connection]:
    """Yield a read-only connection to the ledger, beside whoever writes to it."""
    uri = f"{(cache / 'ledger.sqlite').as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5.0)) as db:
        yield db


def files_in(directory: Path) -> dict[str, Path]:
    """Return every file below a directory by name; what vanishes meanwhile is left out."""
    return {name: Path(where, name) for where, _, names in os.walk(directory) for name in names}


def blocks_in(directory: Path) -> dict[int, int]:
    """Return the bytes on disk by inode, of a directory and everything below it, as `du` counts."""
    found: dict[int, int] = {}
    for where, _, names in os.walk(directory):
        for name in ("", *names):
            with contextlib.suppress(FileNotFoundError):
                about = Path(where, name).lstat()
                found[about.st_ino] = about.st_blocks * 512
    return found


def wrong_in(daemon: DaemonProcess) -> list[str]:
    """Return what is not as it must be of a daemon that nobody uses; nothing if all is well."""
    control = control_of(daemon)
    wrong = _settle(daemon, control)
    for name, path in files_in(daemon.cache / "blobs").items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != name:
            wrong.append(f"blob {name} holds other bytes")
    with ledger_of(daemon.cache) as db:
        found = db.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            wrong.append(f"the ledger is damaged: {found}")
    answer = control.verify([], repair=False, on_progress=lambda _step: None)
    wrong += [f"verify: {found.filename}: {found.problem}" for found in answer.problems]
    wrong += [f"the log says {word!r}" for word in BAD_WORDS if word in daemon.log]
    return wrong


def _settle(daemon: DaemonProcess, control: ControlClient) -> list[str]:
    """Wait until disk, ledger and budget tell the same; return what they still differ in."""
    give_up_at = time.monotonic() + SETTLE_SECONDS
    while wrong := _out_of_step(daemon.cache, control):
        if time.monotonic() > give_up_at:
            return wrong
        time.sleep(0.01)
    return []


def _out_of_step(cache: Path, control: ControlClient) -> list[str]:
    status = control.status()
    if status.downloads:
        return [f"a download of {status.downloads[0].filename} never ends"]
    wrong = []
    blobs = {name: path.stat() for name, path in files_in(cache / "blobs").items()}
    with ledger_of(cache) as db:
        rows = {
            digest.hex(): (size, disk)
            for digest, size, disk in db.execute("SELECT sha256, size_bytes, disk_bytes FROM blob")
        }
        homeless = db.execute(
            "SELECT COUNT(*) FROM file WHERE sha256 NOT IN (SELECT sha256 FROM blob)"
        ).fetchone()[0]
    there = {name: (about.st_size, about.st_blocks * 512) for name, about in blobs.items()}
    if there != rows:
        wrong.append(f"blobs and rows differ: {dict(there.items() ^ rows.items())}")
    if homeless:
        wrong.append(f"{homeless} entries have no blob")
    used = sum(sum(blocks_in(cache / name).values()) for name in ("blobs", "tmp"))
    used += sum(path.stat().st_blocks * 512 for path in files_in(cache / "lists").values())
    if status.disk.used_bytes != used:
        wrong.append(f"{status.disk.used_bytes} bytes are counted, {used} are there")
    if spools := sorted(files_in(cache / "tmp")):
        wrong.append(f"in tmp/ lies {', '.join(spools)}")
    return wrong
