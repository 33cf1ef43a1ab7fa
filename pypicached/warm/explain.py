"""Why something cannot be had, in pip's words: who requires what. Pure.

After `Factory.get_installation_error` of pip 26.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packaging.version import Version

from pypicached.errors import clean
from pypicached.warm.candidates import Candidate, NeedsPython, Specified
from pypicached.warm.library import NoPageError
from pypicached.warm.plan import ProblemKind
from pypicached.warm.provider import Constraint, Information
from pypicached.warm.stock import Stock

# Of a line: what metadata says may be long, and is a stranger's.
MOST_CHARACTERS = 500


def explain(
    causes: Sequence[Information], constraints: Mapping[str, Constraint], stock: Stock
) -> tuple[ProblemKind, str]:
    """Return what kind of failure `causes` are, and the words for it.

    Raises UnavailableError where that cannot be told.
    """
    kind, words = _explain(causes, constraints, stock)
    return kind, "\n".join(clean(line, MOST_CHARACTERS) for line in words.splitlines())


def _explain(
    causes: Sequence[Information], constraints: Mapping[str, Constraint], stock: Stock
) -> tuple[ProblemKind, str]:
    pythons = [
        info
        for info in causes
        if isinstance(info.requirement, NeedsPython)
        and not info.requirement.is_met_by(stock.python)
    ]
    if pythons:
        return "conflict", _python(pythons, stock)
    if len(causes) == 1 and causes[0].requirement.project not in constraints:
        return _single(causes[0], stock)
    return "conflict", _conflict(causes, constraints, stock)


def _python(causes: list[Information], stock: Stock) -> str:
    lines = [f"{info.parent} requires {info.requirement}" for info in causes]
    return f"The target is {stock.python}:\n    " + "\n    ".join(sorted(set(lines)))


def _single(cause: Information, stock: Stock) -> tuple[ProblemKind, str]:
    requirement, parent = cause.requirement, cause.parent
    shown = f"{requirement} (from {parent.name})" if parent is not None else str(requirement)
    assert isinstance(requirement, Specified)
    project = requirement.project
    try:
        page = stock.library.page(project)
    except NoPageError as error:
        return error.outcome, f"{shown}: {error.reason}"
    refused = {
        entry.version: reason
        for filename, reason in stock.library.refused(project).items()
        if (entry := stock.chooser.named(filename, project)) is not None
        and requirement.versions.contains(entry.version, prereleases=True)
    }
    if refused:
        newest = max(refused)
        return "refused", f"{shown}: {project} {newest} is refused: {refused[newest]}"
    words = [f"Could not find a version that satisfies the requirement {shown}"]
    words[0] += f" (from versions: {_versions(project, stock)})"
    words += stock.chooser.passed_over(page)
    return "not-found", "; ".join(words)


def _versions(project: str, stock: Stock) -> str:
    versions: set[Version] = {
        entry.version for entry in stock.entries(project) if not entry.file.yanked
    }
    return ", ".join(str(version) for version in sorted(versions)) or "none"


def _conflict(
    causes: Sequence[Information], constraints: Mapping[str, Constraint], stock: Stock
) -> str:
    triggers = sorted({_trigger(info.requirement, info.parent) for info in causes})
    shown = triggers[0] if len(triggers) == 1 else f"{', '.join(triggers[:-1])} and {triggers[-1]}"
    lines = [
        f"Cannot install {shown} because these package versions have conflicting dependencies.",
        "The conflict is caused by:",
    ]
    for requirement, parent in causes:
        who = "The user requested" if parent is None else f"{parent} depends on"
        lines.append(f"    {who} {requirement}")
    projects = list(dict.fromkeys(info.requirement.project for info in causes))
    lines += [
        f"    The user requested (constraint) {project}{constraints[project].versions}"
        for project in projects
        if project in constraints
    ]
    lines += [
        f"    {_absence(project, stock)}"
        for project in projects
        if project != stock.python.project and not stock.entries(project)
    ]
    return "\n".join(lines)


def _absence(project: str, stock: Stock) -> str:
    try:
        stock.library.page(project)
    except NoPageError as error:
        return f"{project}: {error.reason}"
    return f"no file of {project} is for this target"


def _trigger(requirement: object, parent: Candidate | None) -> str:
    if parent is None:
        return str(requirement)
    return parent.source or f"{parent.name}=={parent.version}"
