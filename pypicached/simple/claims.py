"""What a rendered page may honestly claim: its API version and its list of versions.

Pages are rendered from what is listed, after policy hid files, so both are worked out anew for
each rendering (CONFORMANCE.md rules 12 and 14). Nothing here knows the syntax of a format.
"""

from __future__ import annotations

from packaging.utils import canonicalize_version

from pypicached.simple.model import ProjectPage
from pypicached.simple.names import raw_version, version_of

# PEP 792. PEP 752's namespaces (1.5) are not implemented, so 1.5 is never claimed.
_NEWEST_MINOR = 4


def claimable_version(page: ProjectPage) -> str:
    """Return upstream's claim, at most 1.4."""
    minor = page.api_version.partition(".")[2]
    return f"1.{min(int(minor), _NEWEST_MINOR)}"


def listed_versions(page: ProjectPage) -> list[str] | None:
    """Return exactly the versions of the listed files, or None if they cannot be told (PEP 700).

    Upstream's spelling and order are kept; a version that it forgot comes last. They are unknown
    if upstream gave none, or if the name of one file does not say its version.
    """
    if page.versions is None:
        return None
    spelled = set(page.versions)
    comparable: dict[str, str] = {}
    found: set[str] = set()
    for file in page.files:
        version = raw_version(file.filename, page.name)
        if version is None:
            return None
        if version not in spelled:
            comparable = comparable or _comparable(page.versions)
            version = _spelling(file.filename, page.name, comparable)
            if version is None:
                return None
        found.add(version)
    ordered = [version for version in dict.fromkeys(page.versions) if version in found]
    return ordered + sorted(found.difference(ordered))


def _comparable(versions: list[str]) -> dict[str, str]:
    """Return comparable form → upstream's spelling; the first spelling of a version wins."""
    spellings: dict[str, str] = {}
    for version in versions:
        # No file name holds a longer one, and Python converts no integer of thousands of digits.
        if len(version) <= 255:
            spellings.setdefault(canonicalize_version(version), version)
    return spellings


def _spelling(filename: str, project: str, comparable: dict[str, str]) -> str | None:
    """Return a file's version as upstream's list spells it, or else as PEP 440 normalizes it."""
    version = version_of(filename, project)
    return None if version is None else comparable.get(canonicalize_version(version), version)
