"""`pypicached client`: prints what to put where, for the address at which the daemon listens."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pypicached.cli.options import SocketOption, connect
from pypicached.errors import ControlError, SettingsError, clean

if TYPE_CHECKING:
    from pathlib import Path

    from pypicached.cli.address import Address

# Long enough for a busy daemon, short enough to fall back to the settings.
_PATIENCE_SECONDS = 3.0

Client = Literal["pip", "uv", "poetry", "pdm", "pipenv", "docker", "gitlab-runner", "env"]


def client(
    name: Annotated[
        Client,
        typer.Argument(
            metavar="CLIENT",
            help="pip, uv, poetry, pdm, pipenv, docker, gitlab-runner, or env for all by shell.",
        ),
    ],
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The address clients use, such as that of a reverse proxy. Default: that of the "
            "running daemon, else that of the settings.",
            show_default=False,
        ),
    ] = None,
    socket: SocketOption = None,
) -> None:
    """Print what to put where, so that a client uses the cache; can be redirected into a file.

    For everybody on a host at once: `sudo pypicached-client enable`, a package of its own.
    """
    from pypicached.cli.recipes import build_recipe
    from pypicached.cli.terminal import print_text

    address = _given(url) if url else _found(socket)
    print_text(build_recipe(name, address, os.environ))


def _given(url: str) -> Address:
    from pypicached.cli.address import parse_address
    from pypicached.cli.terminal import print_note

    try:
        address = parse_address(url)
    except ValueError as error:
        reason = f"--url {clean(str(error))}; for example --url http://127.0.0.1:3143"
        raise ControlError(reason, exit_code=2) from None
    # With TLS it is a reverse proxy's, which has the usual port.
    if address.scheme == "http" and address.unnamed_port:
        print_note(f"--url leads to {address.host}, {address.unnamed_port}")
    return address


def _found(socket: Path | None) -> Address:
    """Return the first TCP listener of the daemon, else of the settings, else of the defaults."""
    from pypicached.cli.address import DEFAULT_BASE, parse_address, parse_listener

    try:
        listeners = connect(socket, read_seconds=_PATIENCE_SECONDS).status().listeners
    except ControlError:
        # Nobody answers, or not to this user: the settings are the next best source. Not so for
        # somebody who named a socket.
        if socket is not None:
            raise
        listeners = _configured()
    found = (parse_listener(listener) for listener in listeners)
    return next((address for address in found if address), parse_address(DEFAULT_BASE))


def _configured() -> list[str]:
    from pypicached.settings import load

    try:
        return list(load(None, os.environ).settings.server.listen)
    except SettingsError:
        # `config check` is the place to say so; a recipe for the default address still helps.
        return []
