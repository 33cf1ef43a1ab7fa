"""Renders the pages of one index as they are wanted; which to keep is for `pages` to decide."""

from __future__ import annotations

import time
from collections.abc import Callable

from pypicached.cache.codings import unpack
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.gate import Gate
from pypicached.cache.renderings import Rendering, Variant, build_rendering
from pypicached.ledger import Ledger, Page
from pypicached.simple.model import ProjectPage
from pypicached.store.disk import DiskPool


class Renderer:
    """Knows what an index's renderings have in common. Any number of tasks."""

    def __init__(
        self,
        index: str,
        ledger: Ledger,
        decoded: DecodedPages,
        disk: DiskPool,
        gate: Gate,
        *,
        private: bool,
        ttl: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._decoded = decoded
        self._disk = disk
        self._gate = gate
        self._now = now
        self._scope = "private" if private else "public"
        # Seconds; of renderings that are made from now on.
        self.ttl = ttl

    def keep_parsed(self, row: Page, parsed: ProjectPage) -> None:
        """Keep what the answer behind `row` was parsed into: it need not be decoded again."""
        self._decoded.put(row, parsed)

    async def check(self, row: Page) -> None:
        """Raise DamagedPageError for a row whose body is not what was stored.

        What it is decoded to is kept for the rendering that follows.
        """
        if row.body is None:
            return
        if row.project:
            self._decoded.get(row)
        else:
            await self._disk.run(unpack, row.body)  # a project list: tens of MB of names

    async def render(self, row: Page, variant: Variant) -> Rendering:
        """Render a page; its row must be "present". OfflineError if it would list nothing."""
        cached, cache_control = None, f"{self._scope}, max-age={int(self.ttl)}"
        if variant.cached is not None:
            cached = await self._ledger.files.paths_of(row.index, row.project)
            # What is listed offline is not what is there once we are online again.
            cache_control = f"{self._scope}, no-cache"
        return await build_rendering(
            self._decoded.get(row).page,
            variant,
            index=self._index,
            serial=row.serial,
            cache_control=cache_control,
            disk=self._disk,
            rules=self._gate.rules,
            now=self._now(),
            cached=cached,
        )
