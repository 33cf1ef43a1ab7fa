"""The lines of a requirements file: continued, without comments, with variables put in.

Follows pip ("Requirements File Format"): lines are joined first, then comments are cut off, then
`${VARIABLES}` are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# Upper case alone, and always with braces, so that a "$" in a URL stays what it is.
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_COMMENT = re.compile(r"(?:(?<=\s)|^)#")


class Line(NamedTuple):
    """A logical line; `number` is that of its first line, from 1.

    `written` is the text before variables were put in: all that may be shown of it, as they are how
    secrets come into such files.
    """

    number: int
    text: str
    written: str


def logical_lines(text: str, environ: Mapping[str, str]) -> Iterator[Line]:
    """Yield the lines that say something. A variable that is unset or empty stays as written."""

    def value(found: re.Match[str]) -> str:
        return environ.get(found[1]) or found[0]

    for number, joined in _joined(text):
        comment = _COMMENT.search(joined)
        written = (joined[: comment.start()] if comment else joined).strip()
        if written:
            yield Line(number, _VARIABLE.sub(value, written), written)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        first = first if parts else number
        # A comment is not continued, and ends what is.
        if line.lstrip().startswith("#"):
            parts.append(f" {line}")
        elif line.endswith("\\"):
            parts.append(line.strip("\\"))
            continue
        else:
            parts.append(line)
        yield first, "".join(parts)
        parts = []
    if parts:
        yield first, "".join(parts)
