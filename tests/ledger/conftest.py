"""An open ledger at a fixed time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pypicached.ledger import Ledger

NOW = 1_700_000_000.0


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger.open(tmp_path / "ledger.sqlite", now=lambda: NOW) as opened:
        yield opened
