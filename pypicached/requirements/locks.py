"""Lock files of every known format: which one a file is, by its name or else by its content."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path

from pypicached.requirements.documents import Document, parse_json, parse_toml
from pypicached.requirements.findings import Findings, Read
from pypicached.requirements.model import Origin
from pypicached.requirements.pdm_lock import read_pdm_lock
from pypicached.requirements.pipfile_lock import read_pipfile_lock
from pypicached.requirements.poetry_lock import read_poetry_lock
from pypicached.requirements.pylock import read_pylock
from pypicached.requirements.uv_lock import read_uv_lock

# PEP 751: pylock.toml, or pylock.<name>.toml. A script's lock of uv: script.py.lock.
_NAMES = {
    "pylock.toml": "pylock",
    "pylock.*.toml": "pylock",
    "uv.lock": "uv",
    "*.py.lock": "uv",
    "poetry.lock": "poetry",
    "pdm.lock": "pdm",
    "pipfile.lock": "pipfile",
}
_READERS: dict[str, Callable[[Document, str, str, Findings], None]] = {
    "pylock": read_pylock,
    "uv": read_uv_lock,
    "poetry": read_poetry_lock,
    "pdm": read_pdm_lock,
    "pipfile": read_pipfile_lock,
}
_KNOWN = "pylock.toml, uv.lock, poetry.lock, pdm.lock and Pipfile.lock are known"


def is_pylock(file: str) -> bool:
    """Tell whether a file is named as PEP 751 demands."""
    return _by_name(file) == "pylock"


def read_lock(file: str, read: Read, findings: Findings) -> None:
    """Note what a lock file that the user named would install."""
    text = findings.read(read, Path(file), Origin(file))
    if text is None:
        return
    kind = _by_name(file)
    parse = parse_json if text.lstrip()[:1] == "{" or kind == "pipfile" else parse_toml
    if kind is None and parse is parse_toml and "[" not in text:
        findings.problem(Origin(file), f"no lock file: {_KNOWN}")
        return
    document = parse(text, file, findings)
    if document is None:
        return
    kind = kind or _by_content(document)
    if kind is None:
        findings.problem(Origin(file), f"no lock file: {_KNOWN}")
    else:
        _READERS[kind](document, text, file, findings)


def _by_name(file: str) -> str | None:
    name = Path(file).name.lower()
    return next((kind for like, kind in _NAMES.items() if fnmatch.fnmatchcase(name, like)), None)


def _by_content(document: Document) -> str | None:
    metadata = document.get("metadata")
    keys = metadata.keys() if isinstance(metadata, dict) else set()
    tells = {
        "pylock": "lock-version" in document,
        "poetry": "lock-version" in keys,
        "pdm": "lock_version" in keys,
        "pipfile": "_meta" in document,
        "uv": isinstance(document.get("version"), int) and "package" in document,
    }
    return next((kind for kind, told in tells.items() if told), None)
