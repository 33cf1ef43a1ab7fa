"""Who stands between what is here and who asks: policy and quarantine, at every way to a file.

The rules are `policy`'s, the facts come from a page or from a stored file's row; here they meet, at
one moment. Nothing is asked, and nothing is remembered but the rules in force.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import unquote

from pypicached.cache.quarantine import Quarantine
from pypicached.cache.sidecars import SIDECAR
from pypicached.errors import RefusedError
from pypicached.ledger import CachedFile
from pypicached.policy import Facts, Rules, Verdict, decide, decide_project, moment_of
from pypicached.simple.model import ProjectFile
from pypicached.simple.names import is_distribution, projects_of, surely_of, version_of


class Gate:
    """The rules in force. Single-threaded; `revision` tells what was rendered by others."""

    def __init__(
        self, rules: Rules, quarantine: Quarantine, *, now: Callable[[], float] = time.time
    ) -> None:
        self.rules = rules
        self.revision = 0
        self.quarantine = quarantine
        self._now = now

    def apply(self, rules: Rules) -> None:
        """Put other rules in force, from the next request on."""
        self.rules = rules
        self.revision += 1

    def check_name(self, project: str) -> None:
        """Raise RefusedError if nothing of a project is served, whatever its index says."""
        if self.rules.active:
            refuse(decide_project(project, self.rules), project)

    def check_project(self, index: str, project: str) -> None:
        """Raise RefusedError if nothing of an index's project is served."""
        self.quarantine.check(index, project)
        self.check_name(project)

    def check_listed(self, index: str, project: str, file: ProjectFile) -> None:
        """Raise RefusedError if a file that is on its project's page is not served."""
        facts = facts_of_listed(project, file)
        self._check_quarantine(index, facts)
        refuse(self.judge(facts), project)

    def check_stored(self, file: CachedFile) -> bool:
        """Raise RefusedError if a stored file is not served; False if only its page can tell.

        That is so of files that were kept before their pages had dates.
        """
        if not self.rules.active and not self.quarantine:
            return True  # as it mostly is, and every hit comes through here
        facts = facts_of_stored(file)
        self._check_quarantine(file.index, facts)
        verdict = self.judge(facts)
        if verdict.rule == "min_age" and file.uploaded_at is None:
            return False
        refuse(verdict, file.project)
        return True

    def _check_quarantine(self, index: str, facts: Facts) -> None:
        self.quarantine.check(index, facts.project)
        for project, _ in facts.aliases:
            self.quarantine.check(index, project)

    def judge(self, facts: Facts) -> Verdict:
        """Return what the rules say of a file now."""
        return decide(facts, self.rules, self._now())


def facts_of_listed(project: str, file: ProjectFile) -> Facts:
    """Return the facts of a file on its project's page."""
    aliases = () if is_usual(project, file) else _aliases(project, file.filename, file.url)
    return Facts(project, file.filename, moment_of(file.upload_time), aliases=aliases)


def is_usual(project: str, file: ProjectFile) -> bool:
    """Tell cheaply that a file can be taken for nothing else than what its page calls it."""
    return file.url.endswith(file.filename) and surely_of(file.filename, project)


def facts_of_stored(file: CachedFile) -> Facts:
    """Return the facts of a stored file, or of the file whose sidecar it is."""
    filename = file.filename
    if file.kind == "metadata":
        filename = filename.removesuffix(SIDECAR)
    aliases: tuple[tuple[str, str], ...] = ()
    if not (file.path.endswith(filename) and surely_of(filename, file.project)):
        aliases = _aliases(file.project, filename, file.path)
    removed = file.removed_at is not None
    return Facts(file.project, filename, file.uploaded_at, removed, aliases)


def _aliases(project: str, filename: str, url: str) -> tuple[tuple[str, str], ...]:
    """Return what a file may be taken for: by the name in its URL, and by the project in a name.

    pip goes by the URL; a file that is on a page of another project than its name tells is that
    project's to whoever downloads it.
    """
    in_url = unquote(url.partition("?")[0].rpartition("/")[2])
    names = [filename, in_url] if is_distribution(in_url) else [filename]
    found = [(project, name) for name in names[1:] if name != filename]
    for name in dict.fromkeys(names):
        if version_of(name, project) is None:
            found += [(told, name) for told in projects_of(name)[:1] if told != project]
    return tuple(dict.fromkeys(found))


def refuse(verdict: Verdict, project: str) -> None:
    """Raise RefusedError unless a verdict on a project, or a file of it, is in favour."""
    if verdict.rule is not None:
        raise RefusedError(verdict.reason, rule=verdict.rule, project=project)
