"""Which targets a lock says nothing about: it was made for other Pythons or platforms. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet

from pypicached.requirements.model import LockScope
from pypicached.warm.targets import Target


def outside(scopes: Iterable[LockScope], targets: Sequence[Target]) -> list[str]:
    """Return a sentence for each lock and target that do not go together."""
    return [
        f"{scope.origin}: it was not made for {target.name}"
        for scope in scopes
        for target in targets
        if not _covers(scope, target)
    ]


def _covers(scope: LockScope, target: Target) -> bool:
    if scope.requires_python is not None:
        allowed = SpecifierSet(scope.requires_python)
        if not allowed.contains(target.version, prereleases=True):
            return False
    environment = dict(target.environment)
    return not scope.environments or any(
        Marker(marker).evaluate(environment) for marker in scope.environments
    )
