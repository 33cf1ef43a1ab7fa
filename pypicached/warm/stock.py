"""The candidates of one target: made from pages and metadata, each once, and what they need.

Here it is decided what a version's metadata means for this target; which version is taken is the
resolver's. What cannot be used is passed over, and said in `notes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from pypicached.errors import clean
from pypicached.warm.candidates import (
    Base,
    Candidate,
    Exactly,
    Needed,
    NeedsPython,
    Python,
    WithExtras,
    split,
)
from pypicached.warm.choose import Chooser, Entry, Hashes
from pypicached.warm.core_metadata import CoreMetadata, MetadataError, UnknownDependenciesError
from pypicached.warm.library import Library, NoPageError

# How many older versions are asked about ahead while one after another is turned down.
MOST_AHEAD = 16
# A hundred times what a large set takes.
SECONDS = 120.0


class Stock:
    """Candidates and their needs, for one target; `with_dependencies` False: they need nothing."""

    def __init__(
        self, library: Library, chooser: Chooser, *, with_dependencies: bool = True
    ) -> None:
        self.library = library
        self.chooser = chooser
        self.python = Python(chooser.target.version)
        self.notes: dict[str, None] = {}
        # URL of a file → what else it needs that cannot be known or had.
        self._gaps: dict[str, dict[str, None]] = {}
        # Of processor time, for all searches of this target together.
        self.seconds_left = SECONDS
        self._with_dependencies = with_dependencies
        self._environment = dict(chooser.target.environment)
        self._entries: dict[str, list[Entry]] = {}
        self._bases: dict[str, Base] = {}
        self._extras: dict[tuple[int, frozenset[str]], WithExtras] = {}
        self._needs: dict[int, list[Needed]] = {}
        self._applicable = lru_cache(maxsize=4096)(self._find_applicable)
        self._holds = lru_cache(maxsize=4096)(self._evaluate)

    def entries(self, project: str) -> list[Entry]:
        """Return every file of a project that this target can have; UnavailableError."""
        if project not in self._entries:
            try:
                page = self.library.page(project)
            except NoPageError:
                self._entries[project] = []
            else:
                self._entries[project] = self.chooser.entries(page)
        return self._entries[project]

    def applicable(
        self, project: str, versions: SpecifierSet, hashes: Hashes = None
    ) -> Sequence[Entry]:
        """Return the files of a project that meet a requirement, best first; UnavailableError."""
        return self._applicable(project, versions, hashes)

    def _find_applicable(
        self, project: str, versions: SpecifierSet, hashes: Hashes
    ) -> Sequence[Entry]:
        return tuple(self.chooser.applicable(self.entries(project), versions, hashes))

    def candidates(
        self,
        project: str,
        versions: SpecifierSet,
        hashes: Hashes,
        extras: frozenset[str],
        source: str | None,
    ) -> Iterator[Candidate]:
        """Yield candidates, best first, one of each version; UnavailableError."""
        entries = self.applicable(project, versions, hashes)
        done: set[Version] = set()
        for place, entry in enumerate(entries):
            if entry.version in done:
                continue
            self._look_ahead(project, entries, place, len(done))
            try:
                base = self._base(project, entry, source)
            except MetadataError as error:
                self._note(entry, error)
                if error.of_version:
                    done.add(entry.version)
                continue
            done.add(entry.version)
            yield self.with_extras(base, extras, source) if extras else base

    def _look_ahead(
        self, project: str, entries: Sequence[Entry], place: int, turned_down: int
    ) -> None:
        ahead = min(MOST_AHEAD, 2**turned_down - 1)
        for entry in entries[place + 1 : place + 1 + ahead]:
            if entry.is_wheel:
                self.library.expect_metadata(project, entry.file)

    def _base(self, project: str, entry: Entry, source: str | None) -> Base:
        """Return the candidate of a file; MetadataError, UnavailableError."""
        url = entry.file.url
        if url not in self._bases:
            self._bases[url] = Base(project, entry, self._metadata(project, entry), source)
        return self._bases[url]

    def _metadata(self, project: str, entry: Entry) -> CoreMetadata | None:
        try:
            return self.library.metadata(project, entry.file)
        except UnknownDependenciesError as error:
            name = clean(entry.file.filename)
            self._gap(entry.file.url, f"{name}: dependencies unknown, it has to be built ({error})")
            return None

    def _note(self, entry: Entry, error: MetadataError) -> None:
        self.notes[f"{clean(entry.file.filename)} was passed over: {error}"] = None

    def with_extras(self, base: Base, extras: frozenset[str], source: str | None) -> WithExtras:
        """Return the candidate for some extras of one."""
        key = (id(base), extras)
        if key not in self._extras:
            self._extras[key] = WithExtras(base, extras, source or base.source)
        return self._extras[key]

    # ── needs ────────────────────────────────────────────────────────────────────────────────

    def needs(self, candidate: Candidate) -> list[Needed]:
        """Return what a candidate needs here."""
        if id(candidate) not in self._needs:
            self._needs[id(candidate)] = list(self._find_needs(candidate))
        return self._needs[id(candidate)]

    def _find_needs(self, candidate: Candidate) -> Iterator[Needed]:
        if isinstance(candidate, Python):
            return
        if isinstance(candidate, WithExtras):
            yield Exactly(candidate.base)
            metadata = candidate.base.metadata
        else:
            metadata = candidate.metadata
            if metadata is not None and metadata.requires_python:
                yield NeedsPython(metadata.requires_python)
        if metadata is None or not self._with_dependencies:
            return
        # Hostile metadata repeats itself a thousand times.
        for requirement in dict.fromkeys(self.required(metadata, candidate.extras)):
            if requirement.url is not None:
                base = candidate.base if isinstance(candidate, WithExtras) else candidate
                text = f"{candidate} needs {requirement.name} from an address, which no index has"
                self._gap(base.entry.file.url, text)
                continue
            yield from split(requirement, source=candidate.name)

    def gaps(self, url: str) -> Iterable[str]:
        """Return what a file needs beside what is planned, in sentences."""
        return self._gaps.get(url, ())

    def _gap(self, url: str, sentence: str) -> None:
        if self._with_dependencies:
            self._gaps.setdefault(url, {})[sentence] = None

    def required(self, metadata: CoreMetadata, extras: frozenset[str]) -> Iterator[Requirement]:
        """Yield what metadata asks for here, with those of `extras` that it declares.

        With extras these are its own requirements and theirs, but not those for no extra at all.
        """
        declared = extras & metadata.extras
        for requirement in metadata.requires:
            if requirement.marker is None or self.holds(requirement.marker, declared):
                yield requirement

    def holds(self, marker: Marker, extras: frozenset[str] = frozenset()) -> bool:
        """Tell whether a marker holds here, for one of the extras or for none."""
        return self._holds(marker, extras)

    def _evaluate(self, marker: Marker, extras: frozenset[str]) -> bool:
        try:
            return any(
                marker.evaluate({**self._environment, "extra": extra}) for extra in extras or ("",)
            )
        except (UndefinedComparison, UndefinedEnvironmentName, ValueError):
            self.notes[f"a marker that compares what cannot be: {clean(str(marker))}"] = None
            return False
