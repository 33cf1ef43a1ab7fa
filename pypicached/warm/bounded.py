"""Requirements and versions as strangers write them, each read with a bound. Pure.

`packaging` reads a text of any length: a number of 5,000 digits is a plain ValueError there, and
nested parentheses end at the recursion limit. Here either is simply not valid.
"""

from __future__ import annotations

from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

# Below what `int` takes; the longest requirement of a known project has some hundred characters.
MOST_CHARACTERS = 4000


@lru_cache(maxsize=8192)
def read_requirement(text: str) -> Requirement:
    """Return a requirement (PEP 508); InvalidRequirement."""
    if len(text) > MOST_CHARACTERS:
        raise InvalidRequirement(f"it has more than {MOST_CHARACTERS} characters")
    try:
        return Requirement(text)
    except RecursionError:
        raise InvalidRequirement("its marker is nested too deeply") from None


@lru_cache(maxsize=8192)
def read_version(text: str | None) -> Version | None:
    """Return a version (PEP 440); None if it is none."""
    if text is None or len(text) > MOST_CHARACTERS:
        return None
    try:
        return Version(text)
    except InvalidVersion:
        return None


@lru_cache(maxsize=1024)
def read_requires_python(text: str) -> SpecifierSet:
    """Return a `Requires-Python`; what cannot be read excludes nobody, as pip has it."""
    if len(text) > MOST_CHARACTERS:
        return SpecifierSet()
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return SpecifierSet()
