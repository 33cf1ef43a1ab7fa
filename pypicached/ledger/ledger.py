"""The ledger as its users hold it: three connections, opened and closed together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from pypicached.ledger.audit import Audit
from pypicached.ledger.backup import Snapshot, take_snapshot
from pypicached.ledger.connection import (
    BUSY_RUNNING_SECONDS,
    Writer,
    open_connection,
    prepare_file,
)
from pypicached.ledger.files import Files
from pypicached.ledger.pages import Pages
from pypicached.ledger.usage import Usage


class Ledger:
    """Pages, files, usage and audit of one daemon.

    One write connection behind a lock; one read-only connection for requests; one for commands,
    so that a long listing never keeps a request waiting.
    """

    def __init__(
        self,
        path: Path,
        notes: list[str],
        pages: Pages,
        files: Files,
        usage: Usage,
        audit: Audit,
    ) -> None:
        self.path = path
        self.notes = notes
        self.pages = pages
        self.files = files
        self.usage = usage
        self.audit = audit
        self._opened = _identity(path)

    def size_bytes(self) -> int:
        """Return the size of the ledger on disk, its write-ahead log included."""
        total = 0
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                total += Path(f"{self.path}{suffix}").stat().st_size
        return total

    def lost(self) -> str | None:
        """Return what to tell where the file at our path is not the one that is open, or None."""
        if _identity(self.path) == self._opened:
            return None
        return (
            f"the ledger {self.path} was removed or replaced under the running daemon: it goes on, "
            "but what it records is lost; restart pypicached, and it takes the stored files back"
        )

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Return a context with all of it as it is when entered. Raises LedgerError."""
        return take_snapshot(self.path)

    async def check(self) -> None:
        """Raise LedgerError unless the ledger can be read now."""
        await self.pages.get("", "")

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, path: Path, *, now: Callable[[], float] = time.time
    ) -> AsyncIterator[Ledger]:
        """Open (and if need be make, migrate or set aside) the ledger; flush and close at the end.

        Raises LedgerError if the file cannot be used.
        """
        notes = await prepare_file(path)
        async with contextlib.AsyncExitStack() as stack:
            wait = BUSY_RUNNING_SECONDS
            writer = Writer(await open_connection(path, busy_seconds=wait))
            stack.push_async_callback(writer.close)
            reader = await open_connection(path, read_only=True, busy_seconds=wait)
            stack.push_async_callback(reader.close)
            commands = await open_connection(path, read_only=True, busy_seconds=wait)
            stack.push_async_callback(commands.close)
            audit = Audit(writer, commands, now=now)
            usage = Usage(writer, commands, audit, now=now)
            stack.push_async_callback(usage.flush)
            stack.callback(writer.wait_again)
            pages, files = Pages(writer, reader, commands), Files(writer, reader, commands)
            yield cls(path, notes, pages, files, usage, audit)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
