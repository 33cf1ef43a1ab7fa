"""A process that dies in the middle: `python -m tests.cache.crashing ROOT ACTION STEP`.

It keeps or removes one blob and ends by `os._exit`, as by SIGKILL, right before STEP.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pypicached.store import local
from pypicached.store.spool import Spool
from tests.cache.building import Cache, building, content_of, make_file

NAME, SIZE = "p-1", 50_000
# In the order of a commit; before the last one everything is done.
KEEP = ("write", "cut", "fsync", "rename", "fsync directory", "row", "end")
REMOVE = ("forget row", "delete blob", "end")
DIED = 77


def die(*_args: object, **_named: object) -> Any:
    """End at once: no clean-up, no flush, no close."""
    os._exit(DIED)


def lay_mine(cache: Cache, step: str) -> None:
    """Make the process die when it gets to `step`."""
    mines: dict[str, tuple[object, str]] = {
        "write": (Spool, "write_at"),
        "cut": (os, "ftruncate"),
        "fsync": (os, "fsync"),
        "rename": (Path, "rename"),
        "fsync directory": (local, "fsync_directory"),
        "row": (cache.ledger.files, "record"),
        "forget row": (cache.ledger.files, "forget_blobs"),
        "delete blob": (cache.store, "delete"),
    }
    if step in mines:
        owner, name = mines[step]
        setattr(owner, name, die)


async def run(root: Path, action: str, step: str) -> None:
    """Do it, and die."""
    async with building(root) as cache:
        file = make_file(NAME, content_of(NAME, SIZE))
        if action == "remove":
            await cache.keep(NAME, SIZE)
        else:
            # The shard is there already, so that only the commit's own fsync is mined.
            (root / "blobs" / "sha256" / file.sha256[:2]).mkdir(exist_ok=True)
            cache.store._known_directories.add(cache.store._path(file.sha256).parent)
        lay_mine(cache, step)
        act: Callable[[], Any] = {
            "keep": lambda: cache.keep(NAME, SIZE),
            "remove": lambda: cache.blobs.remove([file.sha256]),
        }[action]
        await act()
        die()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
