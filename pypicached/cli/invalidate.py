"""`pypicached invalidate`: have the next requests ask upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect, normalized
from pypicached.cli.terminal import count, print_json, print_line, print_note, size
from pypicached.errors import ControlError, clean

if TYPE_CHECKING:
    from pypicached.messages import InvalidateAnswer

_NOTHING = (
    "invalidate what? For example `pypicached invalidate requests`, or --project-list, or --all"
)
_NO_FILES = "the project list has no files: leave out --files"
_TOO_MUCH = "invalidate takes projects, --project-list or --all, one of them"


def invalidate(
    projects: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROJECT]...", help="The pages of these projects."),
    ] = None,
    project_list: Annotated[
        bool, typer.Option("--project-list", help="The list of all projects.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every page.")] = False,
    index: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this index only.", show_default=False)
    ] = None,
    files: Annotated[bool, typer.Option("--files", help="Remove the cached files too.")] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Ask upstream again at the next request; the old pages stay in reserve until it answers.

    Exit code 1 if --files leaves some: pinned ones, or what the disk did not let go.
    """
    asked = (bool(projects), project_list, everything)
    if sum(asked) != 1:
        raise ControlError(_TOO_MUCH if any(asked) else _NOTHING, exit_code=2)
    if project_list and files:
        raise ControlError(_NO_FILES, exit_code=2)
    from pypicached.messages import InvalidateRequest

    request = InvalidateRequest(
        projects=normalized(projects or []),
        project_list=project_list,
        everything=everything,
        index=index,
        files=files,
    )
    answer = connect(socket).invalidate(request)
    if as_json:
        print_json(answer)
    else:
        _print_answer(answer, files)
    if answer.pinned or answer.failed:
        raise typer.Exit(1)


def _print_answer(answer: InvalidateAnswer, files: bool) -> None:
    print_line(f"{count(answer.pages, 'page')} will be asked for anew")
    if files:
        print_line(f"{count(answer.files, 'file')} removed, {size(answer.bytes)}")
    for name in answer.pinned:
        print_note(f"{clean(name)} is pinned and stays; `pypicached pin` lists what is pinned")
    for name in answer.failed:
        print_note(f"could not remove {clean(name)}: see the daemon's log")
    if answer.unknown:
        names = ", ".join(clean(name) for name in answer.unknown)
        print_note(f"nothing was cached of {names}")
