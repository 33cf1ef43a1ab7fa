"""A manual page in the macros of man(7), as groff and mandoc read them. Pure.

Texts come as people write them: words between backticks are bold, everything else is literal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_ESCAPES = str.maketrans(
    {
        "\\": r"\e",
        # A bare one may be printed as a typographic hyphen, which nobody can paste into a shell.
        "-": r"\-",
        "'": r"\(aq",
        "^": r"\(ha",
        "~": r"\(ti",
        "…": "...",
        "→": r"\(->",
    }
)


@dataclass(frozen=True)
class Title:
    """What the first and the last line of a page say."""

    name: str
    section: int
    date: str
    source: str
    manual: str


def plain(text: str) -> str:
    """Return text with everything escaped that roff would obey; ValueError for what it lacks."""
    escaped = text.translate(_ESCAPES)
    if not escaped.isascii():
        raise ValueError(f"no roff spelling for a character of {text!r}")
    return escaped


def bold(text: str) -> str:
    """Return text in bold."""
    return rf"\fB{plain(text)}\fR"


def italic(text: str) -> str:
    """Return text in italics (underlined on a terminal): what the reader replaces."""
    return rf"\fI{plain(text)}\fR"


def prose(text: str) -> str:
    """Return running text on one line, with `words` in bold."""
    pieces = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join(bold(piece) if at % 2 else plain(piece) for at, piece in enumerate(pieces))


class Page:
    """Lines of one page, in order."""

    def __init__(self, title: Title, summary: str) -> None:
        # The date as it is: an escaped one is none to mandoc.
        head = [plain(title.name.upper()), str(title.section), title.date]
        head += [plain(title.source), plain(title.manual)]
        self._lines = [
            ".TH " + " ".join(f'"{word}"' for word in head),
            # No hyphenation (in groff, in mandoc), no stretched spaces: names are copied.
            ".nr HY 0",
            ".nh",
            ".ad l",
            ".SH NAME",
            rf"{plain(title.name)} \- {plain(summary)}",
        ]

    def section(self, name: str) -> Self:
        """Begin a section."""
        self._lines.append(f'.SH "{plain(name.upper())}"')
        return self

    def subsection(self, name: str) -> Self:
        """Begin a part of a section."""
        self._lines.append(f'.SS "{plain(name)}"')
        return self

    def paragraphs(self, text: str) -> Self:
        """Add running text; an empty line begins a paragraph."""
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            self._apart()
            self._lines.append(_guarded(prose(paragraph)))
        return self

    def synopsis(self, command: str, words: list[str]) -> Self:
        """Add a usage line; `words` are roff already, and each stays on one line."""
        # \& behind a dot: it ends no sentence, and so gets no second space.
        words = [_guarded(word) + r"\&" * word.endswith(".") for word in words]
        self._lines += [f'.SY "{plain(command)}"', *words, ".YS"]
        return self

    def item(self, term: str, text: str) -> Self:
        """Add a term (roff already) and, below it and indented, its text."""
        first, *more = re.split(r"\n\s*\n", text.strip())
        self._lines += [".TP", _guarded(term), _guarded(prose(first))]
        for paragraph in more:
            self._lines += [".IP", _guarded(prose(paragraph))]
        return self

    def example(self, text: str) -> Self:
        """Add lines as they are."""
        shown = [_guarded(plain(line)) for line in text.strip("\n").split("\n")]
        self._apart()
        self._lines += [".RS 4", ".nf", *shown, ".fi", ".RE"]
        return self

    def _apart(self) -> None:
        # A heading has its distance already; mandoc warns of a second one.
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")

    def text(self) -> str:
        """Return the page."""
        return "\n".join(self._lines) + "\n"


def _guarded(line: str) -> str:
    # A line that begins with a dot or a quote is a request.
    return rf"\&{line}" if line.startswith((".", "'")) else line or r"\&"
