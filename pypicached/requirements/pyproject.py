"""`pyproject.toml` → wishes: dependencies (PEP 621), groups (PEP 735), [build-system] (PEP 518).

Extras and groups count where they are selected. A project that requires its own extras means what
these list, not a release of itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from packaging.requirements import Requirement

from pypicached.errors import clean
from pypicached.requirements.documents import parse_toml, typed
from pypicached.requirements.findings import Findings, Read
from pypicached.requirements.locking import normalized
from pypicached.requirements.model import Origin, Wish
from pypicached.requirements.wishes import NotOnIndexError, parse_wish

_NAMED = "pyproject.toml"


class _Project(msgspec.Struct, rename="kebab"):
    name: str = ""
    dependencies: list[str] = []
    optional_dependencies: dict[str, list[str]] = {}
    dynamic: list[str] = []


class _Build(msgspec.Struct):
    requires: list[str] = []


class _Document(msgspec.Struct, rename="kebab"):
    project: _Project | None = None
    build_system: _Build = msgspec.field(default_factory=_Build)
    dependency_groups: dict[str, list[str | dict[str, Any]]] = {}
    tool: dict[str, Any] = {}


def is_pyproject(file: str) -> bool:
    """Tell whether a file is named like one of these."""
    return Path(file).name == _NAMED


def read_pyproject(file: str, read: Read, findings: Findings) -> None:
    """Note what a project asks for, with the selected extras and groups."""
    text = findings.read(read, Path(file), Origin(file))
    document = parse_toml(text, file, findings) if text is not None else None
    parsed = typed(document, _Document, Origin(file), findings) if document is not None else None
    if text is not None and parsed is not None:
        _Reader(parsed, text, file, findings).read()


class _Reader:
    """Reads one parsed file into findings."""

    def __init__(self, document: _Document, text: str, file: str, findings: Findings) -> None:
        self._document = document
        self._project = document.project or _Project()
        self._file = file
        self._findings = findings
        self._lines = _lines(text)
        self._extras = self._by_name(self._project.optional_dependencies)
        self._groups = self._by_name(document.dependency_groups)
        self._extras_read: set[tuple[str, str]] = set()

    def read(self) -> None:
        self._say_what_is_missing()
        self._requirements(self._project.dependencies, self._findings.wishes, "")
        selection = self._findings.selection
        self._findings.known_extras.update(self._extras)
        for name in self._extras:
            if selection.has_extra(name):
                self._extra(name, "", 0)
        self._findings.known_groups.update(self._groups)
        for name in self._groups:
            if selection.has_group(name):
                self._requirements(self._group(name, ()), self._findings.wishes, "")
        self._requirements(self._document.build_system.requires, self._findings.build, "")

    def _say_what_is_missing(self) -> None:
        here = Origin(self._file)
        for field in ("dependencies", "optional-dependencies"):
            if field in self._project.dynamic:
                reason = f"{field} are dynamic: only building the project tells them, not this file"
                self._findings.leave_out(here, reason)
        if self._document.project is None and "poetry" in self._document.tool:
            reason = "the dependencies under [tool.poetry] are not read: name poetry.lock (--lock)"
            self._findings.leave_out(here, reason)

    def _by_name(self, tables: dict[str, Any]) -> dict[str, Any]:
        """Return tables by normalized names, which must differ (PEP 685, PEP 735)."""
        found: dict[str, Any] = {}
        for name, rows in tables.items():
            try:
                key = normalized(name)
            except ValueError as error:
                self._findings.problem(self._origin(name), str(error))
                continue
            if key in found:
                reason = f'"{clean(name, 80)}" comes twice, in two spellings'
                self._findings.problem(self._origin(name), reason)
            found[key] = rows
        return found

    def _origin(self, text: str) -> Origin:
        return Origin(self._file, self._lines.get(text, 0))

    def _requirements(self, texts: Any, into: list[Wish], marker: str, depth: int = 0) -> None:
        for text in texts:
            origin = self._origin(text)
            try:
                wish = parse_wish(text, origin)
                own = self._own_extras(wish)
            except NotOnIndexError as error:
                self._findings.leave_out(origin, str(error))
            except ValueError as error:
                self._findings.problem(origin, str(error))
            else:
                wish = _under(wish, marker)
                if own is None:
                    into.append(wish)
                    self._findings.check_number(origin)
                for name in own or ():
                    self._extra(name, wish.text.partition("; ")[2], depth + 1)

    def _own_extras(self, wish: Wish) -> list[str] | None:
        """Return the extras of the project itself that a wish is for; None if it is for another."""
        parsed = Requirement(wish.text)
        if not self._project.name or parsed.name != normalized(self._project.name):
            return None
        unknown = sorted(parsed.extras - self._extras.keys())
        if unknown:
            raise ValueError(f'the project has no extra "{clean(unknown[0], 80)}"')
        return sorted(parsed.extras)

    def _extra(self, name: str, marker: str, depth: int) -> None:
        # Extras may name one another in a circle, each time under one more marker.
        if (name, marker) in self._extras_read or depth > len(self._extras):
            return
        self._extras_read.add((name, marker))
        self._requirements(self._extras[name], self._findings.wishes, marker, depth)

    def _group(self, name: str, around: tuple[str, ...]) -> Iterator[str]:
        """Yield the requirements of a group and of those that it includes (PEP 735)."""
        for row in self._groups[name]:
            if isinstance(row, str):
                yield row
                continue
            try:
                included = self._included(row, (*around, name))
            except ValueError as error:
                self._findings.problem(self._origin(name), f'group "{clean(name, 80)}": {error}')
            else:
                yield from self._group(included, (*around, name))

    def _included(self, row: dict[str, Any], around: tuple[str, ...]) -> str:
        """Return the group that an entry includes; ValueError if it cannot be."""
        name = row.get("include-group")
        if len(row) != 1 or not isinstance(name, str):
            raise ValueError("an entry is neither a requirement nor { include-group = … }")
        included = normalized(name)
        if included not in self._groups:
            raise ValueError(f'there is no group "{clean(included, 80)}"')
        if included in around:
            raise ValueError(f'it includes itself by way of "{clean(included, 80)}"')
        return included


def _under(wish: Wish, marker: str) -> Wish:
    if not marker:
        return wish
    head, _, own = wish.text.partition("; ")
    both = f"({own}) and ({marker})" if own else marker
    return parse_wish(f"{head} ; {both}", wish.origin)


def _lines(text: str) -> dict[str, int]:
    """Return what stands alone on a line as a string or key → that line, the first one."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.partition(" = [")[0].strip().rstrip(",")
        if bare[:1] in {'"', "'"} and bare[-1:] == bare[:1]:
            bare = bare[1:-1]
        found.setdefault(bare, number)
    return found
