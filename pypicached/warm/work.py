"""A whole job, on one thread: every target's plan, from what a `Library` brings.

All targets begin to ask before the first is resolved, and share what is brought.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pypicached.warm.building import add_build_requirements, add_sdists
from pypicached.warm.choose import Chooser, Formats, parse_formats
from pypicached.warm.library import Library
from pypicached.warm.locked import take_locked
from pypicached.warm.plan import Item, Job, Plan
from pypicached.warm.resolve import (
    Resolved,
    look_ahead,
    read_constraints,
    read_wishes,
    resolve,
)
from pypicached.warm.stock import Stock
from pypicached.warm.targets import Target


def work_out(job: Job, library: Library) -> tuple[Plan, ...]:
    """Return a plan for every target of a job, in their order."""
    formats = parse_formats(job.only_binary, job.no_binary)
    work = [_Work(job, target, formats, library) for target in job.targets]
    for package in job.locked:
        library.expect_page(package.project)
    return tuple(one.plan() for one in work)


class _Work:
    """One target's part; making it begins to ask."""

    def __init__(self, job: Job, target: Target, formats: Formats, library: Library) -> None:
        self._job = job
        self._target = target
        chooser = Chooser(target, formats, pre=job.pre)
        self._stock = Stock(library, chooser, with_dependencies=job.with_dependencies)
        self._resolved = Resolved()
        self._roots = read_wishes(job.wishes, self._stock, self._resolved)
        self._constraints = read_constraints(job.constraints, self._stock, self._resolved)
        look_ahead(self._stock, self._roots, self._constraints)

    def plan(self) -> Plan:
        """Resolve, and take what is locked."""
        job, resolved = self._job, self._resolved
        resolve(self._stock, self._roots, self._constraints, resolved)
        take_locked(self._stock, job.locked, resolved, with_sdists=job.with_sdists)
        if job.with_sdists:
            add_sdists(self._stock, resolved)
        add_build_requirements(self._stock, resolved)
        items = _each_once(resolved.items)
        gaps = dict.fromkeys(gap for item in items for gap in self._stock.gaps(item.file.url))
        return Plan(
            self._target.name,
            tuple(items),
            tuple(dict.fromkeys(resolved.problems)),
            tuple(dict.fromkeys([*self._stock.notes, *resolved.notes])),
            tuple(gaps),
        )


def _each_once(items: Iterable[Item]) -> list[Item]:
    """Return items by project, each file once, with all who asked for it."""
    found: dict[str, Item] = {}
    for item in items:
        first = found.setdefault(item.file.url, item)
        if first is not item:
            asked = tuple(dict.fromkeys([*first.requested_by, *item.requested_by]))
            found[item.file.url] = msgspec.structs.replace(first, requested_by=asked)
    return sorted(found.values(), key=lambda item: (item.project, item.file.filename))
