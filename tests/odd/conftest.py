"""A fake index that a test makes odd, and a daemon in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fake import FakeUpstream


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as one:
        yield one


@pytest.fixture
async def elsewhere() -> AsyncIterator[FakeUpstream]:
    """Another server, on origins of its own."""
    async with FakeUpstream() as one:
        yield one
