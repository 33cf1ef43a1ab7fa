"""Requirements as rules over files: a project and, if need be, the versions of it. Pure.

What PEP 508 can say beside that (extras, markers, addresses) tells what to install where; it says
nothing about which files are meant, and is refused.
"""

from __future__ import annotations

import msgspec
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Pep508
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pypicached.errors import quote

EXAMPLE = "say e.g. flask, flask==3.* or torch>=2,<3"
# Longer than any that a person writes; bounds what one line may cost.
MAX_LENGTH = 1000


class Requirement(msgspec.Struct, frozen=True):
    """A project (normalized) and the versions of it that are meant; no specifier: all of them."""

    project: str
    versions: SpecifierSet

    def __str__(self) -> str:
        return f"{self.project}{self.versions}"

    def matches(self, project: str, version: str | None) -> bool:
        """Tell whether a file is meant, by its project and version (None: it does not say).

        Pre-releases are versions like others. What does not tell its version is meant only where
        all versions are.
        """
        if project != self.project:
            return False
        if not self.versions:
            return True
        return version is not None and self.versions.contains(version, prereleases=True)


def parse_requirement(text: str) -> Requirement:
    """Return the rule that `text` spells; ValueError with one sentence if it is none."""
    shown = quote(text, 80)
    if len(text) > MAX_LENGTH or not text.isascii() or not text.isprintable():
        raise ValueError(f"{shown} is no requirement; {EXAMPLE}")
    try:
        parsed = Pep508(text)
    except InvalidRequirement:
        raise ValueError(f"{shown} is no requirement; {EXAMPLE}") from None
    for what, found in (
        ("an address", parsed.url),
        ("extras", parsed.extras),
        ("a marker", parsed.marker),
    ):
        if found:
            raise ValueError(f"{shown} has {what}: only a name and versions count here; {EXAMPLE}")
    return Requirement(str(canonicalize_name(parsed.name)), parsed.specifier)
