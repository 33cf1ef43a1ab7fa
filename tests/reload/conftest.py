"""Two fake indexes per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.reload.world import World, world_in


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Return the two indexes, and a directory."""
    async with world_in(tmp_path) as one:
        yield one
