"""A running fake index, and a daemon with default settings in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fake import FakeUpstream
from tests.harness import Clock, Running, running
from tests.network import Network


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as one:
        yield one


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def daemon(tmp_path: Path, upstream: FakeUpstream, clock: Clock) -> AsyncIterator[Running]:
    async with running(tmp_path, upstream.url, clock) as one:
        yield one


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network of the test's own, for daemons that it starts."""
    one = Network()
    one.install(monkeypatch)
    return one
