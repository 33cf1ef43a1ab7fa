"""What is asked of the resolver, and what it answers: a job, and a plan for each of its targets."""

from __future__ import annotations

from typing import Literal

import msgspec

from pypicached.requirements.model import LockedPackage, Wish
from pypicached.simple.model import ProjectFile
from pypicached.warm.targets import Target

# not-found: no such project, or no version of it fits; refused: by a rule of ours; failed: an
# upstream or this host; conflict: not together with others; mismatch: a file is not the one that a
# hash or a lock means.
ProblemKind = Literal["not-found", "refused", "failed", "conflict", "mismatch", "unusable"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to work out; the names of `targets` differ."""

    targets: tuple[Target, ...]
    wishes: tuple[Wish, ...] = ()
    constraints: tuple[Wish, ...] = ()
    locked: tuple[LockedPackage, ...] = ()
    only_binary: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    pre: bool = False
    with_dependencies: bool = True
    # Also the sdist of what has a wheel, and what it takes to build it.
    with_sdists: bool = False


class Item(msgspec.Struct, frozen=True):
    """A file that a build would fetch; a wheel's sidecar and its project's page go with it."""

    project: str
    # As PEP 440 normalizes it.
    version: str
    file: ProjectFile
    # Who asked for it: "requirements.txt line 3", "flask 3.0.1", or for what it would be built.
    requested_by: tuple[str, ...]
    # "build": to build an sdist that is among the items.
    purpose: Literal["run", "build"] = "run"


class Problem(msgspec.Struct, frozen=True):
    """Something that was asked for and cannot be had; everything else is done all the same."""

    kind: ProblemKind
    # The requirement as written, or a locked project and version.
    what: str
    # For people; several lines where it explains a conflict.
    reason: str
    # Where it is written: "requirements.txt line 3".
    where: str


class Plan(msgspec.Struct, frozen=True):
    """What one target needs, by project; `notes` are sentences about what went by the way.

    `gaps` are sentences, too: what the items need that cannot be known, or is on no index.
    """

    target: str
    items: tuple[Item, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    gaps: tuple[str, ...] = ()
