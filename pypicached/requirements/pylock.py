"""`pylock.toml` (PEP 751) → locked packages."""

from __future__ import annotations

from typing import Any

import msgspec

from pypicached.errors import clean
from pypicached.requirements.documents import Document, entries, typed
from pypicached.requirements.findings import Findings
from pypicached.requirements.locking import (
    add_package,
    checked_hashes,
    decide_by,
    filename_of,
    leave_out_package,
    normalized,
    python_scope,
)
from pypicached.requirements.markers import Condition, Decide, decide_marker
from pypicached.requirements.model import LockedFile, LockScope, Origin


class _File(msgspec.Struct):
    hashes: dict[str, str]
    name: str | None = None
    url: str | None = None
    path: str | None = None
    size: int | None = None


class _Package(msgspec.Struct):
    name: str
    version: str | None = None
    marker: str | None = None
    vcs: dict[str, Any] | None = None
    directory: dict[str, Any] | None = None
    archive: dict[str, Any] | None = None
    sdist: _File | None = None
    wheels: list[_File] = []


class _Head(msgspec.Struct, rename="kebab"):
    lock_version: str
    requires_python: str | None = None
    environments: list[str] = []
    extras: list[str] = []
    dependency_groups: list[str] = []
    default_groups: list[str] = []


def read_pylock(document: Document, text: str, file: str, findings: Findings) -> None:
    """Note what a lock would install, by its default groups unless others are selected."""
    head = typed(document, _Head, Origin(file), findings)
    if head is None or not _is_known(head.lock_version, file, findings):
        return
    findings.known_extras.update(map(str.lower, head.extras))
    findings.known_groups.update(map(str.lower, head.dependency_groups))
    try:
        defaults = frozenset(map(normalized, head.default_groups))
        environments = [decide_marker(marker, lambda _: True) for marker in head.environments]
    except ValueError as error:
        findings.problem(Origin(file), str(error))
        return
    plain = tuple(e for e in environments if isinstance(e, str)) if True not in environments else ()
    findings.scopes.append(LockScope(Origin(file), python_scope(head.requires_python), plain))
    decide = decide_by(findings.selection, defaults)
    for package, origin in entries(document, "packages", _Package, text, file, findings):
        try:
            _add(package, origin, decide, findings)
        except ValueError as error:
            findings.problem(origin, f'"{clean(package.name, 80)}": {error}')


def _is_known(version: str, file: str, findings: Findings) -> bool:
    """PEP 751: an unknown major version is an error, an unknown minor one worth a warning."""
    major, _, minor = version.partition(".")
    if major != "1":
        reason = f'lock-version "{clean(version, 40)}" is not known here, only 1.0'
        findings.problem(Origin(file), reason)
    elif minor not in {"", "0"}:
        findings.skip(Origin(file), f'lock-version "{clean(version, 40)}" is read as 1.0')
    return major == "1"


def _add(package: _Package, origin: Origin, decide: Decide, findings: Findings) -> None:
    condition: Condition = True
    if package.marker is not None:
        condition = decide_marker(package.marker, decide)
    elsewhere = {
        "version control": package.vcs,
        "a local directory": package.directory,
        "an address": package.archive,
    }
    for source, found in elsewhere.items():
        if found is not None:
            leave_out_package(findings, origin, package.name, source, condition)
            return
    listed = [*package.wheels, *([package.sdist] if package.sdist else [])]
    files = [
        LockedFile(filename_of(f.url, f.name, f.path), checked_hashes(f.hashes), f.size)
        for f in listed
    ]
    add_package(findings, origin, package.name, package.version, condition, files)
