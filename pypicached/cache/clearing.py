"""Removing the pages of where an index was before it moved, behind the traffic.

They are nobody's from the moment of the move on (`ledger.spaces`); what a stop leaves of them goes
after the next start.
"""

from __future__ import annotations

import asyncio
import logging
import time

from pypicached.cache.pace import Pace
from pypicached.cache.trouble import Trouble
from pypicached.errors import LedgerError
from pypicached.ledger import Ledger

logger = logging.getLogger(__name__)

# Others write to the ledger, too, and a page that cannot be written is not kept.
RESTS = 3.0
AGAIN_SECONDS = 60.0


class Clearing:
    """The worker. Single-threaded; `look` tells it that an index has moved."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._moved = asyncio.Event()
        self._trouble = Trouble(logger)

    def look(self) -> None:
        """Begin soon."""
        self._moved.set()

    async def run(self) -> None:
        """Clear what there is, and again whenever told to, until cancelled."""
        while True:
            self._moved.clear()
            try:
                await self.clear()
            except LedgerError as error:
                self._trouble.tell(f"cannot remove the pages of where indexes were: {error}")
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            await self._moved.wait()

    async def clear(self) -> None:
        """Remove all pages that are nobody's, at an easy pace. Raises LedgerError."""
        pace = Pace(RESTS)
        more = True
        while more:
            began = time.monotonic()
            more = await self._ledger.pages.clear_some()
            await pace.worked(time.monotonic() - began)
