"""A running fake index, and resumes that do not keep a test waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pypicached.cache import transfer
from tests.fake import FakeUpstream


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as running:
        yield running


@pytest.fixture(autouse=True)
def _quick_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "RESUME_PAUSE_SECONDS", 0.001)
