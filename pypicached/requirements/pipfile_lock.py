"""`Pipfile.lock` (pipfile-spec 6) → locked packages, known by their hashes alone."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pypicached.errors import clean
from pypicached.requirements.documents import Document, typed
from pypicached.requirements.findings import Findings
from pypicached.requirements.locking import (
    add_package,
    decide_by,
    leave_out_package,
    normalized,
    python_scope,
    split_hash,
)
from pypicached.requirements.markers import Condition, decide_marker
from pypicached.requirements.model import LockedFile, LockScope, Origin
from pypicached.requirements.wishes import parse_wish

_SPEC = 6
_DEFAULT = "default"
# The group of `--dev`, by the name that Pipenv gives it in the lock and by those that people type.
_DEVELOP = frozenset({"develop", "dev", "dev-packages"})
_LOCKED = re.compile(r"===?\s*([^\s,*;]+)")
_KEY = re.compile(r'\s*"([^"\\]+)": \{')


class _Requires(msgspec.Struct):
    python_version: str | None = None
    python_full_version: str | None = None


class _Meta(msgspec.Struct, rename="kebab"):
    pipfile_spec: int
    requires: _Requires = msgspec.field(default_factory=_Requires)


class _Head(msgspec.Struct):
    meta: _Meta = msgspec.field(name="_meta")


class _Package(msgspec.Struct):
    version: str = "*"
    hashes: list[str] = []
    markers: str | None = None
    extras: list[str] = []
    git: str | None = None
    hg: str | None = None
    svn: str | None = None
    path: str | None = None
    file: str | None = None


def read_pipfile_lock(document: Document, text: str, file: str, findings: Findings) -> None:
    """Note what a lock would install: its default category, and the selected ones."""
    head = typed(document, _Head, Origin(file), findings)
    if head is None:
        return
    if head.meta.pipfile_spec != _SPEC:
        reason = f"pipfile-spec {head.meta.pipfile_spec} is not known here, only {_SPEC}"
        findings.problem(Origin(file), reason)
        return
    findings.scopes.append(LockScope(Origin(file), _python(head.meta.requires)))
    lines = _lines(text)
    for category, packages in document.items():
        if category == "_meta" or not _is_selected(category, findings):
            continue
        if not isinstance(packages, dict):
            findings.problem(Origin(file), f'"{clean(category, 80)}" is no table of packages')
            continue
        for name, row in packages.items():
            origin = Origin(file, lines.get((category, name), 0))
            _read_package(name, row, origin, findings)


def _is_selected(category: str, findings: Findings) -> bool:
    names = _DEVELOP if category == "develop" else {category.lower()}
    findings.known_groups.update(names)
    return category == _DEFAULT or any(map(findings.selection.has_group, names))


def _python(requires: _Requires) -> str | None:
    """Return the versions of Python that a Pipfile demands: it resolves for these alone."""
    if requires.python_full_version:
        return python_scope(f"=={requires.python_full_version}")
    return python_scope(f"=={requires.python_version}.*") if requires.python_version else None


def _lines(text: str) -> dict[tuple[str, str], int]:
    """Return (category, project) → line, as Pipenv lays the file out."""
    found: dict[tuple[str, str], int] = {}
    category = ""
    for number, line in enumerate(text.split("\n"), start=1):
        key = _KEY.match(line)
        if key and line.startswith('    "'):
            category = key[1]
        elif key and line.startswith('        "'):
            found.setdefault((category, key[1]), number)
    return found


def _read_package(name: str, row: Any, origin: Origin, findings: Findings) -> None:
    package = typed(row, _Package, origin, findings)
    if package is None:
        return
    try:
        _add(name, package, origin, findings)
    except ValueError as error:
        findings.problem(origin, f'"{clean(name, 80)}": {error}')


def _add(name: str, package: _Package, origin: Origin, findings: Findings) -> None:
    condition: Condition = True
    if package.markers:
        condition = decide_marker(package.markers, decide_by(findings.selection))
    for source, found in (
        ("version control", package.git or package.hg or package.svn),
        ("a local path", package.path),
        ("an address", package.file),
    ):
        if found:
            leave_out_package(findings, origin, name, source, condition)
            return
    locked = _LOCKED.fullmatch(package.version)
    if locked and package.hashes:
        files = [LockedFile(hashes=split_hash(text)) for text in package.hashes]
        add_package(findings, origin, name, locked[1], condition, files)
    elif condition is not False:
        # What did not fit the machine that made the lock is in it without being locked.
        findings.wishes.append(_wish(name, package, condition, origin))
        findings.check_number(origin)


def _wish(name: str, package: _Package, condition: Condition, origin: Origin) -> Any:
    extras = f"[{','.join(package.extras)}]" if package.extras else ""
    versions = "" if package.version == "*" else package.version
    marker = f" ; {condition}" if isinstance(condition, str) else ""
    wish = parse_wish(f"{normalized(name)}{extras}{versions}{marker}", origin)
    return msgspec.structs.replace(wish, hashes=tuple(package.hashes))
