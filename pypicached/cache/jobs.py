"""What a worker process does: one job, from files to files. No other module imports this.

It dies with its daemon: the next one has the same directories, and must not find us writing there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from pypicached.cache.codings import compressed, pack, unpack
from pypicached.cache.renderings import encode_page
from pypicached.child import die_with
from pypicached.ownership import IndexRule, may_answer
from pypicached.simple.names import normalize
from pypicached.simple.parse import (
    ListParser,
    ParseError,
    kind_of,
    parse_list_json,
    parse_page,
)
from pypicached.simple.render import list_html_chunks, list_json_chunks

# Our own exit code for a body that is no page; the reason is on stdout.
NO_PAGE = 3
CHUNK_BYTES = 1024 * 1024


def main() -> None:
    """Run the job that the arguments name, behind the process id of whoever wants it."""
    die_with(int(sys.argv.pop(1)))
    jobs: dict[str, Callable[..., None]] = {"page": page, "names": names, "lists": lists}
    try:
        jobs[sys.argv[1]](*sys.argv[2:])
    except ParseError as error:
        sys.stdout.write(str(error))
        raise SystemExit(NO_PAGE) from None


def page(source: str, target: str, content_type: str, url: str, project: str) -> None:
    """Parse a project page into canonical form."""
    parsed = parse_page(Path(source).read_bytes(), content_type, url, project)
    Path(target).write_bytes(encode_page(parsed))


def names(source: str, target: str, content_type: str) -> None:
    """Parse a project list into its names: one per line, packed."""
    with Path(source).open("rb") as body:
        if kind_of(content_type, body.peek(1024)) == "json":
            found = parse_list_json(body.read())
        else:
            parser = ListParser()
            while chunk := body.read(CHUNK_BYTES):
                parser.feed(chunk)
            found = parser.close()
    Path(target).write_bytes(pack("\n".join(found).encode()))


def lists(target: str, format_: str, coding: str, rules: str, *sources: str) -> None:
    """Render the names of one or more indexes, each name once, in the order of the indexes.

    `sources` are the name of an index and the file of its names, in turn. What an index may not
    answer for by `rules` (JSON), it does not list either.
    """
    owners = msgspec.json.decode(rules, type=list[IndexRule])
    merged: dict[str, None] = {}
    for index, source in zip(sources[::2], sources[1::2], strict=True):
        found = unpack(Path(source).read_bytes()).decode().split("\n")
        if any(rule.projects or rule.exclude for rule in owners):
            found = [name for name in found if may_answer(index, normalize(name), owners)]
        merged.update(dict.fromkeys(found))
    merged.pop("", None)
    chunks = list_json_chunks(merged) if format_ == "json" else list_html_chunks(merged)
    with Path(target).open("wb") as out:
        for part in compressed(chunks, coding):
            out.write(part)
