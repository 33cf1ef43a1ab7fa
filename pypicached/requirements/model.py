"""What requirement and lock files say, whatever their format; no more than `warm` needs."""

from __future__ import annotations

import msgspec


class Origin(msgspec.Struct, frozen=True):
    """Where something is written: the file as the user named it, and a line from 1."""

    file: str
    line: int


class Wish(msgspec.Struct, frozen=True):
    """One requirement (PEP 508 text); `hashes` are "sha256:…", and any of them will do."""

    text: str
    hashes: tuple[str, ...]
    origin: Origin


class LockedFile(msgspec.Struct, frozen=True):
    """One file that a lock allows; `hashes` are algorithm → lower-case hex."""

    filename: str | None
    hashes: dict[str, str]
    size: int | None = None


class LockedPackage(msgspec.Struct, frozen=True):
    """One project of a lock, its name normalized (PEP 503); `marker` is a PEP 508 marker."""

    project: str
    version: str | None
    marker: str | None
    files: tuple[LockedFile, ...]
    origin: Origin


class Inputs(msgspec.Struct, frozen=True):
    """All that was read; `only_binary` and `no_binary` hold normalized names or ":all:"."""

    wishes: tuple[Wish, ...] = ()
    constraints: tuple[Wish, ...] = ()
    locked: tuple[LockedPackage, ...] = ()
    only_binary: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    # Pre-releases count like others (pip's --pre).
    pre: bool = False
    # What was left out and why, a sentence each.
    skipped: tuple[str, ...] = ()
