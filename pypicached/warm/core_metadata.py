"""Core metadata (METADATA, PKG-INFO) as a resolver needs it. Pure.

Read as pip reads it: leniently, but what it says must be usable.
"""

from __future__ import annotations

from email.parser import HeaderParser

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pypicached.errors import PypicachedError, clean
from pypicached.warm.bounded import read_requirement, read_version

# PEP 643: from this version on, what `Dynamic` does not name is the same in every wheel.
STATIC_SINCE = (2, 2)


class MetadataError(PypicachedError):
    """It is not the metadata of the file, or cannot be read; the message is a phrase of ours.

    `of_version`: other files of the version will be no better (as pip has it).
    """

    def __init__(self, reason: str, *, of_version: bool = False) -> None:
        super().__init__(reason)
        self.of_version = of_version


class UnknownDependenciesError(MetadataError):
    """An sdist whose dependencies are known only once it is built (PEP 643)."""


class CoreMetadata(msgspec.Struct, frozen=True, eq=False):
    """What a distribution is and needs; `requires` are in the order of the file."""

    name: str
    version: Version
    requires_python: str | None
    requires: tuple[Requirement, ...]
    # Normalized names of the extras that it declares.
    extras: frozenset[str]


def parse_metadata(body: bytes) -> CoreMetadata:
    """Return the metadata in `body`; MetadataError if it cannot be used."""
    headers = HeaderParser().parsestr(body.decode("utf-8", "replace"))
    version = read_version(headers.get("Version"))
    if version is None:
        raise MetadataError("its metadata has no valid version")
    try:
        texts = headers.get_all("Requires-Dist", [])
        requires = tuple(read_requirement(text.strip()) for text in texts)
    except InvalidRequirement as error:
        reason = f"its metadata is invalid: {clean(_first_line(error), 120)}"
        raise MetadataError(reason, of_version=True) from None
    return CoreMetadata(
        str(canonicalize_name(headers.get("Name", ""))),
        version,
        headers.get("Requires-Python"),
        requires,
        frozenset(str(canonicalize_name(e)) for e in headers.get_all("Provides-Extra", [])),
    )


def parse_pkg_info(body: bytes) -> CoreMetadata:
    """Return what an sdist's PKG-INFO says for certain.

    Raises UnknownDependenciesError if a build may change its dependencies, MetadataError.
    """
    headers = HeaderParser().parsestr(body.decode("utf-8", "replace"))
    dynamic = {name.strip().lower() for name in headers.get_all("Dynamic", [])}
    if _metadata_version(headers.get("Metadata-Version", "")) < STATIC_SINCE:
        raise UnknownDependenciesError("its metadata is of before 2.2, and may change in a build")
    if dynamic & {"requires-dist", "provides-extra"}:
        raise UnknownDependenciesError("its dependencies are made in a build")
    return parse_metadata(body)


def _metadata_version(text: str) -> tuple[int, ...]:
    parts = text.strip().split(".")
    return tuple(int(part) for part in parts) if all(p.isdecimal() for p in parts) else (0,)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["it does not parse"])[0]
