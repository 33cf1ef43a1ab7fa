"""Which files of a page a target can have, and which of them pip would take first. Pure.

The order is pip's (`package_finder.CandidateEvaluator`): allowed hash, not yanked, version, wheel
by tag rank, build tag; of equals, the one further down the page. It decides nothing about
dependencies, and asks nobody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.names import raw_version, split_suffix
from pypicached.warm.bounded import read_requires_python, read_version
from pypicached.warm.targets import Target

ALL = ":all:"
# What pip unpacks (`utils/filetypes.py`); an egg or an installer is no sdist.
_SDIST_SUFFIXES = frozenset(
    {".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lzma"}
)
# Of one wheel; the most of a known project is some dozen.
MOST_TAGS = 1000
_BUILD_TAG = re.compile(r"(\d+)(.*)", re.ASCII)
# Any of these digests will do ("sha256:…"); None: whatever the file is.
Hashes = frozenset[str] | None


class Formats(NamedTuple):
    """`--only-binary` and `--no-binary`: normalized names, or ":all:"."""

    only_binary: frozenset[str] = frozenset()
    no_binary: frozenset[str] = frozenset()

    def allow(self, project: str, *, wheel: bool) -> bool:
        """Tell whether such a file of a project may be used; a name counts more than all."""
        if project in self.only_binary:
            return wheel
        if project in self.no_binary:
            return not wheel
        if ALL in self.only_binary:
            return wheel
        return not (wheel and ALL in self.no_binary)


ANY = Formats()


class Entry(NamedTuple):
    """A file that a target can have; `rank` 0 is best, and an sdist's is beyond any wheel's."""

    version: Version
    file: ProjectFile
    rank: int
    # PEP 427: the number, and the rest; empty without one.
    build: tuple[()] | tuple[int, str]
    is_wheel: bool

    def has_hash(self, hashes: Hashes) -> bool:
        """Tell whether a digest that is allowed is one of the file's."""
        return hashes is not None and any(
            f"{algorithm}:{digest}" in hashes for algorithm, digest in self.file.hashes.items()
        )


class Chooser:
    """Chooses files for one target."""

    def __init__(self, target: Target, formats: Formats = ANY, *, pre: bool = False) -> None:
        self.target = target
        self._formats = formats
        self._pre = True if pre else None
        self._ranks = {tag: rank for rank, tag in enumerate(target.tags)}
        self._rank_of = lru_cache(maxsize=4096)(self._best_rank)
        self._fits_python = lru_cache(maxsize=1024)(self._suits_python)

    def entries(self, page: ProjectPage) -> list[Entry]:
        """Return every file of a page that the target can have, in the order of the page."""
        return [entry for file in page.files if (entry := self.entry(file, page.name)) is not None]

    def entry(self, file: ProjectFile, project: str) -> Entry | None:
        """Return a file as the target has it; None if it is not for this target."""
        version = read_version(raw_version(file.filename, project))
        if version is None or not self._fits_python(file.requires_python):
            return None
        stem, suffix = split_suffix(file.filename)
        if suffix == ".whl":
            return self._wheel(file, project, version, stem.split("-"))
        if suffix not in _SDIST_SUFFIXES or not self._formats.allow(project, wheel=False):
            return None
        if not stem.endswith(f"-{raw_version(file.filename, project)}"):
            return None  # something follows the version: built for one platform
        return Entry(version, file, len(self._ranks), (), is_wheel=False)

    def named(self, filename: str, project: str) -> Entry | None:
        """Return what a file of this name would be; None if it is not for this target."""
        return self.entry(ProjectFile(filename=filename, url=filename), project)

    def passed_over(self, page: ProjectPage) -> list[str]:
        """Return why versions of a page are not for this target, a phrase per reason."""
        here = {entry.version for entry in self.entries(page)}
        yanked, python, platform = set(), set(), set()
        for file in page.files:
            if (version := read_version(raw_version(file.filename, page.name))) is None:
                continue
            if version in here:
                if file.yanked:
                    yanked.add(version)
            elif not self._fits_python(file.requires_python):
                python.add(f"{version} (Python {file.requires_python})")
            else:
                platform.add(str(version))
        listed = [
            ("yanked", map(str, sorted(yanked))),
            ("for another Python", sorted(python)),
            ("without a file for this target", sorted(platform)),
        ]
        return [f"{what}: {words}" for what, names in listed if (words := ", ".join(names))]

    def _wheel(
        self, file: ProjectFile, project: str, version: Version, parts: list[str]
    ) -> Entry | None:
        if not self._formats.allow(project, wheel=True) or len(parts) not in (5, 6):
            return None
        build: tuple[()] | tuple[int, str] = ()
        if len(parts) == 6:
            if (match := _BUILD_TAG.fullmatch(parts[2])) is None:
                return None
            build = (int(match[1]), match[2])
        rank = self._rank_of("-".join(parts[-3:]))
        return None if rank is None else Entry(version, file, rank, build, is_wheel=True)

    def applicable(
        self, entries: list[Entry], versions: SpecifierSet, hashes: Hashes = None
    ) -> list[Entry]:
        """Return what may be installed of `entries`, best first.

        Pre-releases only if `versions` names one, if there is nothing else, or if they were asked
        for (PEP 440). Yanked files only if a version is pinned and nothing else has it (PEP 592).
        With `hashes`, files with another digest only if none has an allowed one: then it is for the
        caller to say so.
        """
        wanted = {entry.version for entry in entries}
        wanted = set(versions.filter(wanted, prereleases=self._pre))
        found = [entry for entry in entries if entry.version in wanted]
        if any(entry.has_hash(hashes) for entry in found):
            found = [e for e in found if e.has_hash(hashes) or not e.file.hashes]
        found.sort(key=lambda entry: _preference(entry, hashes))
        if not (is_pinned(versions) and all(entry.file.yanked for entry in found)):
            found = [entry for entry in found if not entry.file.yanked]
        found.reverse()
        return found

    def _best_rank(self, tags: str) -> int | None:
        # PEP 425 compressed sets: in 255 characters they can spell a hundred thousand tags.
        if math.prod(part.count(".") + 1 for part in tags.split("-")) > MOST_TAGS:
            return None
        try:
            found = [self._ranks[tag] for tag in parse_tag(tags) if tag in self._ranks]
        except ValueError:  # "py36+" and the like: PyPI has some
            return None
        return min(found, default=None)

    def _suits_python(self, requires_python: str | None) -> bool:
        if requires_python is None:
            return True
        return read_requires_python(requires_python).contains(self.target.version, prereleases=True)


def _preference(entry: Entry, hashes: Hashes) -> tuple[object, ...]:
    """Return pip's sort key; greater is better."""
    return (
        entry.has_hash(hashes),
        not entry.file.yanked,
        entry.version,
        -entry.rank,
        entry.build,
    )


def best_of(entries: Iterable[Entry]) -> Entry | None:
    """Return the best of files of one version: a wheel, else an sdist."""
    ranked = sorted(entries, key=lambda entry: (-entry.rank, entry.build))
    return ranked[-1] if ranked else None


def is_pinned(versions: SpecifierSet) -> bool:
    """Tell whether `==` (but not `==1.*`) or `===` names one version."""
    return any(
        spec.operator == "===" or (spec.operator == "==" and not spec.version.endswith(".*"))
        for spec in versions
    )


def both(some: Hashes, others: Hashes) -> Hashes:
    """Return what two lists of allowed digests allow together."""
    if some is None or others is None:
        return others if some is None else some
    return some & others


def parse_formats(only_binary: Collection[str], no_binary: Collection[str]) -> Formats:
    """Return formats of names as people write them."""
    return Formats(frozenset(map(_listed, only_binary)), frozenset(map(_listed, no_binary)))


def _listed(name: str) -> str:
    return name if name == ALL else str(canonicalize_name(name))
