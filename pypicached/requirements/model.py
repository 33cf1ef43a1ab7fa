"""What requirement, project and lock files ask for, whatever their format. Types alone.

They go over the control socket as JSON: the command line reads the files, the daemon gets these.
"""

from __future__ import annotations

import msgspec

# In `only_binary`, `no_binary` and a `Selection`: every name there is.
ALL = ":all:"


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where something was asked for: a file as the user wrote it ("": the command line).

    `line` counts from 1; 0 where it is not known.
    """

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        name = "".join(c if c.isprintable() else "?" for c in self.file) or "command line"
        return f"{name}:{self.line}" if self.line else name


class Wish(msgspec.Struct, frozen=True, omit_defaults=True):
    """One requirement: PEP 508 without an address, its names normalized.

    `hashes` are those of `--hash`, as `sha256:<hex>`; a file must have one of them, if any.
    """

    text: str
    origin: Origin = Origin()
    hashes: tuple[str, ...] = ()


class LockedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file that a lock names; `Pipfile.lock` knows hashes alone.

    `hashes`: algorithm → lower-case hex, of which each must fit.
    """

    filename: str | None = None
    hashes: dict[str, str] = {}
    size: int | None = None


class LockedPackage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One project at one version in a lock; `files` are all that its lock allows.

    `marker` (PEP 508, without extras and groups: those are decided) tells for which targets it is
    installed; None: for all. A project may come more than once, under other markers or versions.
    """

    project: str
    version: str | None
    files: tuple[LockedFile, ...]
    origin: Origin
    marker: str | None = None


class LockScope(msgspec.Struct, frozen=True, omit_defaults=True):
    """The targets that one lock was made for: of others it says nothing.

    `requires_python` is a specifier set (PEP 440); a target must also fit one of `environments`
    (markers), if there are any.
    """

    origin: Origin
    requires_python: str | None = None
    environments: tuple[str, ...] = ()


class Selection(msgspec.Struct, frozen=True):
    """Which optional parts of projects and locks are meant; names are normalized, or `ALL`.

    No `groups` (None): what the file's own tool installs when it is told nothing; where a lock does
    not tell, more rather than less.
    """

    extras: frozenset[str] = frozenset()
    groups: frozenset[str] | None = None

    def has_extra(self, name: str) -> bool:
        """Tell whether an extra (normalized) is meant."""
        return name in self.extras or ALL in self.extras

    def has_group(self, name: str, *, by_default: bool = False) -> bool:
        """Tell whether a group (normalized) is meant, which its tool installs by default or not."""
        if self.groups is None:
            return by_default
        return name in self.groups or ALL in self.groups


class Inputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that was asked for.

    `wishes` and `build` are resolved apart, as building happens in an environment of its own.
    """

    wishes: tuple[Wish, ...] = ()
    constraints: tuple[Wish, ...] = ()
    # [build-system] requires of projects (PEP 518).
    build: tuple[Wish, ...] = ()
    locked: tuple[LockedPackage, ...] = ()
    scopes: tuple[LockScope, ...] = ()
    # Normalized names or `ALL`, as pip combines its options.
    only_binary: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    prefer_binary: bool = False
    pre: bool = False
    # Sentences. Options that are none of our business, and what was decided for want of better.
    skipped: tuple[str, ...] = ()
    # Sentences. What would be installed but is on no index: the cache cannot have it.
    left_out: tuple[str, ...] = ()
