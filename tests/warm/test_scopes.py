"""Targets that a lock was not made for are told."""

from __future__ import annotations

import pytest

from pypicached.requirements.model import LockScope, Origin
from pypicached.warm.scopes import outside
from pypicached.warm.targets import parse_target


@pytest.mark.parametrize(
    ("requires_python", "environments", "covered"),
    [
        (None, (), True),
        (">=3.11", (), True),
        (">=3.13", (), False),
        (None, ("sys_platform == 'linux'",), True),
        (None, ("sys_platform == 'darwin'",), False),
        (None, ("sys_platform == 'darwin'", "python_version >= '3.12'"), True),
        (">=3.13", ("sys_platform == 'linux'",), False),
    ],
)
def test_scopes(requires_python: str | None, environments: tuple[str, ...], covered: bool) -> None:
    """By its Python, and by any one of its environments."""
    target = parse_target("3.12", "linux-x86_64")
    scope = LockScope(Origin("uv.lock"), requires_python, environments)
    told = outside([scope], [target])
    assert told == ([] if covered else ["uv.lock: it was not made for 3.12 linux-x86_64"])
