"""`pypicached list`: what is cached, by project or file by file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pypicached.cli.options import JsonOption, SocketOption, absence, connect, normalized
from pypicached.cli.terminal import (
    Column,
    Moment,
    Size,
    count,
    on_terminal,
    print_json,
    print_line,
    print_table,
    size,
)

if TYPE_CHECKING:
    from pypicached.messages import FileRow, ProjectRow

_PROJECT_COLUMNS = (
    Column("project", "Project"),
    Column("files", "Files", right=True),
    Column("size_bytes", "Size", right=True),
    Column("last_used_at", "Last used", right=True),
    Column("hits", "Hits", right=True),
)
_FILE_COLUMNS = (
    Column("filename", "File"),
    Column("index", "Index"),
    Column("size_bytes", "Size", right=True),
    Column("first_cached_at", "Cached", right=True),
    Column("last_used_at", "Last used", right=True),
    Column("hits", "Hits", right=True),
    Column("notes", "Notes"),
)


def list_cached(
    project: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROJECT]", help="List the files of this project.", show_default=False
        ),
    ] = None,
    sort: Annotated[
        Literal["size", "used", "hits"], typer.Option(help="The largest, latest or most hit first.")
    ] = "size",
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """List what is cached: all projects, or the files of one."""
    client = connect(socket)
    if project is None:
        projects = client.list_projects(sort)
        print_json(projects) if as_json else _print_projects(projects)
    else:
        with absence(as_json, list):
            files = client.list_files(normalized([project])[0], sort)
        print_json(files) if as_json else _print_files(files)


def _print_projects(rows: list[ProjectRow]) -> None:
    cells = [
        (row.project, row.files, Size(row.size_bytes), Moment(row.last_used_at), row.hits)
        for row in rows
    ]
    print_table(_PROJECT_COLUMNS, cells)
    if on_terminal():
        files = count(sum(row.files for row in rows), "file")
        total = size(sum(row.size_bytes for row in rows))
        print_line(f"  {count(len(rows), 'project')}, {files}, {total}")


def _print_files(rows: list[FileRow]) -> None:
    cells = [
        (
            row.filename,
            row.index,
            Size(row.size_bytes),
            Moment(row.first_cached_at),
            Moment(row.last_used_at),
            row.hits,
            _notes(row),
        )
        for row in rows
    ]
    print_table(_FILE_COLUMNS, cells)


def _notes(row: FileRow) -> str:
    # Unverified: neither a hash nor a length was there to check it against; most metadata has none,
    # ours of a verified wheel too. Removed: its index lists it no more.
    notes = {
        "pinned": row.pinned,
        "unverified": not row.verified and not row.filename.endswith(".metadata"),
        "removed": row.removed_at is not None,
    }
    return " ".join(note for note, holds in notes.items() if holds)
