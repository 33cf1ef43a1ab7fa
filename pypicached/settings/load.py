"""The layers laid over one another: defaults < file < environment < command line.

Every layer is checked, also where a higher one wins, and all problems are raised at once. Reads the
configuration file and looks whether the files named in it exist; changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pypicached.errors import SettingsError
from pypicached.settings import credential_files
from pypicached.settings import places as where
from pypicached.settings.addresses import find_own
from pypicached.settings.buckets import check_store
from pypicached.settings.document import Document, read_document
from pypicached.settings.environment import (
    INDEX_URL_VARIABLE,
    environment_warnings,
    read_environment,
    variable_of,
)
from pypicached.settings.indexes import IndexLayer, IndexReader
from pypicached.settings.model import (
    S3,
    Audit,
    Cache,
    Index,
    Limits,
    Policy,
    Server,
    Settings,
    Store,
)
from pypicached.settings.places import Places
from pypicached.settings.problems import Problems
from pypicached.settings.proxies import read_proxies
from pypicached.settings.schema import DEFAULT_INDEX, SECTIONS, default_of, find_key, suggest_key
from pypicached.settings.urls import IndexUrl, parse_index_url
from pypicached.settings.values import BadValueError, from_text, parse_socket_path

COMMAND_LINE = "command line"
# The one override that is no `section.key`: `--index-url`.
INDEX_URL = "index_url"
SOCKET_KEY = "server.control_socket"
_DIRECTORIES = ("CACHE_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY")
_NOBODYS = frozenset({"default", *(f"environment {name}" for name in _DIRECTORIES)})


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and for each dotted key where it came from.

    A source is "default", "file PATH", "environment VARIABLE" or "command line"; keys of an index
    are `index.NAME.KEY`. `path` is the file that was read, `digest` what it was then.
    """

    settings: Settings
    sources: dict[str, str]
    warnings: list[str]
    path: Path | None
    digest: str | None = None

    @property
    def chosen(self) -> frozenset[str]:
        """The dotted keys that somebody has set, and not only systemd by its directories."""
        return frozenset(k for k, source in self.sources.items() if source not in _NOBODYS)


def load(
    config: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    *,
    places: Places | None = None,
) -> Loaded:
    """Return the settings of this host, or raise SettingsError with everything that is wrong.

    `overrides` is the command line: dotted key → text, list or typed value, and `index_url`; None
    and empty lists are not given. `places` defaults to those of the calling user.
    """
    places = places or where.find_places(env)
    problems = Problems()
    path, document = _read_file(config, env, places, problems)
    given = {k: v for k, v in (overrides or {}).items() if v is not None and v not in ([], ())}
    layers = _Layers(env, problems)
    layers.add_defaults()
    if path is not None:
        layers.add_file(document.values, path)
    layers.add_environment(env)
    layers.add_command_line(given)
    layers.add_directories(env, places)
    reader = IndexReader(_index_layer(document, path, env, given, problems), env, problems)
    indexes = reader.read()
    _refuse_loops(indexes, layers.section("server")["listen"], problems)
    store, s3 = layers.section("store"), layers.section("store.s3")
    about_store = check_store(store, s3, env, problems)
    problems.raise_if_any()
    proxies, told = read_proxies(env)
    warnings = [*environment_warnings(env), *_replaced(document, env, given), *reader.warnings]
    warnings += _unanswered(indexes) + _shared(indexes)
    warnings += about_store + told
    settings = Settings(
        server=Server(**layers.section("server")),
        cache=Cache(**layers.section("cache")),
        indexes=indexes,
        store=Store(**store, s3=S3(**s3)),
        limits=Limits(**layers.section("limits")),
        policy=Policy(**layers.section("policy")),
        audit=Audit(**layers.section("audit")),
        proxies=proxies,
    )
    return Loaded(settings, layers.sources | reader.sources, warnings, path, document.digest)


def _read_file(
    config: Path | None, env: Mapping[str, str], places: Places, problems: Problems
) -> tuple[Path | None, Document]:
    """Return the file and what it says; one that cannot be read is a problem beside the others."""
    path = None
    try:
        path = where.find_file(config, env, places)
        if path is not None:
            return path, read_document(path, problems)
    except SettingsError as error:
        problems.found += error.problems
    return path, Document({}, None)


class _Origin(msgspec.Struct, frozen=True):
    """Where a layer's values come from; `base` is where its relative paths start."""

    source: str
    base: Path
    # Text is turned into the type that the setting has; a file says its types itself.
    is_file: bool = False


class _Layers:
    """Values by dotted key; a later layer replaces an earlier one's. For one load."""

    def __init__(self, env: Mapping[str, str], problems: Problems) -> None:
        self._env = env
        self._problems = problems
        self._values: dict[str, object] = {}
        self.sources: dict[str, str] = {}

    def section(self, name: str) -> dict[str, Any]:
        """Return the values of `[name]` by key."""
        return {key: self._values[f"{name}.{key}"] for key in SECTIONS[name]}

    def add_defaults(self) -> None:
        for name, keys in SECTIONS.items():
            for key_name, key in keys.items():
                self._set(f"{name}.{key_name}", default_of(key, Path()), "default")

    def add_file(self, values: Mapping[str, object], path: Path) -> None:
        origin = _Origin(f"file {path}", path.parent, is_file=True)
        for dotted, value in values.items():
            self._parse(dotted, value, origin)

    def add_environment(self, env: Mapping[str, str]) -> None:
        for dotted, text in read_environment(env).items():
            self._parse(dotted, text, _Origin(f"environment {variable_of(dotted)}", Path.cwd()))
        # Last, because the clients of this environment look there too.
        if path := env.get(where.SOCKET_VARIABLE):
            self._parse(
                SOCKET_KEY, path, _Origin(f"environment {where.SOCKET_VARIABLE}", Path.cwd())
            )

    def add_command_line(self, given: Mapping[str, object]) -> None:
        for dotted, value in given.items():
            if dotted != INDEX_URL:
                self._parse(dotted, value, _Origin(COMMAND_LINE, Path.cwd()))

    def add_directories(self, env: Mapping[str, str], places: Places) -> None:
        """Fill in the places that no layer named; the ledger's depends on the directory's."""
        cache = where.systemd_directory(env, "CACHE_DIRECTORY")
        source = "environment CACHE_DIRECTORY" if cache else "default"
        directory = self._fill("cache.directory", cache or places.cache, source)
        state = where.systemd_directory(env, "STATE_DIRECTORY")
        source = "environment STATE_DIRECTORY" if state else "default"
        self._fill("cache.ledger", (state or directory) / "ledger.sqlite", source)
        socket = self._fill(SOCKET_KEY, *where.default_socket(env, places))
        # A long home directory makes a default that no socket can have.
        self._problems.attempt(SOCKET_KEY, parse_socket_path, socket, Path())

    def _fill(self, dotted: str, path: Path, source: str) -> Path:
        if self._values[dotted] is None:
            self._set(dotted, path, source)
        filled = self._values[dotted]
        assert isinstance(filled, Path)
        return filled

    def _parse(self, dotted: str, value: object, origin: _Origin) -> None:
        key = find_key(dotted)
        if key is None:
            section, _, name = dotted.rpartition(".")
            self._problems.add(dotted, "unknown key", suggest_key(section, name))
            return
        try:
            if isinstance(value, str) and not origin.is_file:
                value = from_text(value, key.kind)
            if key.names_file and isinstance(value, str):
                value = credential_files.resolve(value, self._env)
            parsed = key.parse(value, origin.base)
        except BadValueError as error:
            # The file is under everyone's eyes; where else a value came from has to be said.
            told = error.message if origin.is_file else f"{error.message} ({origin.source})"
            self._problems.add(dotted, told, error.suggestion)
        else:
            self._set(dotted, parsed, origin.source)

    def _set(self, dotted: str, value: object, source: str) -> None:
        self._values[dotted] = value
        self.sources[dotted] = source


def _index_layer(
    document: Document,
    path: Path | None,
    env: Mapping[str, str],
    given: Mapping[str, object],
    problems: Problems,
) -> IndexLayer:
    """Return the index tables that win: those of one layer, never a mixture.

    The tables of a layer that loses are checked too.
    """
    layers = [IndexLayer([DEFAULT_INDEX], "default", Path())]
    if document.indexes is not None and path is not None:
        layers.append(IndexLayer(document.indexes, f"file {path}", path.parent))
    url = env.get(INDEX_URL_VARIABLE)
    if url and problems.attempt(INDEX_URL_VARIABLE, parse_index_url, url) is not None:
        layers.append(_single(url, f"environment {INDEX_URL_VARIABLE}"))
    public = given.get(INDEX_URL)
    if public is not None and problems.attempt("--index-url", _parse_public, public) is not None:
        layers.append(_single(public, COMMAND_LINE))
    for losing in layers[:-1]:
        IndexReader(losing, env, problems).read()
    return layers[-1]


def _single(url: object, source: str) -> IndexLayer:
    return IndexLayer([{"name": DEFAULT_INDEX["name"], "url": url}], source, Path.cwd())


def _parse_public(value: object) -> IndexUrl:
    """Refuse `user:password@` on a command line, which everybody can read in the process list."""
    root = parse_index_url(value)
    if root.username is not None:
        raise BadValueError(
            "everybody on this host can read a command line: no user:password@ in it",
            f"use {INDEX_URL_VARIABLE}, or `[[index]]` with password_file",
        )
    return root


def _unanswered(indexes: Sequence[Index]) -> list[str]:
    """Say so when no index answers for names that none of them claims."""
    if not all(index.projects for index in indexes):
        return []
    return [
        "every [[index]] has `projects`: other names are not found; add an index without, for "
        'example name = "pypi" alone for PyPI'
    ]


def _shared(indexes: Sequence[Index]) -> list[str]:
    """Say so when two indexes own the same names: then the order of the file decides."""
    owners: dict[str, list[str]] = {}
    for index in indexes:
        for glob in index.projects:
            owners.setdefault(glob, []).append(index.name)
    return [
        f'projects = "{glob}" stands at the indexes {", ".join(names)}: they are asked in this '
        "order, and the first that has a project owns it"
        for glob, names in owners.items()
        if len(names) > 1
    ]


def _refuse_loops(indexes: Sequence[Index], listen: Sequence[str], problems: Problems) -> None:
    """Note each index that is this daemon itself, which would ask itself for every page."""
    for index in indexes:
        if address := find_own(index.url, listen):
            problems.add(
                f"index.{index.name}.url",
                f"leads to this very daemon, which listens on {address}",
                "give the index that is to be cached",
            )


def _replaced(document: Document, env: Mapping[str, str], given: Mapping[str, object]) -> list[str]:
    """Say so when one URL takes the place of the file's indexes, and of their ownership rules."""
    if document.indexes is None or not (env.get(INDEX_URL_VARIABLE) or INDEX_URL in given):
        return []
    by = "--index-url" if INDEX_URL in given else INDEX_URL_VARIABLE
    return [f"{by} replaces every [[index]] of the configuration file"]
