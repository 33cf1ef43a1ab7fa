"""A mine: a daemon dies by SIGKILL right before one of its steps, whichever a test chooses.

A step is whatever changes the disk: a file made, named, written, cut, synced or removed, a
directory made, a statement of SQL that is no query. They are counted as they come, so that a test
goes through all of them, also those that somebody adds later. Test and daemon share a page of
memory: nothing of this is a step itself.
"""

from __future__ import annotations

import mmap
import os
import signal
import sqlite3
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The step to die before (0: none, and none is counted), how many there were, and the last one.
_PAGE = struct.Struct("=qq200s")
# A copy of the ledger is made in steps of so many pages: a few of them in a test.
COPY_PAGES = 10
# SQL that changes nothing.
_QUERIES = ("SELECT", "PRAGMA QUICK_CHECK", "PRAGMA PAGE_", "PRAGMA USER_VERSION", "--")


class Mine:
    """One mine in a file; the test lays it, the daemon steps on it."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(mmap.PAGESIZE)
            self._shared = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._lock = threading.Lock()

    def lay(self, before: int) -> None:
        """Let the daemon die before that step from now on (1: the next one); 0: let it live."""
        _PAGE.pack_into(self._shared, 0, before, 0, b"")

    @property
    def steps(self) -> int:
        """How many steps there were since it was laid; the last one may never have been taken."""
        return int(_PAGE.unpack_from(self._shared)[1])

    @property
    def last(self) -> str:
        """What the last step was."""
        text: bytes = _PAGE.unpack_from(self._shared)[2]
        return text.rstrip(b"\0").decode()

    # ── the daemon's side ────────────────────────────────────────────────────────────────────

    def step(self, what: str) -> None:
        """Count a step that is about to be taken, or die."""
        with self._lock:
            before, steps, _ = _PAGE.unpack_from(self._shared)
            if not before:
                return
            steps += 1
            _PAGE.pack_into(self._shared, 0, before, steps, what.encode()[:200])
            if steps == before:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # another thread may be running

    def watch(self, root: Path) -> None:
        """Make steps of everything that this process does to the disk under `root`."""
        sys.addaudithook(lambda name, args: self._audit(name, args, str(root)))
        for name in ("fsync", "pwrite", "posix_fallocate"):
            setattr(os, name, self._stepping(name, getattr(os, name)))
        sqlite3.connect = self._watching(sqlite3.connect)

    def _watching(self, connect: Callable[..., Any]) -> Callable[..., Any]:
        """Return a way to connect whose statements and copies are steps."""
        step = self.step

        class Watched(sqlite3.Connection):
            def backup(self, target: Any, *, progress: Any = None, **_pages: Any) -> None:
                def count(*told: int) -> None:
                    step("the next pages of a copy")
                    if progress is not None:
                        progress(*told)

                step("the first pages of a copy")
                super().backup(target, pages=COPY_PAGES, progress=count)

        def watched(*args: Any, **named: Any) -> sqlite3.Connection:
            db: sqlite3.Connection = connect(*args, factory=Watched, **named)
            db.set_trace_callback(self._sql)
            return db

        return watched

    def _audit(self, name: str, args: tuple[Any, ...], root: str) -> None:
        if name == "os.truncate":
            self.step(name)
        elif name in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"):
            self._named(name, args, root)
        elif name == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT:
            self._named("create", args, root)

    def _named(self, name: str, args: tuple[Any, ...], root: str) -> None:
        paths = [str(arg) for arg in args if isinstance(arg, (str, Path))]
        if paths and paths[0].startswith(root):
            self.step(" ".join([name, *(path.removeprefix(root) for path in paths)]))

    def _stepping(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*args: Any) -> Any:
            self.step(name)
            return function(*args)

        return stepping

    def _sql(self, statement: str) -> None:
        text = " ".join(statement.split())
        if not text.upper().startswith(_QUERIES):
            self.step(text)
