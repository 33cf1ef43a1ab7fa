"""Trying again within one long operation, of which all that was done so far would be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pypicached.errors import StoreUnavailableError

T = TypeVar("T")

# Seconds between tries; in all about as long as a gateway takes to be started anew.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)


async def insist(step: Callable[[], Awaitable[T]], pauses: Sequence[float]) -> T:
    """Return what `step` returns, which is tried again after each pause.

    Raises StoreUnavailableError if the last try fails so, and whatever else a try raises.
    """
    for pause in pauses:
        try:
            return await step()
        except StoreUnavailableError:
            await asyncio.sleep(pause)
    return await step()
