"""What the resolver is told, as the daemon has to bring it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from pypicached.simple.model import ProjectFile, ProjectPage


class Listed(msgspec.Struct, frozen=True):
    """A page as the rules leave it, and what they keep off it: file name → the rule's reason."""

    page: ProjectPage
    refused: dict[str, str] = {}


class Source(Protocol):
    """Brings what a resolver asks for; many calls run at a time, none twice for one thing.

    What cannot be had is told by errors: NotFoundError, RefusedError, and for what nobody knows
    now any other PypicachedError. A call that is cancelled leaves nothing behind.
    """

    async def page(self, project: str) -> Listed:
        """Return the page of a project (normalized) from its owner."""
        ...

    async def metadata(self, project: str, file: ProjectFile) -> bytes:
        """Return the core metadata of a wheel, verified, whether upstream has a sidecar or not."""
        ...

    async def sdist(self, project: str, file: ProjectFile) -> Path | None:
        """Bring an sdist here; return where its bytes are. They are read soon after, or not.

        None if it is not to be brought now: then what it needs counts as unknown.
        """
        ...
