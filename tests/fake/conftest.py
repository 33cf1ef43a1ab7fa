"""A running fake index, a client that decodes nothing, and one published wheel."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.fake import (
    DistFile,
    FakeUpstream,
    make_wheel,
)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    # auto_decompress off: what counts is what is on the wire.
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=300_000)
    upstream.add("alpha", made)
    return made
