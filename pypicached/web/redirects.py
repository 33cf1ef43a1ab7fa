"""Sending clients to the shared store for files that it has: `[store.s3] serve = "redirect"`.

Only large files, only what this host has verified and knows to be there, and only while the store
is well. What a client gets there it compares with the digest that the page gave it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from multidict import CIMultiDict

from pypicached.cache.fleet import Fleet
from pypicached.cache.memory import Memory
from pypicached.cache.trouble import Trouble
from pypicached.errors import LedgerError, StoreError, StoreUnavailableError

logger = logging.getLogger(__name__)

# A client that was told a signed URL has so long to begin.
SIGNED_SECONDS = 3600
# An object that was seen is not asked for again for so long: who is sent to a lost one fails.
SEEN_SECONDS = 300.0
MAX_SEEN_BYTES = 8 * 1024 * 1024
# A client waits for the look: it may as well have the file from here.
LOOK_SECONDS = 2.5
# Of a URL without a signature (rule 56 is about what it leads to).
PUBLIC_SECONDS = 600

Method = Literal["GET", "HEAD"]


class Manner(NamedTuple):
    """How clients are sent away; `public_url` has no slash at its end, None: URLs are signed."""

    status: int
    public_url: str | None


class Redirects:
    """Single-threaded; any number of requests."""

    def __init__(
        self, fleet: Fleet, manner: Manner, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.manner = manner
        self._fleet = fleet
        self._clock = clock
        self._seen: Memory[str, float] = Memory(MAX_SEEN_BYTES)
        self._trouble = Trouble(logger)

    async def headers_for(
        self, sha256: str, method: str, *, private: bool
    ) -> CIMultiDict[str] | None:
        """Return the headers of a redirect to a blob; None if it is to be sent from here."""
        if self._fleet.health.failing or not await self._is_there(sha256):
            return None
        public = self.manner.public_url
        if public is not None:
            location = f"{public}/{self._fleet.bucket.key_of(sha256)}"
            scope = "private" if private else "public"
            kept = f"{scope}, max-age={PUBLIC_SECONDS}"
        else:
            signed: Method = "HEAD" if method == "HEAD" else "GET"
            try:
                location = await self._fleet.bucket.sign(sha256, signed, SIGNED_SECONDS)
            except StoreError as error:
                self._fleet.health.failed(error)
                return None
            kept = "no-store"
        return CIMultiDict(
            {
                "Location": location,
                "Cache-Control": kept,
                "Cache-Status": 'pypicached; hit; detail="shared store"',
            }
        )

    async def _is_there(self, sha256: str) -> bool:
        at = self._seen.get(sha256)
        if at is not None and self._clock() - at < SEEN_SECONDS:
            return True
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                there = await self._fleet.uploads.confirm(sha256)
        except StoreError as error:
            self._fleet.health.failed(error)
            return False
        except TimeoutError:
            self._fleet.health.failed(StoreUnavailableError("does not answer in time"))
            return False
        except LedgerError as error:
            self._trouble.tell(f"cannot see what the shared store has: {error}")
            return False
        if there:
            self._seen.put(sha256, self._clock(), len(sha256))
        return there
