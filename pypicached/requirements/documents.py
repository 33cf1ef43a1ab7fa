"""TOML and JSON text → plain values, and their entries → typed ones, with reasons in words."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from pypicached.errors import clean
from pypicached.requirements.findings import Findings
from pypicached.requirements.model import Origin

T = TypeVar("T")
Document = dict[str, Any]

_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)|\(at end of document\)")
_PATH = re.compile(r" - at `\$\.?(.*)`$")


def parse_toml(text: str, file: str, findings: Findings) -> Document | None:
    """Return the document; None after noting why it cannot be read."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _PLACE.search(message)
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        column = f" (column {place[2]})" if place and place[2] else ""
        reason = clean(_PLACE.sub("", message).strip(), 120)
        findings.problem(Origin(file, line), f"no TOML: {reason}{column}")
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError):
        # More digits than int() takes, tables in tables; and what tomllib itself trips over.
        findings.problem(Origin(file), "no TOML that can be read")
    return None


def parse_json(text: str, file: str, findings: Findings) -> Document | None:
    """Return the document; None after noting why it cannot be read."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        origin = Origin(file, error.lineno)
        findings.problem(origin, f"no JSON: {error.msg} (column {error.colno})")
    except (ValueError, RecursionError):
        findings.problem(Origin(file), "no JSON that can be read")
    else:
        if isinstance(document, dict):
            return document
        findings.problem(Origin(file), "no JSON object")
    return None


def typed(value: object, kind: type[T], origin: Origin, findings: Findings) -> T | None:
    """Return a value as a type of ours; None after noting what does not fit, and where in it."""
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        message = str(error)
        place = _PATH.search(message)
        where = f"`{clean(place[1], 60)}`: " if place and place[1] else ""
        reason = clean(_PATH.sub("", message).replace("`", ""), 160)
        findings.problem(origin, f"{where}{reason[:1].lower()}{reason[1:]}")
    except RecursionError:
        findings.problem(origin, "too deep to be read")
    return None


def header_lines(text: str, table: str, number: int) -> list[int]:
    """Return the lines of the headers `[[table]]`, or zeros where they are not one per entry."""
    header = f"[[{table}]]"
    found = [n for n, line in enumerate(text.split("\n"), start=1) if line.strip() == header]
    return found if len(found) == number else [0] * number


def entries(
    document: Document, table: str, kind: type[T], text: str, file: str, findings: Findings
) -> Iterator[tuple[T, Origin]]:
    """Yield the usable entries of an array of tables, each with its place; note the others."""
    rows = document.get(table, [])
    if not isinstance(rows, list):
        findings.problem(Origin(file), f"`{table}` is no array of tables")
        return
    for row, line in zip(rows, header_lines(text, table, len(rows)), strict=True):
        name = row.get("name") if isinstance(row, dict) else None
        origin = Origin(file, line)
        entry = typed(row, kind, origin, findings)
        if entry is not None:
            yield entry, origin
        elif line == 0 and isinstance(name, str):
            findings.problem(origin, f'that was in the entry of "{clean(name, 80)}"')
