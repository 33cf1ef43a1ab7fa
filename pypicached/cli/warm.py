"""`pypicached warm`: have everything cached that a build would fetch.

The user's files are read here, as the user; the daemon gets what they ask for, never a path.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect
from pypicached.cli.terminal import print_json, print_note
from pypicached.errors import BadInputError, ControlError

if TYPE_CHECKING:
    from pypicached.requirements.model import Inputs, Selection
    from pypicached.warm.messages import Mode, TargetNames, WarmAnswer

_NOTHING = (
    "warm what? For example `pypicached warm -r requirements.txt`, "
    "`pypicached warm --lock uv.lock` or `pypicached warm --top 50`"
)
# Read as text at most; the parsers have the same bound.
_MAX_BYTES = 40_000_000


def warm(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    requirements: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REQUIREMENT]...", help='As for pip: flask, "torch>=2,<3".'),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "-r",
            "--requirement",
            metavar="FILE",
            help="A requirements file, or pyproject.toml. May be given several times.",
        ),
    ] = None,
    constraints: Annotated[
        list[str] | None, typer.Option("-c", "--constraint", metavar="FILE", help="As for pip.")
    ] = None,
    locks: Annotated[
        list[str] | None,
        typer.Option(
            "--lock",
            metavar="FILE",
            help="pylock.toml, uv.lock, poetry.lock, pdm.lock or Pipfile.lock.",
        ),
    ] = None,
    extras: Annotated[
        list[str] | None,
        typer.Option("--extra", metavar="NAME", help="Of pyproject.toml and of locks."),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="NAME", help="Of pyproject.toml and of locks."),
    ] = None,
    pythons: Annotated[
        list[str] | None,
        typer.Option(
            "--python", metavar="VERSION", help="For this Python: 3.12. Default: this host's."
        ),
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option(
            "--platform",
            metavar="NAME",
            help="linux-x86_64, linux-aarch64, musllinux-x86_64, macos-arm64, windows-amd64, or as "
            "in wheel names. Default: this host's.",
        ),
    ] = None,
    no_deps: Annotated[
        bool, typer.Option("--no-deps", help="Not what the requirements need themselves.")
    ] = False,
    sdists: Annotated[
        bool, typer.Option("--sdists", help="Also sdists, and what it takes to build them.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be fetched.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Ask nobody: is everything cached already?")
    ] = False,
    pin: Annotated[bool, typer.Option("--pin", help="Pin what is cached then.")] = False,
    top: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            metavar="N",
            help="The newest of the N projects that this host used most.",
            show_default=False,
        ),
    ] = 0,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once; the daemon's log tells how it ends.")
    ] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Have everything cached that a build would fetch: pages, metadata, and files.

    Exit code 1 unless all of it is there. Ctrl-C stops the job; what is cached by then stays.
    """
    from pypicached.cli.warm_screen import WarmDisplay, print_answer
    from pypicached.requirements.model import Selection
    from pypicached.warm.messages import WarmRequest

    if not (requirements or files or locks or top):
        raise ControlError(_NOTHING, exit_code=2)
    if dry_run and check:
        raise ControlError("--dry-run and --check exclude each other", exit_code=2)
    selection = Selection(frozenset(extras or ()), frozenset(groups) if groups else None)
    mode: Mode = "plan" if dry_run else "check" if check else "fetch"
    request = WarmRequest(
        inputs=_read(requirements or [], files or [], constraints or [], locks or [], selection),
        targets=_targets(pythons or [], platforms or []),
        mode=mode,
        with_dependencies=not no_deps,
        with_sdists=sdists,
        pin=pin,
        top=top,
        detach=detach,
    )
    with WarmDisplay() as display:
        answer = connect(socket).warm(request, display.show)
    print_json(answer) if as_json else print_answer(answer, mode)
    if not _all_there(answer):
        raise typer.Exit(1)


def _read(
    requirements: list[str],
    files: list[str],
    constraints: list[str],
    locks: list[str],
    selection: Selection,
) -> Inputs:
    import os

    from pypicached.requirements.reading import read_inputs

    try:
        return read_inputs(
            requirements,
            files=files,
            constraints=constraints,
            locks=locks,
            selection=selection,
            read=_text_of,
            environ=os.environ,
        )
    except BadInputError as error:
        for problem in error.problems:
            print_note(problem)
        raise typer.Exit(2) from None


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise OSError(0, "is larger than any such file")
    # utf-8-sig: editors of Windows begin files with a mark.
    return data.decode("utf-8-sig")


def _targets(pythons: list[str], platforms: list[str]) -> list[TargetNames]:
    """Return every Python with every platform; none at all: the daemon takes its own."""
    import platform
    import sys

    from pypicached.warm.messages import TargetNames

    if not pythons and not platforms:
        return []
    own = f"{platform.system().lower()}-{platform.machine()}"
    return [
        TargetNames(python, name)
        for python in pythons or [f"{sys.version_info.major}.{sys.version_info.minor}"]
        for name in platforms or [own]
    ]


def _all_there(answer: WarmAnswer) -> bool:
    had = all(item.outcome not in ("refused", "failed") for item in answer.items)
    return had and not answer.left_out
