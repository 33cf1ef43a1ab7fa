"""What all lock formats share: names, hashes, files, and which groups and extras are meant.

Errors here are ValueErrors with a reason in words; the reader of a format says where.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name

from pypicached.errors import clean
from pypicached.requirements.findings import Findings
from pypicached.requirements.markers import Comparison, Condition, Decide
from pypicached.requirements.model import LockedFile, LockedPackage, Origin, Selection
from pypicached.requirements.wishes import ARCHIVES, not_on_index

_HASH = re.compile(r"([a-z0-9_]{2,20})[:=]([0-9A-Fa-f]{16,256})")


def normalized(name: str) -> str:
    """Return the normalized form of a name of a project, extra or group (PEP 503)."""
    try:
        return str(canonicalize_name(name, validate=True))
    except InvalidName:
        raise ValueError(f'"{clean(name, 80)}" is no name') from None


def split_hash(text: str) -> dict[str, str]:
    """Return `algorithm:hex` as a table of one hash."""
    found = _HASH.fullmatch(text)
    if found is None:
        raise ValueError(f'"{clean(text, 40)}" is no hash')
    return {found[1]: found[2].lower()}


def checked_hashes(hashes: dict[str, str]) -> dict[str, str]:
    """Return a table of hashes in lower case."""
    table: dict[str, str] = {}
    for algorithm, digest in hashes.items():
        table |= split_hash(f"{algorithm}:{digest}")
    return table


def filename_of(*places: str | None) -> str:
    """Return the file name that a URL, a name or a path ends with, by that order of trust.

    An address comes first where it ends with the name of an archive: uv normalizes the names that
    it writes into pylock.toml, and an index lists them as they are.
    """
    names = [name for name in map(_last_part, places) if name and name.isprintable()]
    if not names:
        raise ValueError("a file has neither a name nor an address that ends with one")
    return next((name for name in names if name.lower().endswith(ARCHIVES)), names[0])


def _last_part(place: str | None) -> str:
    if place is None or "://" not in place:
        path = place or ""
    else:
        try:
            path = unquote(urlsplit(place).path)
        except ValueError:
            return ""
    return path.replace("\\", "/").rpartition("/")[2]


def decide_by(selection: Selection, default_groups: frozenset[str] = frozenset()) -> Decide:
    """Return what decides comparisons of markers with extras and groups."""

    def decide(comparison: Comparison) -> bool:
        name = normalized(comparison.value)
        if comparison.variable == "dependency_groups":
            found = selection.has_group(name, by_default=name in default_groups)
        else:
            found = selection.has_extra(name)
        return found is comparison.present

    return decide


def add_package(
    findings: Findings,
    origin: Origin,
    name: str,
    version: str | None,
    condition: Condition,
    files: list[LockedFile],
) -> None:
    """Note a locked package, unless it is for no target."""
    if condition is False:
        return
    if not files:
        raise ValueError("no file of it is listed that an index could have")
    marker = None if condition is True else condition
    package = LockedPackage(normalized(name), version, tuple(files), origin, marker)
    findings.locked.append(package)
    findings.check_number(origin)


def leave_out_package(
    findings: Findings, origin: Origin, name: str, source: str, condition: Condition = True
) -> None:
    """Tell of a locked package that comes from elsewhere, unless it is for no target."""
    if condition is not False:
        what = f'"{clean(name, 80)}", which comes from {source},'
        findings.leave_out(origin, str(not_on_index(what)))


def python_scope(text: str | None) -> str | None:
    """Return a specifier set of Python versions, normalized; None for one of another grammar.

    Some tools write their own grammar into their locks (`^3.9`, `*`); that bounds nothing here.
    """
    try:
        return str(SpecifierSet(text or "")) or None
    except (InvalidSpecifier, ValueError):
        return None
