"""`pdm.lock`, lock versions 4.x → locked packages.

A lock lists development groups and extras alike as groups, and does not tell them apart; without
`inherit_metadata` in its strategy it does not even tell the groups and markers of a package.
"""

from __future__ import annotations

import msgspec

from pypicached.errors import clean
from pypicached.requirements.documents import Document, entries, typed
from pypicached.requirements.findings import Findings
from pypicached.requirements.locking import (
    add_package,
    decide_by,
    filename_of,
    leave_out_package,
    normalized,
    python_scope,
    split_hash,
)
from pypicached.requirements.markers import Condition, any_of, decide_marker
from pypicached.requirements.model import LockedFile, LockScope, Origin

_DEFAULT = "default"
_INHERIT = "inherit_metadata"


class _File(msgspec.Struct):
    hash: str
    file: str | None = None
    url: str | None = None


class _Package(msgspec.Struct):
    name: str
    version: str | None = None
    groups: list[str] | None = None
    marker: str | None = None
    files: list[_File] = []
    git: str | None = None
    hg: str | None = None
    svn: str | None = None
    bzr: str | None = None
    url: str | None = None
    path: str | None = None


class _Target(msgspec.Struct):
    requires_python: str | None = None


class _Metadata(msgspec.Struct):
    lock_version: str
    groups: list[str] = []
    strategy: list[str] = []
    targets: list[_Target] = []
    # Before 4.4 the files of all packages are here, under "name version".
    files: dict[str, list[_File]] = {}


class _Head(msgspec.Struct):
    metadata: _Metadata


def read_pdm_lock(document: Document, text: str, file: str, findings: Findings) -> None:
    """Note what a lock would install: all its groups, unless some are selected."""
    head = typed(document, _Head, Origin(file), findings)
    if head is None:
        return
    metadata = head.metadata
    if metadata.lock_version.partition(".")[0] != "4":
        version = clean(metadata.lock_version, 40)
        findings.problem(Origin(file), f'lock_version "{version}" is not known here, only 4.x')
        return
    if _INHERIT not in metadata.strategy:
        reason = f'without the strategy "{_INHERIT}" it does not tell when a package is installed'
        findings.skip(Origin(file), f"{reason}: all are taken, for every target")
    pythons = {python_scope(target.requires_python) for target in metadata.targets}
    # Several targets: a version that one of them excludes may be another's.
    python = pythons.pop() if len(pythons) == 1 else None
    findings.scopes.append(LockScope(Origin(file), python))
    merged: dict[tuple[str, str | None], tuple[_Package, Origin, list[Condition]]] = {}
    for package, origin in entries(document, "package", _Package, text, file, findings):
        try:
            # A project with extras has an entry for them beside its own.
            key = normalized(package.name), package.version
            merged.setdefault(key, (package, origin, []))[2].append(_condition(package, findings))
        except ValueError as error:
            findings.problem(origin, f'"{clean(package.name, 80)}": {error}')
    for package, origin, conditions in merged.values():
        listed = metadata.files.get(f"{package.name} {package.version}", [])
        try:
            _add(package, origin, any_of(conditions), listed, findings)
        except ValueError as error:
            findings.problem(origin, f'"{clean(package.name, 80)}": {error}')


def _add(
    package: _Package,
    origin: Origin,
    condition: Condition,
    listed: list[_File],
    findings: Findings,
) -> None:
    for source, found in (
        ("version control", package.git or package.hg or package.svn or package.bzr),
        ("a local path", package.path),
        ("an address", package.url),
    ):
        if found:
            leave_out_package(findings, origin, package.name, source, condition)
            return
    files = [LockedFile(filename_of(f.url, f.file), split_hash(f.hash)) for f in package.files]
    files += [LockedFile(filename_of(f.url, f.file), split_hash(f.hash)) for f in listed]
    add_package(findings, origin, package.name, package.version, condition, files)


def _condition(package: _Package, findings: Findings) -> Condition:
    selection = findings.selection
    groups = {normalized(group) for group in package.groups or [_DEFAULT]}
    findings.known_groups.update(groups)
    findings.known_extras.update(groups)
    if _DEFAULT not in groups and not any(
        selection.has_group(group, by_default=True) or selection.has_extra(group)
        for group in groups
    ):
        return False
    return decide_marker(package.marker, decide_by(selection)) if package.marker else True
