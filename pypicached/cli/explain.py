"""`pypicached explain`: what is served of a project, and which rule keeps the rest back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pypicached.cli.options import JsonOption, SocketOption, absence, connect
from pypicached.cli.terminal import (
    Column,
    Moment,
    count,
    on_terminal,
    print_json,
    print_line,
    print_note,
    print_table,
)
from pypicached.errors import clean

if TYPE_CHECKING:
    from packaging.version import Version

    from pypicached.messages import ExplainedFile, Explanation

_COLUMNS = (
    Column("filename", "File"),
    Column("index", "Index"),
    Column("uploaded_at", "Uploaded", right=True),
    Column("state", "State"),
    Column("cached", "Cached"),
    Column("reason", "Why not"),
)


def explain(
    requirement: Annotated[
        str,
        typer.Argument(
            metavar="REQUIREMENT",
            help='A project, and versions of it if not all: flask, "flask==3.*".',
        ),
    ],
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Say of each file of a project whether it is served, and which rule decided."""
    with absence(as_json, lambda: _nothing(requirement)):
        answer = connect(socket).explain(requirement)
    print_json(answer) if as_json else _print(answer)


def _nothing(requirement: str) -> Explanation:
    from pypicached.messages import Explanation
    from pypicached.requirement import parse_requirement

    return Explanation(parse_requirement(requirement).project)


def _print(answer: Explanation) -> None:
    if answer.refused is not None:
        print_note(clean(answer.refused, 500))
    print_table(_COLUMNS, [_cells(file) for file in sorted(answer.files, key=_age)])
    if on_terminal():
        listed = sum(file.listed for file in answer.files)
        owner = "" if answer.index is None else f" of index {answer.index}"
        print_line(f"  {clean(answer.project)}{owner}: {listed} of {_files(answer)} listed")


def _age(file: ExplainedFile) -> tuple[bool, Version, str]:
    """Return what sorts files by version, the newest last, and those that tell none first."""
    from packaging.version import Version

    return file.version is not None, Version(file.version or "0"), file.filename


def _files(answer: Explanation) -> str:
    return count(len(answer.files), "file")


def _cells(file: ExplainedFile) -> tuple[str, ...]:
    state = "listed" if file.listed else "served" if file.served else "refused"
    cached = "cached" if file.cached else ""
    uploaded = Moment(file.uploaded_at) if file.uploaded_at else ""
    # The file is named in its row already.
    reason = file.reason.removesuffix(f": {file.filename}")
    return (file.filename, file.index, uploaded, state, cached, reason)
