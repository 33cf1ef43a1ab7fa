"""Options that several commands share, and the client they lead to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pypicached.control.client import ControlClient

SocketOption = Annotated[
    Path | None,
    typer.Option(
        "--socket",
        metavar="PATH",
        # Whether we may use it is told by connecting, in words.
        readable=False,
        help="The daemon's control socket. Default: PYPICACHED_SOCKET, else your own daemon's, "
        "else the system's.",
    ),
]
# What a busy daemon may take to begin its answer.
PATIENCE_SECONDS = 30.0
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def connect(socket: Path | None, read_seconds: float | None = None) -> ControlClient:
    """Return a client that asks at `socket`, or wherever the caller's daemon is to be found."""
    import os

    from pypicached.cli.silence import Watch
    from pypicached.cli.terminal import print_note
    from pypicached.control.client import ControlClient
    from pypicached.settings import default_sockets, places

    sockets = [socket] if socket else default_sockets(os.environ)
    watch = Watch(places.SYSTEM_SOCKET, print_note)
    return ControlClient(sockets, read_seconds=read_seconds or PATIENCE_SECONDS, explain=watch)


@contextlib.contextmanager
def absence(as_json: bool, document: Callable[[], object]) -> Iterator[None]:
    """Print the document that has nothing in it, if one was asked for, where nothing is known."""
    from pypicached.cli.terminal import print_json
    from pypicached.errors import AbsentError

    try:
        yield
    except AbsentError:
        if as_json:
            print_json(document())
        raise


def normalized(projects: list[str]) -> list[str]:
    """Return the names as indexes spell them (PEP 503); wrong usage for what is no name."""
    from packaging.utils import InvalidName, canonicalize_name

    from pypicached.errors import ControlError, clean

    names = []
    for project in projects:
        try:
            names.append(str(canonicalize_name(project, validate=True)))
        except InvalidName:
            reason = f"{clean(project)} is no project name: letters, digits and -_. between them"
            raise ControlError(reason, exit_code=2) from None
    return names
