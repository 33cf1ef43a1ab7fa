"""`pypicached verify`: is what is stored still what it was?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, connect, normalized
from pypicached.cli.progress import ProgressDisplay
from pypicached.cli.terminal import Column, count, print_json, print_line, print_table, size

if TYPE_CHECKING:
    from pypicached.messages import VerifyAnswer

_COLUMNS = (
    Column("project", "Project"),
    Column("filename", "File"),
    Column("problem", "Problem"),
    Column("repaired", "Now"),
)


def verify(
    projects: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROJECT]...", help="The files of these projects. Default: all."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop what is damaged: it is fetched again when asked.")
    ] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Read every stored file and compare it with its digest; say what is missing or damaged.

    Exit code 1 if damage remains. Traffic goes on meanwhile.
    """
    with ProgressDisplay("verifying") as display:
        answer = connect(socket).verify(
            normalized(projects or []), repair=repair, on_progress=display.show
        )
    print_json(answer) if as_json else _print_answer(answer)
    if not all(problem.repaired for problem in answer.problems):
        raise typer.Exit(1)


def _print_answer(answer: VerifyAnswer) -> None:
    if answer.problems:
        rows = [
            (p.project, p.filename, p.problem, "dropped" if p.repaired else "damaged")
            for p in answer.problems
        ]
        print_table(_COLUMNS, rows)
    left = sum(not problem.repaired for problem in answer.problems)
    dropped = len(answer.problems) - left
    found = [f"{left:,} damaged"] if left else []
    found += [f"{dropped:,} dropped, to be fetched again"] if dropped else []
    read = f"read {count(answer.checked, 'file')}, {size(answer.bytes)}"
    print_line(f"{read}: {', '.join(found)}" if answer.problems else f"{read}: all is well")
