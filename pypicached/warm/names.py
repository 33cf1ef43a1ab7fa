"""The targets of a request, from the names they were given. Pure."""

from __future__ import annotations

from pypicached.warm.messages import WarmRequest
from pypicached.warm.targets import Target, host_target, parse_target


def parse_targets(request: WarmRequest) -> list[Target]:
    """Return a request's targets, each once; ValueError with a sentence if one is none."""
    if not request.targets:
        return [host_target()]
    return [parse_target(one.python, one.platform) for one in dict.fromkeys(request.targets)]
