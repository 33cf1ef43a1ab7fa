"""Project names and what a distribution file name says about its project and version.

Owns the grammar of names (PEP 503, PEP 508) and the reading of file names. It must not decide
which index owns a name, and never asks anybody.
"""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.version import InvalidVersion, Version

# PEP 508 "Names"; spelled out, because IGNORECASE would let two non-ASCII letters in.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_MAX_NAME = 200
# NAME_MAX of the file systems that clients unpack to; nothing longer can be a file name.
_MAX_FILENAME = 255
_MAX_CANDIDATES = 4

# Longest first where one ends with another.
_SUFFIXES = (
    ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.lzma", ".tar.zst", ".tar.z", ".whl", ".zip", ".egg",
    ".exe", ".msi", ".tgz", ".tbz2", ".tbz", ".txz", ".tlz", ".tar", ".rpm", ".deb", ".dmg",
)  # fmt: skip
# What bdist_dumb, bdist_wininst, bdist_msi and bdist_egg put behind the version.
_PLATFORM = re.compile(
    r"[.-](?:py[0-9]|linux|macosx|darwin|win32|win-|win_|cygwin|mingw|freebsd|solaris)"
)


def normalize(name: str) -> str:
    """Return the normalized form of a valid name (PEP 503 "Normalized Names")."""
    name = name.lower().replace("_", "-").replace(".", "-")
    while "--" in name:
        name = name.replace("--", "-")
    return name


def is_valid(name: str) -> bool:
    """Tell whether `name`, all of it, is a project name (PEP 508), at most 200 characters."""
    return len(name) <= _MAX_NAME and _NAME.fullmatch(name) is not None


def split_suffix(filename: str) -> tuple[str, str]:
    """Return the name without its distribution suffix and that suffix; `("…", "")` without one."""
    lower = filename.lower()
    if lower.endswith(_SUFFIXES):
        for suffix in _SUFFIXES:
            if lower.endswith(suffix):
                return filename[: -len(suffix)], suffix
    return filename, ""


def is_distribution(filename: str) -> bool:
    """Tell whether a file name ends like a distribution file (wheel, sdist, egg, installer)."""
    return filename.endswith((".whl", ".tar.gz")) or filename.lower().endswith(_SUFFIXES)


def projects_of(filename: str) -> list[str]:
    """Return the normalized names of projects the file may belong to, most likely first.

    A wheel names its project in its first component. An sdist does not say where its name ends:
    every prefix before a `-` counts, those before something that starts like a version first.
    """
    if len(filename) > _MAX_FILENAME:
        return []
    stem, suffix = split_suffix(filename)
    if suffix == ".whl":
        parts = stem.split("-")
        if len(parts) >= 5 and parts[1][:1].isdecimal():
            return [normalize(parts[0])] if is_valid(parts[0]) else []
        stem = "-".join(parts[:-3]) or stem
    return _plausible(_prefixes(stem))


def surely_of(filename: str, project: str) -> bool:
    """Tell cheaply that `projects_of` leads from a file to a project (normalized).

    Never a wrong yes; a no only means that it has to be asked.
    """
    end = len(project)
    if filename[end : end + 1] != "-" or not filename[end + 1 : end + 2].isdecimal():
        return False
    head, dashes = filename[:end], filename.count("-")
    if filename.endswith(".whl"):
        fits = dashes >= 4 and "-" not in head
    else:
        fits = dashes < _MAX_CANDIDATES
    return fits and len(filename) <= _MAX_FILENAME and _is_spelling(head, project)


@lru_cache(maxsize=1024)
def _is_spelling(name: str, project: str) -> bool:
    """Tell whether a name is one of a project; the files of a page have one or two of them."""
    return is_valid(name) and normalize(name) == project


def _prefixes(stem: str) -> list[str]:
    """Return what may be the name in `name-version`, most likely first."""
    cuts = [i for i, character in enumerate(stem) if character == "-"]
    before_version = [i for i in reversed(cuts) if stem[i + 1 : i + 2].isdecimal()]
    others = [i for i in reversed(cuts) if not stem[i + 1 : i + 2].isdecimal()]
    return [stem[:i] for i in before_version + others] if cuts else [stem]


def _plausible(names: list[str]) -> list[str]:
    """Return the first valid names, normalized, each once."""
    unique = dict.fromkeys(normalize(name) for name in names if is_valid(name))
    return list(unique)[:_MAX_CANDIDATES]


def version_of(filename: str, project: str) -> str | None:
    """Return the normalized version (PEP 440) that the name of a file of `project` carries.

    None if the name does not say: it belongs to another project, or its version is no PEP 440 one.
    """
    raw = raw_version(filename, project)
    return None if raw is None else _pep440(raw)


def raw_version(filename: str, project: str) -> str | None:
    """Return the version as the file name spells it, without checking it; None if there is none."""
    if len(filename) > _MAX_FILENAME:
        return None
    if filename.endswith(".whl"):  # most files of large pages, and no guess is needed
        parts = filename.split("-")
        if len(parts) in (5, 6) and (parts[0] == project or _is_spelling(parts[0], project)):
            return parts[1]
    stem, suffix = split_suffix(filename)
    rest = _after_project(stem, project)
    if not suffix or not rest:
        return None
    if suffix == ".whl":
        return _wheel_version(rest)
    if suffix == ".rpm":  # {name}-{version}-{release}.{arch}
        return rest.rpartition("-")[0] or None
    platform = _PLATFORM.search(rest)
    return rest[: platform.start()] if platform else rest


def _after_project(stem: str, project: str) -> str | None:
    """Return what follows `{project}-`, however the file spells the project."""
    cut = len(project)
    if stem[cut : cut + 1] == "-" and normalize(stem[:cut]) == project:
        return stem[cut + 1 :]
    cut = stem.find("-")
    while cut > 0:
        if normalize(stem[:cut]) == project:
            return stem[cut + 1 :]
        cut = stem.find("-", cut + 1)
    return None


def _wheel_version(rest: str) -> str | None:
    """Return the version of `{version}[-{build}]-{python}-{abi}-{platform}`."""
    return rest.partition("-")[0] if rest.count("-") in (3, 4) else None


@lru_cache(maxsize=8192)
def _pep440(version: str) -> str | None:
    """Return the normalized form of a version; None if it is none (PEP 440)."""
    for spelling in (version, version.replace("_", "-")):  # wheels cannot hold a "-"
        try:
            return str(Version(spelling))
        except InvalidVersion:
            continue
    return None
