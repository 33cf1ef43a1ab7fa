"""`[[index]]` tables as typed indexes: each by itself, then all of them together.

Looks whether the files that an index names are there; reads none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pypicached.settings import credential_files
from pypicached.settings.document import note_unknown_index_keys
from pypicached.settings.model import Index
from pypicached.settings.netrc_file import NetrcError, find_netrc, read_netrc
from pypicached.settings.problems import Problems
from pypicached.settings.schema import DEFAULT_INDEX, INDEX, INDEX_NAME, RESERVED_NAMES, default_of
from pypicached.settings.urls import IndexUrl, is_exposed, parse_index_url
from pypicached.settings.values import BadValueError, quote

# Keys whose value is the path of a file that is read.
INDEX_FILES = ("password_file", "token_file", "ca_file", "client_cert", "client_key")


class IndexLayer(msgspec.Struct, frozen=True):
    """Where index tables came from: `source` for people, `base` for their relative paths."""

    tables: list[dict[str, object]]
    source: str
    base: Path


class IndexReader:
    """Reads the tables of one layer; gathers sources and warnings on the way. For one load."""

    def __init__(self, layer: IndexLayer, env: Mapping[str, str], problems: Problems) -> None:
        self._layer = layer
        self._env = env
        self._problems = problems
        self.sources: dict[str, str] = {}
        self.warnings: list[str] = []

    def read(self) -> tuple[Index, ...]:
        """Return the indexes in order; those with problems are left out, and noted."""
        names: set[str] = set()
        found = [
            self._read_one(table, position, names)
            for position, table in enumerate(self._layer.tables, start=1)
        ]
        return tuple(index for index in found if index is not None)

    def _read_one(self, table: dict[str, object], position: int, names: set[str]) -> Index | None:
        before = len(self._problems.found)
        name = self._problems.attempt(f"index[{position}].name", _parse_name, table, names)
        label = f"index.{name}" if name else f"index[{position}]"
        note_unknown_index_keys(table, label, self._problems)
        root = self._problems.attempt(f"{label}.url", _parse_url, table, name)
        fields = self._fields(table, label)
        if root is not None:
            self._add_credentials(fields, root, label)
        self._check_authentication(fields, label)
        self._check_certificate(fields, root, label)
        self._check_files(fields, label)
        if len(self._problems.found) > before or name is None or root is None:
            return None
        self._note_sources(table, label, root)
        if not any(fields[key] for key in ("username", "token", "token_file")):
            self._add_netrc(fields, root, label)
        index = Index(name=name, url=root.url, **fields)
        if index.authentication != "none" and is_exposed(index.url):
            self.warnings.append(f"{label}: its credentials cross the network in clear (http://)")
        if urlsplit(index.url).path == "/":
            self.warnings.append(
                f"{label}: its URL has no path; the Simple API of most indexes is under /simple/"
            )
        return index

    def _fields(self, table: dict[str, object], label: str) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key_name, key in INDEX.items():
            if key_name in table:
                dotted = f"{label}.{key_name}"
                given = table[key_name]
                if key_name in INDEX_FILES and isinstance(given, str):
                    given = credential_files.resolve(given, self._env)
                value = self._problems.attempt(dotted, key.parse, given, self._layer.base)
            else:
                value = default_of(key, self._layer.base)
            fields[key_name] = value
        return fields

    def _add_credentials(self, fields: dict[str, Any], root: IndexUrl, label: str) -> None:
        if root.username is None:
            return
        # The usual reason is a file that has both: the one in the URL is the one to remove.
        given = [name for name in ("username", "password", "password_file") if fields[name]]
        if given:
            self._problems.add(
                f"{label}.url", f"has credentials, and so has {given[0]}", "give them once"
            )
            return
        fields["username"], fields["password"] = root.username, root.password

    def _add_netrc(self, fields: dict[str, Any], root: IndexUrl, label: str) -> None:
        path = find_netrc(self._env)
        if path is None:
            return
        try:
            entry = read_netrc(path, urlsplit(root.url).hostname or "")
        except NetrcError as error:
            if str(error) not in self.warnings:
                self.warnings.append(str(error))
            return
        if entry is not None:
            fields["username"], fields["password"] = entry
            fields["netrc"] = path
            for key in ("username", "password"):
                self.sources[f"{label}.{key}"] = f"file {path}"

    def _check_authentication(self, fields: dict[str, Any], label: str) -> None:
        for kind in ("password", "token"):
            if fields[kind] and fields[f"{kind}_file"]:
                self._problems.add(
                    f"{label}.{kind}", f"there is a {kind}_file too", "give one of the two"
                )
        has_password = bool(fields["password"] or fields["password_file"])
        has_token = bool(fields["token"] or fields["token_file"])
        if has_token and (fields["username"] or has_password):
            self._problems.add(
                f"{label}.token",
                "a token (Bearer) and a username or password (Basic) exclude each other",
                "give one of the two",
            )
        elif has_password and not fields["username"]:
            self._problems.add(f"{label}.username", "is missing; there is a password")

    def _check_certificate(self, fields: dict[str, Any], root: IndexUrl | None, label: str) -> None:
        if fields["client_key"] and not fields["client_cert"]:
            self._problems.add(f"{label}.client_cert", "is missing; there is a client_key")
        if fields["client_cert"] and root is not None and not root.url.startswith("https:"):
            self._problems.add(f"{label}.client_cert", "is of no use with an http:// url")

    def _check_files(self, fields: dict[str, Any], label: str) -> None:
        for name in INDEX_FILES:
            path: Path | None = fields[name]
            if path is None:
                continue
            problem, warning = credential_files.look_at(path, self._env)
            if problem is not None:
                self._problems.add(f"{label}.{name}", *problem)
            elif warning:
                self.warnings.append(f"{label}.{name}: {warning}")

    def _note_sources(self, table: dict[str, object], label: str, root: IndexUrl) -> None:
        given = {"name", *table, *(("username", "password") if root.username else ())}
        for name in ("name", "url", *INDEX):
            self.sources[f"{label}.{name}"] = self._layer.source if name in given else "default"


def _parse_name(table: dict[str, object], names: set[str]) -> str:
    name = table.get("name")
    if name is None:
        raise BadValueError("is missing", 'say e.g. name = "pypi"')
    if not isinstance(name, str) or INDEX_NAME.fullmatch(name) is None:
        raise BadValueError(
            f"{quote(name)} is no index name: small letters, digits and hyphens, no hyphen first"
        )
    if name in RESERVED_NAMES:
        raise BadValueError(f"{quote(name)} is a path of pypicached's own", "take another name")
    if name in names:
        raise BadValueError(f"there is another index {quote(name)}", "each name stands once")
    names.add(name)
    return name


def _parse_url(table: dict[str, object], name: str | None) -> IndexUrl:
    if "url" in table:
        return parse_index_url(table["url"])
    # Only for the index called so: a private one whose url was forgotten must not ask PyPI.
    if name == DEFAULT_INDEX["name"]:
        return parse_index_url(DEFAULT_INDEX["url"])
    raise BadValueError("is missing", "give the root of its Simple API")
