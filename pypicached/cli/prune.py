"""`pypicached prune`: remove what was not used for long, or down to a size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect, normalized
from pypicached.cli.progress import ProgressDisplay
from pypicached.cli.terminal import (
    Column,
    Moment,
    Size,
    count,
    print_json,
    print_line,
    print_table,
    size,
)
from pypicached.errors import ControlError, clean

if TYPE_CHECKING:
    from pypicached.messages import PruneAnswer

_COLUMNS = (
    Column("project", "Project"),
    Column("filename", "File"),
    Column("size_bytes", "Size", right=True),
    Column("last_used_at", "Last used", right=True),
)
_EXAMPLE = "for example `pypicached prune --days 90` or `pypicached prune --to-size 10GiB`"


def prune(
    days: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="N",
            help="What was not used for N days; 0: everything not pinned and not in use. "
            "With --store at least 2.",
            show_default=False,
        ),
    ] = None,
    to_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="The least recently used, until this much is left.",
            show_default=False,
        ),
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option(metavar="PROJECT", help="Of this project only; may be repeated."),
    ] = None,
    store: Annotated[
        bool,
        typer.Option(
            "--store", help="In the store that hosts share, what none of them used for N days."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, only say.")] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Remove cached files and pages by their last use; say what goes and how many bytes.

    Exit code 1 if something could not be removed.
    """
    if days is not None and not math.isfinite(days):
        raise ControlError("--days takes a number of days, for example 90", exit_code=2)
    if store:
        _prune_store(days, to_size, project, as_json=as_json, dry_run=dry_run, socket=socket)
        return
    if (days is None) == (to_size is None):
        what = "prune what?" if days is None else "prune takes --days or --to-size, not both:"
        raise ControlError(f"{what} {_EXAMPLE}", exit_code=2)
    from pypicached.messages import PruneRequest

    request = PruneRequest(
        days=days,
        to_size_bytes=None if to_size is None else _size_bytes(to_size),
        projects=normalized(project or []),
        dry_run=dry_run,
    )
    with ProgressDisplay("pruning") as display:
        answer = connect(socket).prune(request, display.show)
    if as_json:
        print_json(answer)
    else:
        _print_answer(answer)
    if answer.failed:
        raise typer.Exit(1)


def _prune_store(
    days: float | None,
    to_size: str | None,
    project: list[str] | None,
    *,
    as_json: bool,
    dry_run: bool,
    socket: Path | None,
) -> None:
    if days is None or to_size is not None or project:
        raise ControlError(
            "prune --store takes --days, and neither --to-size nor --project: for example "
            "`pypicached prune --store --days 90 --dry-run`",
            exit_code=2,
        )
    from pypicached.messages import PruneStoreRequest

    request = PruneStoreRequest(days=days, dry_run=dry_run)
    with ProgressDisplay("pruning") as display:
        answer = connect(socket).prune_store(request, display.show)
    if as_json:
        print_json(answer)
    else:
        done = "would remove" if answer.dry_run else "removed"
        found = f"of {count(answer.looked_at, 'object')}"
        print_line(f"{done} {answer.objects} {found}, {size(answer.bytes)}")
        if answer.pinned:
            print_line(f"{count(answer.pinned, 'object')} more would go but for a pin")
        if answer.uploads:
            print_line(f"gave up {count(answer.uploads, 'upload')} that nobody had ended")
        for failed in answer.failed:
            print_line(f"could not remove {clean(failed)}")
    if answer.failed:
        raise typer.Exit(1)


def _size_bytes(text: str) -> int:
    from pypicached.settings.units import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise ControlError(
            f"--to-size {clean(text)}: {error}; for example 10GiB", exit_code=2
        ) from None


def _print_answer(answer: PruneAnswer) -> None:
    if answer.files:
        rows = [
            (file.project, file.filename, Size(file.size_bytes), Moment(file.last_used_at))
            for file in answer.files
        ]
        print_table(_COLUMNS, rows)
    done = "would remove" if answer.dry_run else "removed"
    files, pages = count(len(answer.files), "file"), count(answer.pages, "page")
    print_line(f"{done} {files} and {pages}, {size(answer.bytes)}")
    if answer.pinned:
        print_line(f"{count(answer.pinned, 'file')} more would go but for a pin")
    for name in answer.failed:
        print_line(f"could not remove {clean(name)}: see the daemon's log")
