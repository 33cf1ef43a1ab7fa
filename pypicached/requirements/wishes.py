"""One requirement as a person writes it → a `Wish`, or the reason why it is none, in words.

What stands for a file or an address instead of a name is no error, but on no index either
(`NotOnIndexError`). No sentence from here repeats an address: they carry tokens.
"""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pypicached.errors import clean
from pypicached.requirements.model import Origin, Wish

# Longer than any that tools write, markers included; below the 4,300 digits where int() gives up.
MAX_LENGTH = 4000
ARCHIVES = (
    ".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz",
    ".tar.lz", ".tar.lzma",
)  # fmt: skip
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*):(?://|/|[^ ]*/)", re.IGNORECASE)
_VCS = re.compile(r"(git|hg|svn|bzr)(?:\+|:)", re.IGNORECASE)
_EXTRAS = re.compile(r"\[[^\[\]]*\]\s*$")
_SINGLE_EQUALS = re.compile(r"[^=!<>~]=[^=]")
# "name @ address": only where what stands before may be a name with extras.
_DIRECT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,200})\s*(?:\[[^\[\]]*\])?\s*@")


class NotOnIndexError(ValueError):
    """The requirement names a file, directory or address; the message says which, in a sentence."""


def parse_wish(
    text: str, origin: Origin, hashes: tuple[str, ...] = (), shown: str | None = None
) -> Wish:
    """Return the wish that `text` spells (PEP 508), normalized.

    NotOnIndexError if it stands for an address or a path; ValueError with the reason if it is none.
    `shown` is quoted instead of a text with secrets in it.
    """
    # As in pip, no marker behind a semicolon is none at all.
    text = text.strip().removesuffix(";")
    shown = text if shown is None else shown.strip()
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a requirement of more than {MAX_LENGTH} characters is not read")
    elsewhere = _elsewhere(text, shown)
    if elsewhere is not None:
        raise not_on_index(elsewhere)
    return Wish(_normalized(text, shown), origin, hashes)


def not_on_index(what: str) -> NotOnIndexError:
    """Return the error that says of something to install that no index has it."""
    return NotOnIndexError(f"{what} is on no index: neither it nor what it requires is warmed")


def _elsewhere(text: str, shown: str) -> str | None:
    """Return words for what `text` leads to beside an index; None if it is a name."""
    direct = _DIRECT.match(text)
    if direct:
        target = text[direct.end() :].strip()
        kind = "version control" if _VCS.match(target) else "an address"
        return f'"{direct[1]}", which comes from {kind},' if target else None
    if _VCS.match(text):
        return "what comes from version control"
    bare, named = _without_marker(text), _without_marker(shown)
    last = re.split(r"[/\\]", re.split("[#?]", named)[0].rstrip("/\\"))[-1]
    if _URL.match(bare):
        return f'"{clean(last, 80)}" at an address' if "." in last else "what is at an address"
    if bare.lower().endswith(ARCHIVES):
        return f'the file "{clean(last, 80)}"'
    # As in pip: what has a separator or begins with a dot is a path.
    if bare.startswith(".") or (re.search(r"[/\\]", bare) and not bare.lower().endswith(".txt")):
        return f'the local path "{clean(named, 80)}"'
    return None


def _without_marker(text: str) -> str:
    return _EXTRAS.sub("", text.partition(";")[0].strip()).strip()


def _normalized(text: str, shown: str) -> str:
    try:
        parsed = Requirement(text)
        extras = sorted({str(canonicalize_name(extra)) for extra in parsed.extras})
        marker = str(parsed.marker) if parsed.marker else ""
        name, versions = str(canonicalize_name(parsed.name)), str(parsed.specifier)
    except InvalidRequirement as error:
        why = reason_of(str(error)) + _hint(text)
        raise ValueError(f'"{clean(shown, 80)}" is no requirement: {why}') from None
    except (ValueError, RecursionError):  # more digits than int() takes; brackets in brackets
        raise ValueError(f'"{clean(shown, 80)}" is no requirement that can be read') from None
    asked = f"[{','.join(extras)}]" if extras else ""
    # "===" takes whatever follows for a version, up to a blank.
    blank = " " if marker and "===" in versions else ""
    return f"{name}{asked}{versions}{blank}{'; ' if marker else ''}{marker}"


def reason_of(message: str) -> str:
    """Return in words what the parser of PEP 508 says in lines and with an arrow."""
    first, *drawing = message.splitlines() or [""]
    why = re.sub(r"(?:matching )?(LEFT|RIGHT)_(BRACKET|PARENTHESIS)", _bracket, first)
    why = clean(why.rstrip(":."), 160) or "it cannot be read"
    # Text and arrow are indented by four.
    arrow = next((line.index("^") - 3 for line in drawing if line.strip(" ~") == "^"), None)
    where = "" if arrow is None else f" (column {max(arrow, 1)})"
    return f"{why[0].lower()}{why[1:]}{where}"


def _bracket(found: re.Match[str]) -> str:
    pair = "[]" if found[2] == "BRACKET" else "()"
    return f'"{pair[found[1] == "RIGHT"]}"'


def _hint(text: str) -> str:
    if text.lower().endswith((".txt", ".in")):
        return "; a file of requirements is named with -r"
    if _SINGLE_EQUALS.search(text.partition(";")[0]):
        return '; a version is compared with "=="'
    return ""
