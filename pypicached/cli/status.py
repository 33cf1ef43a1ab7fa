"""`pypicached status`: asks the daemon how it is; `status_screen` and `status_lines` show it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect
from pypicached.cli.terminal import console, on_terminal, print_json, print_line
from pypicached.errors import clean


def status(
    check: Annotated[
        bool, typer.Option("--check", help="For monitoring: only problems; exit 1 if any.")
    ] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Show how the daemon is: indexes, disk, hit rate, downloads, failures and problems."""
    answer = connect(socket).status()
    if as_json:
        print_json(answer)
    elif check:
        for line in answer.problems or ["no problems"]:
            print_line(clean(line, limit=1000))
    elif on_terminal():
        from pypicached.cli.status_screen import build_screen

        console().print(build_screen(answer, datetime.now(UTC)))
    else:
        from pypicached.cli.status_lines import build_lines

        for line in build_lines(answer):
            print_line(line)
    if check and answer.problems:
        raise typer.Exit(1)
