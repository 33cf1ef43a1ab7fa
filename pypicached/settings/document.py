"""The TOML file as values: reading it, and finding what in it is no setting.

Says nothing about whether a value is good; `load` does, with the parsers of `schema`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from pypicached.errors import SettingsError, clean
from pypicached.settings.problems import Problems
from pypicached.settings.schema import INDEX_KEYS, SECTIONS, suggest_key
from pypicached.settings.small_files import UnusableFileError, read_small
from pypicached.settings.values import ask_for, find_nearest, name_type

# A configuration with thousands of indexes or tens of thousands of rules stays below.
_MAX_BYTES = 1024 * 1024
# `store.s3.bucket` is the deepest there is. Keys of thousands of parts take tomllib minutes.
_DEEP_KEY = re.compile(r"""(?:\.[ \t]*+(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+){30}""")
_OUT_OF_RANGE = "not TOML that can be read: a number or a date is out of range"
_TOO_DEEP = "not TOML that can be read: nested too deeply"


# Of the standard library; another version may say it otherwise, which is then passed on.
_TWICE = re.compile(r"Cannot declare \((?P<keys>.*)\) twice \(at line (?P<line>\d+), .*\)")


class Document(msgspec.Struct, frozen=True):
    """What a file says: dotted key → value, and its `[[index]]` tables (None: it has none).

    `digest` tells its bytes from others.
    """

    values: dict[str, object]
    indexes: list[dict[str, object]] | None
    digest: str | None = None


def read_document(path: Path, problems: Problems) -> Document:
    """Read a file, and note what in it is no setting; SettingsError if it cannot be read."""
    raw = read_raw(path)
    return _sorted(_tables(raw, path), problems, digest_of(raw))


def read_raw(path: Path) -> bytes:
    """Return the bytes of a configuration file; SettingsError if they cannot be had."""
    try:
        return read_small(path, _MAX_BYTES)
    except UnusableFileError as error:
        raise _unreadable(path, str(error)) from None


def digest_of(raw: bytes) -> str:
    """Return what tells these bytes from others."""
    return hashlib.sha256(raw).hexdigest()


def _tables(raw: bytes, path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file; SettingsError with line and column if it is not TOML."""
    try:
        text = raw.decode()
        if _DEEP_KEY.search(text):
            raise _unreadable(path, _TOO_DEEP)
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise _unreadable(path, f"not UTF-8 (at line {line}, column {column})") from None
    except tomllib.TOMLDecodeError as error:
        # Its messages name single characters and keys only, never a value.
        raise SettingsError([(str(path), *_explain(str(error)))]) from None
    except ValueError:
        # What Python itself refuses: a number of thousands of digits.
        raise _unreadable(
            path, "not TOML that can be read: a number or a date is out of range"
        ) from None
    except RecursionError:
        raise _unreadable(path, _TOO_DEEP) from None


def _explain(message: str) -> tuple[str, str]:
    """Return what the parser says of a table that stands there twice in words, else as it is."""
    table = _TWICE.fullmatch(message)
    if table is None:
        return f"not TOML: {message}", ""
    name = clean(".".join(re.findall(r"'([^']*)'", table["keys"])), 60)
    below = f"put what is below the second, at line {table['line']}, below the first"
    return f"[{name}] is there twice", below


def _unreadable(path: Path, why: str) -> SettingsError:
    return SettingsError([(str(path), why, "")])


def _sorted(tables: dict[str, Any], problems: Problems, digest: str | None = None) -> Document:
    """Return the known keys of a file, and note each unknown one with the nearest known."""
    known: dict[str, object] = {}
    for name, table in tables.items():
        if name == "index":
            continue
        if name not in SECTIONS or "." in name:
            _note_unknown_top(name, table, problems)
        elif not isinstance(table, dict):
            problems.add(name, f"must be a table, not {name_type(table)}", f"write [{name}]")
        else:
            known |= _known_in(name, table, problems)
    return Document(known, _indexes(tables.get("index"), problems), digest)


def _note_unknown_top(name: str, table: object, problems: Problems) -> None:
    shown = clean(name, 60)
    if isinstance(table, dict | list):
        # A person who writes [s3] means the one with that at its end.
        last = {section.rpartition(".")[2]: section for section in [*SECTIONS, "index"]}
        near = find_nearest(name, last)
        problems.add(shown, "unknown section", ask_for(last[near] if near else None))
    else:
        problems.add(shown, "unknown key", suggest_key("", name))


def _known_in(section: str, table: dict[str, object], problems: Problems) -> dict[str, object]:
    known: dict[str, object] = {}
    for name, value in table.items():
        dotted = f"{section}.{name}"
        if name in SECTIONS[section]:
            known[dotted] = value
        elif dotted in SECTIONS and isinstance(value, dict):
            known |= _known_in(dotted, value, problems)
        elif dotted in SECTIONS:
            problems.add(dotted, f"must be a table, not {name_type(value)}", f"write [{dotted}]")
        else:
            key = f"{section}.{clean(name, 60)}"
            problems.add(key, "unknown key", suggest_key(section, name))
    return known


def _indexes(value: object, problems: Problems) -> list[dict[str, object]] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        # Its keys are looked at all the same, so that every problem is told at once.
        problems.add("index", "is a list of tables", "write [[index]], with two brackets")
        return [value]
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        problems.add("index", f"must be tables, not {name_type(value)}", "write [[index]]")
        return None
    if not value:
        problems.add("index", "at least one index is needed", "leave it out for PyPI")
    return value


def note_unknown_index_keys(table: dict[str, object], label: str, problems: Problems) -> None:
    """Note each key of an `[[index]]` that is none; `label` names the index."""
    for name in table:
        if name not in INDEX_KEYS:
            key = f"{label}.{clean(name, 60)}"
            problems.add(key, "unknown key", suggest_key("index", name))
