"""Pages as the rules leave them: what is refused at its URL is not listed. Pure, in steps."""

from __future__ import annotations

import msgspec

from pypicached.cache.gate import facts_of_listed, is_usual
from pypicached.policy import NEVER, Rules, Verdict, decide, decide_project
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.steps import Steps, batches


class Filtered(msgspec.Struct, frozen=True):
    """A page as it is served. `refused`: nothing of it is, and why.

    `valid_until`: from then on (seconds since the epoch) more of it is, and before `valid_from`
    less may have been.
    """

    page: ProjectPage
    refused: Verdict | None = None
    valid_until: float = NEVER
    valid_from: float = 0.0


def filtered(page: ProjectPage, rules: Rules, now: float) -> Steps[Filtered]:
    """Return, in steps, the page without the files that the rules refuse at this moment."""
    # A quarantined page says so, and lists nothing anyway (rule 23).
    if not rules.active or page.status == "quarantined":
        return Filtered(page)
    touched = rules.touch(page.name)
    since = now if rules.min_age else 0.0
    whole = decide_project(page.name, rules)
    if not whole.allowed:
        return Filtered(page, whole)
    files: list[ProjectFile] = []
    # Of all refusals the one that ends first, or else the last: of the newest file, mostly.
    nearest = Verdict()
    for batch in batches(page.files):
        for file in batch:
            if not touched and is_usual(page.name, file):
                files.append(file)
                continue
            verdict = decide(facts_of_listed(page.name, file), rules, now)
            if verdict.allowed:
                files.append(file)
                continue
            if nearest.allowed or verdict.until <= nearest.until:
                nearest = verdict
        yield
    if nearest.allowed:
        return Filtered(page, valid_from=since)
    if not files:
        return Filtered(page, nearest, nearest.until, since)
    # `versions` are rendered as those of the files (`simple.claims`).
    return Filtered(msgspec.structs.replace(page, files=files), None, nearest.until, since)
