"""The ledger as its users hold it: three connections, opened and closed together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
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
from pypicached.ledger.shared import Shared
from pypicached.ledger.spaces import Spaces, read_spaces, write_addresses
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
        writer: Writer,
        pages: Pages,
        files: Files,
        usage: Usage,
        audit: Audit,
        spaces: Spaces,
        shared: Shared,
    ) -> None:
        self.path = path
        self.notes = notes
        self._writer = writer
        self.pages = pages
        self.files = files
        self.usage = usage
        self.audit = audit
        self.shared = shared
        self._spaces = spaces
        self._opened = _identity(path)

    async def take_in(
        self, addresses: Mapping[str, str], keep_seconds: float
    ) -> tuple[list[str], int]:
        """Be told where indexes are, and for how long clients are remembered (0: not at all).

        Returns the indexes that have moved, whose pages are nobody's by then (`Pages.clear_some`
        removes them); and how many records of clients went because none are to be kept. All of it
        is done, or nothing: LedgerError.
        """
        async with self._writer.transaction() as db:
            moved, numbers = await write_addresses(db, addresses)
            dropped = await self.audit.write_keep(db, keep_seconds)
        self._spaces.apply(numbers)
        self.audit.kept(keep_seconds)
        return moved, dropped

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
            spaces = Spaces()
            await read_spaces(commands, spaces)
            audit = Audit(writer, commands, now=now)
            usage = Usage(writer, commands, audit, spaces, now=now)
            stack.push_async_callback(usage.flush)
            stack.callback(writer.wait_again)
            pages = Pages(writer, reader, commands, spaces)
            files = Files(writer, reader, commands, spaces, now=now)
            shared = Shared(writer, reader, commands, now=now)
            yield cls(path, notes, writer, pages, files, usage, audit, spaces, shared)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
