"""Which index answers for a project (PRODUCT.md section 5). Pure.

An index with `projects` owns the names that match, alone: no other index is ever asked for them.
All other names belong to the indexes without `projects`, in file order.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec


class IndexRule(msgspec.Struct, frozen=True):
    """The part of an index that decides ownership: globs on normalized names."""

    name: str
    projects: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def claims(self, project: str) -> bool:
        """Whether this index owns the name alone."""
        return _matches(project, self.projects) and not _matches(project, self.exclude)


def candidates(project: str, rules: Sequence[IndexRule]) -> list[str]:
    """Return the indexes to ask for a normalized name, in order; the first that has it owns it."""
    owners = [rule.name for rule in rules if rule.claims(project)]
    if owners:
        return owners
    return [
        rule.name for rule in rules if not rule.projects and not _matches(project, rule.exclude)
    ]


def may_answer(index: str, project: str, rules: Sequence[IndexRule]) -> bool:
    """Whether an index may answer for a normalized name at all."""
    return index in candidates(project, rules)


def _matches(project: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(project, glob) for glob in globs)
