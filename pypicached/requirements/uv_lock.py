"""`uv.lock`, version 1 → locked packages.

A package of such a lock does not tell when it is installed: that follows from the markers on the
ways that lead to it from the projects of the workspace (`conditions`). Markers that keep
conflicting extras apart (`extra == 'extra-…'`) count as true: both sides are taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pypicached.errors import clean
from pypicached.requirements.conditions import reach
from pypicached.requirements.documents import Document, entries, typed
from pypicached.requirements.findings import Findings
from pypicached.requirements.locking import (
    add_package,
    filename_of,
    leave_out_package,
    python_scope,
    split_hash,
)
from pypicached.requirements.markers import Condition, decide_marker
from pypicached.requirements.model import LockedFile, LockScope, Origin

_VERSION = 1
# What `uv sync` installs beside the project unless its settings say otherwise.
_DEFAULT_GROUP = "dev"
_SOURCES = {
    "git": "version control",
    "url": "an address",
    "path": "a local file",
    "directory": "a local directory",
    "editable": "a local directory",
    "virtual": "a local directory",
}
_PROJECTS = ("editable", "virtual", "directory")
# An entry of the lock, and one of its extras ("": the project alone).
_Node = tuple[int, str]


class _Edge(msgspec.Struct):
    name: str
    version: str | None = None
    source: dict[str, Any] | None = None
    marker: str | None = None
    extra: list[str] = []
    # In requirements of the manifest.
    extras: list[str] = []


class _File(msgspec.Struct):
    url: str | None = None
    path: str | None = None
    filename: str | None = None
    hash: str | None = None
    size: int | None = None


class _Package(msgspec.Struct, rename="kebab"):
    name: str
    version: str | None = None
    source: dict[str, Any] = {}
    dependencies: list[_Edge] = []
    optional_dependencies: dict[str, list[_Edge]] = {}
    dev_dependencies: dict[str, list[_Edge]] = {}
    sdist: _File | None = None
    wheels: list[_File] = []


class _Manifest(msgspec.Struct, rename="kebab"):
    members: list[str] = []
    requirements: list[_Edge] = []
    dependency_groups: dict[str, list[_Edge]] = {}


class _Head(msgspec.Struct, rename="kebab"):
    version: int
    requires_python: str | None = None
    supported_markers: list[str] = []
    manifest: _Manifest = msgspec.field(default_factory=_Manifest)


def read_uv_lock(document: Document, text: str, file: str, findings: Findings) -> None:
    """Note what a lock would install: all members of its workspace, and their group "dev"."""
    head = typed(document, _Head, Origin(file), findings)
    if head is None:
        return
    if head.version != _VERSION:
        findings.problem(Origin(file), f"version {head.version} is not known here, only {_VERSION}")
        return
    packages = list(entries(document, "package", _Package, text, file, findings))
    graph = _Graph(head.manifest, packages, findings)
    try:
        environments = [_condition(marker) for marker in head.supported_markers]
        reached = reach(graph.roots(), graph.edges_of)
    except _GraphError as error:
        findings.problem(error.origin or Origin(file), str(error))
        return
    except ValueError as error:
        findings.problem(Origin(file), str(error))
        return
    plain = tuple(e for e in environments if isinstance(e, str))
    findings.scopes.append(LockScope(Origin(file), python_scope(head.requires_python), plain))
    for (at, extra), condition in reached.items():
        if not extra and not graph.is_project(at):
            _add(*packages[at], condition, findings)


def _condition(marker: str | None) -> Condition:
    return decide_marker(marker, lambda _: True) if marker else True


class _GraphError(ValueError):
    """A dependency cannot be followed, at the package that has it."""

    def __init__(self, message: str, origin: Origin | None) -> None:
        super().__init__(message)
        self.origin = origin


class _Graph:
    """The dependencies of one lock as a graph of entries and their extras."""

    def __init__(
        self, manifest: _Manifest, packages: list[tuple[_Package, Origin]], findings: Findings
    ) -> None:
        self._manifest = manifest
        self._packages = packages
        self._findings = findings
        self._by_name: dict[str, list[int]] = {}
        for at, (package, _) in enumerate(packages):
            self._by_name.setdefault(package.name, []).append(at)
        self._conditions: dict[str, Condition] = {}

    def is_project(self, at: int) -> bool:
        """Tell whether an entry is a project that the lock was made for."""
        package = self._packages[at][0]
        if not any(kind in package.source for kind in _PROJECTS):
            return False
        return package.name in self._manifest.members or "." in package.source.values()

    def roots(self) -> Iterator[tuple[_Node, Condition]]:
        """Yield what is asked for at the top: projects, their selected extras and groups."""
        selection, known = self._findings.selection, self._findings.known_groups
        projects = [at for at in range(len(self._packages)) if self.is_project(at)]
        for at in projects:
            package, origin = self._packages[at]
            yield (at, ""), True
            self._findings.known_extras.update(package.optional_dependencies)
            for extra in package.optional_dependencies:
                if selection.has_extra(extra):
                    yield (at, extra), True
            known.update(package.dev_dependencies)
            for group, edges in package.dev_dependencies.items():
                if selection.has_group(group, by_default=group == _DEFAULT_GROUP):
                    yield from self._follow(edges, origin)
        yield from self._follow(self._manifest.requirements, None)
        known.update(self._manifest.dependency_groups)
        for group, edges in self._manifest.dependency_groups.items():
            if selection.has_group(group, by_default=group == _DEFAULT_GROUP):
                yield from self._follow(edges, None)

    def edges_of(self, node: _Node) -> Iterator[tuple[_Node, Condition]]:
        """Yield what an entry, or one of its extras, leads to."""
        at, extra = node
        package, origin = self._packages[at]
        if extra:
            yield (at, ""), True
            yield from self._follow(package.optional_dependencies.get(extra, []), origin)
        else:
            yield from self._follow(package.dependencies, origin)

    def _follow(
        self, edges: list[_Edge], origin: Origin | None
    ) -> Iterator[tuple[_Node, Condition]]:
        for edge in edges:
            targets = [at for at in self._by_name.get(edge.name, []) if self._fits(edge, at)]
            if not targets:
                raise _GraphError(f'"{clean(edge.name, 80)}" is needed and not locked', origin)
            condition = self._decided(edge.marker, origin)
            for at in targets:
                yield (at, ""), condition
                for extra in (*edge.extra, *edge.extras):
                    yield (at, extra), condition

    def _fits(self, edge: _Edge, at: int) -> bool:
        package = self._packages[at][0]
        return edge.version in {None, package.version} and edge.source in (None, package.source)

    def _decided(self, marker: str | None, origin: Origin | None) -> Condition:
        if marker is None:
            return True
        if marker not in self._conditions:
            try:
                self._conditions[marker] = _condition(marker)
            except ValueError as error:
                raise _GraphError(str(error), origin) from None
        return self._conditions[marker]


def _add(package: _Package, origin: Origin, condition: Condition, findings: Findings) -> None:
    try:
        registry = package.source.get("registry")
        listed = [*package.wheels, *([package.sdist] if package.sdist else [])]
        if registry is None:
            kind = next((words for key, words in _SOURCES.items() if key in package.source), None)
            leave_out_package(findings, origin, package.name, kind or "elsewhere", condition)
        elif "://" not in str(registry):
            leave_out_package(findings, origin, package.name, "a local directory", condition)
        else:
            files = [_file(f) for f in listed]
            add_package(findings, origin, package.name, package.version, condition, files)
    except ValueError as error:
        findings.problem(origin, f'"{clean(package.name, 80)}": {error}')


def _file(file: _File) -> LockedFile:
    hashes = split_hash(file.hash) if file.hash else {}
    return LockedFile(filename_of(file.url, file.filename, file.path), hashes, file.size)
