"""A fake daemon per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.daemon import FakeOperations, serving


@pytest.fixture
def operations() -> FakeOperations:
    """What the daemon answers from."""
    return FakeOperations()


@pytest.fixture
def control_socket(operations: FakeOperations) -> Iterator[Path]:
    """Return the socket of a running fake daemon."""
    with serving(operations) as path:
        yield path
