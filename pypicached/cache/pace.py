"""The pace of work that has time: it rests as long as it worked, so that traffic goes on beside it.

Half a disk thread and half a core at most are taken by each work that keeps it.
"""

from __future__ import annotations

import asyncio

# Of the time that was worked.
REST = 1.0
# Work before a rest; shorter ones would cost more in waking than they give.
WORK_SECONDS = 0.02


class Pace:
    """Rests as long as there was work, or `times` as long. One work's own."""

    def __init__(self, times: float = 1.0) -> None:
        self._times = times
        self._worked = 0.0

    async def worked(self, seconds: float) -> None:
        """Count work, and rest when it is time."""
        self._worked += seconds
        if self._worked >= WORK_SECONDS:
            await asyncio.sleep(self._worked * REST * self._times)
            self._worked = 0.0
