"""Caches in front of one another: how a request that comes back is known, and who answered it.

A request names those that it has passed (`CDN-Loop`, RFC 8586), each by an id that is new with each
start. What others put there is not passed on: it is not ours to say, and a host that counts itself
would refuse.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

from multidict import MultiMapping

from pypicached.errors import LoopError

LOOP_HEADER = "CDN-Loop"
# Nobody stacks so many; a loop that changes its ids on the way ends here.
MOST_CACHES = 8

_OURS = re.compile(r"pypicached; ?id=([0-9a-f]{16})", re.ASCII)
_MOST_TOLD = 400

# The ids that the request that is being answered has passed: a flight has them of its leader.
_passed: ContextVar[tuple[str, ...]] = ContextVar("passed", default=())


class Chain:
    """This daemon as one of several caches that a request may pass."""

    def __init__(self) -> None:
        self._id = secrets.token_hex(8)

    def enter(self, told: str) -> None:
        """Begin to answer a request that says this of its way. Raises LoopError."""
        ids = tuple(_OURS.findall(told)) if told else ()
        _passed.set(ids)
        if self._id in ids:
            raise LoopError("this request comes from here: an index leads back to this very daemon")
        if len(ids) >= MOST_CACHES:
            raise LoopError(f"this request has passed {len(ids)} caches: indexes lead in a circle")

    def headers(self) -> dict[str, str]:
        """Return what a request to an index says of its way."""
        passed = (*_passed.get(), self._id)
        return {LOOP_HEADER: ", ".join(f"pypicached; id={one}" for one in passed)}


def begin_anew() -> None:
    """Go on in this task as one that no request has begun."""
    _passed.set(())


def told_by(headers: MultiMapping[str]) -> str:
    """Return what caches behind us say of an answer (RFC 9211), fit to stand before ours; or ""."""
    told = ", ".join(headers.getall("Cache-Status", ()))
    # A string that does not end would swallow what is ours.
    fit = len(told) <= _MOST_TOLD and told.isascii() and told.isprintable()
    return told if fit and "\\" not in told and told.count('"') % 2 == 0 else ""


def behind(told: str, ours: str) -> str:
    """Return a Cache-Status of all: the one closest to the client comes last (RFC 9211 §2)."""
    return f"{told}, {ours}" if told else ours
