"""Files of `EnvironmentFile=` as variables, as systemd reads them (systemd.exec(5)). Pure."""

from __future__ import annotations

import re

# What is no variable's name is left out by systemd too, as is a line without "=".
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# One part of a value: quoted in one of two ways, escaped, or plain up to the end of the line.
_PART = re.compile(
    r"""
    '(?P<single>[^']*)'?
    | "(?P<double>(?:[^"\\]|\\.)*)"?
    | (?P<plain>(?:[^\\\n]|\\.)+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def parse_environment_file(text: str) -> dict[str, str]:
    """Return name → value of every assignment; the last one of a name counts."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        # A comment, or a line without "=", is passed over.
        start = _skip(text, at)
        end = _end_of_line(text, start)
        name, equals, _ = text[start:end].partition("=")
        if not equals or name[:1] in "#;":
            at = end + 1
            continue
        value, at = _parse_value(text, start + len(name) + 1)
        if _NAME.fullmatch(name.rstrip()):
            found[name.rstrip()] = value
    return found


def _parse_value(text: str, at: int) -> tuple[str, int]:
    """Return a value that begins at `at`, and where the next line begins."""
    value = ""
    while True:
        while text[at : at + 1] in (" ", "\t", "\r"):
            at += 1
        part = _PART.match(text, at)
        if part is None:
            return value, at + 1
        at = part.end()
        if part["single"] is not None:
            value += part["single"]
        elif part["double"] is not None:
            value += _ESCAPED.sub(_unescape_quoted, part["double"])
        else:
            # Plain text goes to the end of the line: a quote in the midst of it is a character.
            value += _strip(part["plain"])
            return value, at + 1


def _unescape_quoted(escape: re.Match[str]) -> str:
    character = escape[1]
    if character == "\n":
        return ""
    return character if character in '"\\`$' else escape[0]


def _strip(plain: str) -> str:
    """Return plain text without what ends it in vain, its escapes resolved."""
    # An escaped space at the end is meant.
    plain = re.sub(r"(?<!\\)[ \t\r]+\Z", "", plain)
    return _ESCAPED.sub(lambda escape: "" if escape[1] == "\n" else escape[1], plain)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end
