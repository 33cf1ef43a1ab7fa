"""`pypicached backup`: a copy of the running daemon's ledger, written by the calling user."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect
from pypicached.cli.progress import ProgressDisplay
from pypicached.cli.terminal import print_json, print_line, size
from pypicached.errors import ControlError, LedgerError

if TYPE_CHECKING:
    from pypicached.control.client import ControlClient


def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=False)
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Copy the ledger, as it is now, to FILE; FILE is there only once it is whole and checked.

    The pins are not in it: they are the text file pins.txt beside the ledger.
    """
    _check_target(file, force)
    try:
        size_bytes = _write(connect(socket), file, force)
    except OSError as error:
        raise ControlError(f"cannot write {file}: {error.strerror}") from error
    if as_json:
        print_json({"file": str(file), "bytes": size_bytes})
    else:
        print_line(f"wrote {file}: {size(size_bytes)}")


def _check_target(file: Path, force: bool) -> None:
    """Refuse to write over what must not be; ControlError."""
    for suffix in ("-wal", "-shm", "-journal"):
        # Replaced under a process that has it open, both would be lost; and what is left of an old
        # one would be taken for a part of the new one (sqlite.org/howtocorrupt.html).
        if os.path.lexists(f"{file}{suffix}"):
            beside = f"{file.name}{suffix} stands beside it"
            raise ControlError(f"{file} is a database in use ({beside}): name another one")
    if not os.path.lexists(file):
        return
    if not file.is_file():
        raise ControlError(f"{file} is there and is no file: name another one")
    if not force:
        raise ControlError(f"{file} exists: name another one, or replace it with --force")


def _write(client: ControlClient, file: Path, force: bool) -> int:
    """Have the copy sent into a file beside FILE, check it, give it its name; return its bytes."""
    from pypicached.ledger import check_copy
    from pypicached.store.disk import fsync_directory

    with _beside(file) as (path, target):
        with ProgressDisplay("copying", octets=True) as display:
            size_bytes = client.backup(target.write, display.show)
        target.flush()
        os.fsync(target.fileno())
        try:
            check_copy(path)
        except LedgerError as error:
            raise ControlError(f"what the daemon sent is no whole ledger: {error}") from error
        _check_target(file, force)
        path.replace(file)
    fsync_directory(file.absolute().parent)
    return size_bytes


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield a new file in FILE's directory, which goes unless it got another name; OSError."""
    path = file.with_name(f".{file.name}.{os.getpid()}.part")
    # What the cache was asked for is nobody else's business: readable by its owner only.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as target:
            yield path, target
    finally:
        path.unlink(missing_ok=True)
