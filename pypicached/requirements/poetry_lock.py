"""`poetry.lock`, lock versions 1.0 to 2.1 → locked packages.

From 2.1 on each package tells its groups and markers. Before, a lock tells neither what asked for a
package nor when it is installed: each is taken for every target.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pypicached.errors import clean
from pypicached.requirements.documents import Document, entries, typed
from pypicached.requirements.findings import Findings
from pypicached.requirements.locking import (
    add_package,
    decide_by,
    leave_out_package,
    normalized,
    python_scope,
    split_hash,
)
from pypicached.requirements.markers import Condition, any_of, decide_marker
from pypicached.requirements.model import LockedFile, LockScope, Origin

_KNOWN = ("1.0", "1.1", "2.0", "2.1")
# Poetry's name for an index that speaks the Simple API.
_INDEX = "legacy"
_SOURCES = {
    "git": "version control",
    "directory": "a local directory",
    "file": "a local file",
    "url": "an address",
}


class _File(msgspec.Struct):
    file: str
    hash: str


class _Source(msgspec.Struct):
    type: str = _INDEX


class _Package(msgspec.Struct):
    name: str
    version: str
    optional: bool = False
    # Before 2.0: "main" or "dev".
    category: str | None = None
    groups: list[str] | None = None
    markers: str | dict[str, str] | None = None
    files: list[_File] = []
    source: _Source = msgspec.field(default_factory=_Source)


class _Metadata(msgspec.Struct, rename="kebab"):
    lock_version: str
    python_versions: str | None = None
    # Before 2.0 the files of all packages are here.
    files: dict[str, list[_File]] = {}


class _Head(msgspec.Struct):
    metadata: _Metadata
    extras: dict[str, Any] = {}


def read_poetry_lock(document: Document, text: str, file: str, findings: Findings) -> None:
    """Note what a lock would install: all groups, as it does not tell which are optional."""
    head = typed(document, _Head, Origin(file), findings)
    if head is None:
        return
    version = head.metadata.lock_version
    if version not in _KNOWN:
        reason = f'lock-version "{clean(version, 40)}" is not known here, only {", ".join(_KNOWN)}'
        findings.problem(Origin(file), reason)
        return
    if version != _KNOWN[-1]:
        sentence = f"lock-version {version} does not tell when a package is installed: all are"
        findings.skip(Origin(file), f"{sentence} taken, for every target")
    findings.known_extras.update(map(str.lower, head.extras))
    python = python_scope(head.metadata.python_versions)
    findings.scopes.append(LockScope(Origin(file), python))
    for package, origin in entries(document, "package", _Package, text, file, findings):
        try:
            _add(package, origin, head.metadata.files.get(package.name, []), findings)
        except ValueError as error:
            findings.problem(origin, f'"{clean(package.name, 80)}": {error}')


def _add(package: _Package, origin: Origin, listed: list[_File], findings: Findings) -> None:
    condition = _condition(package, findings)
    if package.source.type != _INDEX:
        source = _SOURCES.get(package.source.type, "elsewhere")
        leave_out_package(findings, origin, package.name, source, condition)
        return
    files = [LockedFile(f.file, split_hash(f.hash)) for f in package.files or listed]
    add_package(findings, origin, package.name, package.version, condition, files)


def _condition(package: _Package, findings: Findings) -> Condition:
    """Return when one of the selected groups installs a package."""
    groups = package.groups or [package.category or "main"]
    conditions = [_in_group(package, group, findings) for group in groups]
    return any_of(conditions)


def _in_group(package: _Package, group: str, findings: Findings) -> Condition:
    selection = findings.selection
    if group != "main":
        name = normalized(group)
        findings.known_groups.add(name)
        if not selection.has_group(name, by_default=True):
            return False
    markers = package.markers
    marker = markers.get(group) if isinstance(markers, dict) else markers
    if marker:
        return decide_marker(marker, decide_by(selection))
    # Without a marker the lock does not tell which extras ask for it.
    return bool(selection.extras) if package.optional else True
