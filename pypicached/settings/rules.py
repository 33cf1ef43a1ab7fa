"""Lists of rules over projects, as settings have them: globs on names, and requirements. Pure."""

from __future__ import annotations

import re
from pathlib import Path

from pypicached.requirement import EXAMPLE, Requirement, parse_requirement
from pypicached.settings.values import BadValueError, each, quote


def parse_globs(value: object, _base: Path) -> tuple[str, ...]:
    """Accept a list of project names with `*` and `?`; they are normalized (PEP 503)."""
    return each(value, _glob)


def _glob(text: str) -> str:
    glob = re.sub(r"[-_.]+", "-", text).lower()
    if re.fullmatch(r"[a-z0-9*?-]+", glob) is None:
        raise BadValueError(
            f"{quote(text)} is no project name, nor one with * and ?", 'say e.g. "acme-*"'
        )
    return glob


def parse_requirements(value: object, _base: Path) -> tuple[Requirement, ...]:
    """Accept a list of requirements: a project, and if need be versions of it."""
    return each(value, _requirement)


def _requirement(text: str) -> Requirement:
    try:
        return parse_requirement(text)
    except ValueError as error:
        raise BadValueError(str(error).rpartition("; ")[0], EXAMPLE) from None
