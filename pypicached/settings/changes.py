"""What differs between two settings, key by key; and what of it has to wait for a restart. Pure.

Tells keys, never values: some are secrets.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from pypicached.settings.model import Index, Settings, section_of
from pypicached.settings.schema import INDEX_KEYS, SECTIONS

T = TypeVar("T", bound=msgspec.Struct)
What = Literal["changed", "added", "removed", "reordered"]


class Change(msgspec.Struct, frozen=True):
    """One key that differs: `section.key`, `index.NAME.KEY`, `index.NAME`, or `index` (order)."""

    key: str
    what: What = "changed"


def needs_restart(change: Change) -> bool:
    """Whether a running daemon cannot take it in."""
    section, _, name = change.key.rpartition(".")
    return section in SECTIONS and SECTIONS[section][name].restart


def differences(old: Settings, new: Settings) -> list[Change]:
    """Return what differs, in the order of PRODUCT section 4."""
    found = []
    for section, keys in SECTIONS.items():
        was, is_now = section_of(old, section), section_of(new, section)
        found += [
            Change(f"{section}.{key}") for key in keys if getattr(was, key) != getattr(is_now, key)
        ]
        if section == "cache":
            found += _of_indexes(old.indexes, new.indexes)
    return found


def _of_indexes(old: tuple[Index, ...], new: tuple[Index, ...]) -> list[Change]:
    before = {index.name: index for index in old}
    now = {index.name: index for index in new}
    found = [Change(f"index.{name}", "removed") for name in before if name not in now]
    for name, index in now.items():
        if name not in before:
            found.append(Change(f"index.{name}", "added"))
            continue
        found += [
            Change(f"index.{name}.{key}")
            for key in INDEX_KEYS
            if getattr(before[name], key) != getattr(index, key)
        ]
    common = [name for name in before if name in now]
    if common != [name for name in now if name in before]:
        found.append(Change("index", "reordered"))
    return found


def without_restart(running: Settings, new: Settings) -> Settings:
    """Return `new`, but for what stays as it is in `running` until the next start."""
    for section, keys in SECTIONS.items():
        was = section_of(running, section)
        held = {name: getattr(was, name) for name, key in keys.items() if key.restart}
        new = _replaced(new, section.split("."), held)
    return new


def _replaced(struct: T, path: list[str], held: dict[str, object]) -> T:
    """Return a struct with other values in the one that is reached by these attributes."""
    if not path:
        return msgspec.structs.replace(struct, **held)
    first, *rest = path
    return msgspec.structs.replace(struct, **{first: _replaced(getattr(struct, first), rest, held)})
