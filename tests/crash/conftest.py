"""An index in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fake.threaded import ThreadedFakeUpstream


@pytest.fixture
def upstream() -> Iterator[ThreadedFakeUpstream]:
    with ThreadedFakeUpstream() as running:
        yield running
