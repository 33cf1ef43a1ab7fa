"""What is served, by the operator's rules: one decision for pages, files and sidecars. Pure.

It gets facts of a file and never an index: the same file is judged alike on a page, at its URL, and
from the ledger, cached or not. What is not known is not in the file's favour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal

import msgspec

from pypicached.requirement import Requirement
from pypicached.simple.names import version_of

NEVER = float("inf")

# The setting of `[policy]` that decided.
Rule = Literal["deny", "allow", "min_age", "removed_files"]


class Facts(msgspec.Struct, frozen=True):
    """What is known of a distribution file (of a sidecar: its wheel). `uploaded_at`: seconds.

    `project` is normalized. `removed`: its index had it, and lists it no more. `aliases` are what
    else it may be taken for, as (project, filename): clients go by its URL, and by its name.
    """

    project: str
    filename: str
    uploaded_at: float | None = None
    removed: bool = False
    aliases: tuple[tuple[str, str], ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """Whether a file is served. If not: by which rule, why in words, and until when.

    `until`: from that moment on (seconds since the epoch) it would be served.
    """

    rule: Rule | None = None
    reason: str = ""
    until: float = NEVER

    @property
    def allowed(self) -> bool:
        """Whether it is served."""
        return self.rule is None


ALLOWED = Verdict()


class Rules(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """`[policy]`. `min_age` in seconds, 0 is off; `allow` empty: everything; `exempt` are globs."""

    min_age: float = 0.0
    deny: tuple[Requirement, ...] = ()
    allow: tuple[Requirement, ...] = ()
    exempt: tuple[str, ...] = ()
    refuse_removed: bool = False

    @cached_property
    def active(self) -> bool:
        """Whether any file may be refused at all."""
        return bool(self.min_age or self.deny or self.allow or self.refuse_removed)

    def denials(self, project: str) -> Iterable[Requirement]:
        """Return the `deny` rules that name a project."""
        return self._denied.get(project, ())

    def allowances(self, project: str) -> Iterable[Requirement]:
        """Return the `allow` rules that name a project."""
        return self._allowed.get(project, ())

    def ages(self, project: str) -> bool:
        """Whether files of a project have to be of age."""
        return self.min_age > 0 and not any(fnmatchcase(project, glob) for glob in self.exempt)

    def touch(self, project: str) -> bool:
        """Whether a file that is on a page of the project might be refused."""
        return bool(self.allow) or project in self._denied or self.ages(project)

    # Lists of known malware have tens of thousands of lines.
    @cached_property
    def _denied(self) -> Mapping[str, list[Requirement]]:
        return _by_project(self.deny)

    @cached_property
    def _allowed(self) -> Mapping[str, list[Requirement]]:
        return _by_project(self.allow)


def _by_project(rules: Iterable[Requirement]) -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for rule in rules:
        found.setdefault(rule.project, []).append(rule)
    return found


def decide(facts: Facts, rules: Rules, now: float) -> Verdict:
    """Judge one file at a moment. The first rule that refuses it is named."""
    if not rules.active:
        return ALLOWED
    verdict = _decide(facts, rules, now)
    for project, filename in facts.aliases if verdict.allowed else ():
        alias = Facts(project, filename, facts.uploaded_at, facts.removed)
        verdict = _decide(alias, rules, now)
        # That its own project is allowed is enough.
        if not verdict.allowed and not (verdict.rule == "allow" and project != facts.project):
            return verdict
        verdict = ALLOWED
    return verdict


def _decide(facts: Facts, rules: Rules, now: float) -> Verdict:
    refusal = _named(facts, rules)
    if refusal is not None:
        return refusal
    if facts.removed and rules.refuse_removed:
        reason = "refused by [policy] removed_files, its index lists it no more"
        return Verdict("removed_files", f"{reason}: {facts.filename}")
    return _of_age(facts, rules, now) if rules.ages(facts.project) else ALLOWED


def decide_project(project: str, rules: Rules) -> Verdict:
    """Judge a project by its name (normalized): refused if every file that it could have is."""
    for rule in rules.denials(project):
        if not rule.versions:
            return Verdict("deny", f'denied by [policy] deny "{rule}": {project}')
    if rules.allow and not rules.allowances(project):
        return Verdict("allow", f"not allowed by [policy] allow: {project}")
    return ALLOWED


def _named(facts: Facts, rules: Rules) -> Verdict | None:
    """Return what deny and allow have against a file. A version that is unknown is any version."""
    denials = rules.denials(facts.project)
    if not denials and not rules.allow:
        return None
    version = version_of(facts.filename, facts.project)
    for rule in denials:
        if version is None or rule.matches(facts.project, version):
            return Verdict("deny", f'denied by [policy] deny "{rule}": {facts.filename}')
    allowances = rules.allowances(facts.project)
    if rules.allow and not any(rule.matches(facts.project, version) for rule in allowances):
        return Verdict("allow", f"not allowed by [policy] allow: {facts.filename}")
    return None


def _of_age(facts: Facts, rules: Rules, now: float) -> Verdict:
    if facts.uploaded_at is None:
        reason = "held back by [policy] min_age, its upload time is unknown"
        return Verdict("min_age", f"{reason}: {facts.filename}")
    until = facts.uploaded_at + rules.min_age
    if now >= until:
        return ALLOWED
    reason = f"held back by [policy] min_age until {_moment(until)}"
    return Verdict("min_age", f"{reason}: {facts.filename}", until)


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "after the year 9999"


def moment_of(upload_time: str | None) -> float | None:
    """Return an upload time (PEP 700: ISO 8601) as seconds since the epoch; None if it is none.

    Without a zone it is UTC, as PEP 700 demands.
    """
    if upload_time is None:
        return None
    try:
        moment = datetime.fromisoformat(upload_time)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
