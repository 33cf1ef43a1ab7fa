"""Files that an index replaced under the same URL: what is kept of the old ones is forgotten.

Hits ask no page, so the moment to see it is when a page is brought: a file whose digest is another
one than on the page before. Its bytes stay a blob until eviction; whoever reads them is unharmed.
"""

from __future__ import annotations

import logging

from pypicached.cache.decoded import DecodedPages
from pypicached.cache.stored_files import FileKey, StoredFiles
from pypicached.ledger import Ledger, Page
from pypicached.logs import event
from pypicached.simple.model import ProjectPage
from pypicached.simple.urls import file_key

logger = logging.getLogger(__name__)


def replaced_urls(before: ProjectPage, after: ProjectPage) -> list[str]:
    """Return the URLs whose digest was one and is another. Pure.

    Queries do not count: signed ones change all the time.
    """
    known = {_plain(file.url): file.hashes.get("sha256") for file in before.files}
    return [
        file.url
        for file in after.files
        if (old := known.get(_plain(file.url))) is not None
        and (new := file.hashes.get("sha256")) is not None
        and old != new
    ]


def _plain(url: str) -> str:
    return url.partition("?")[0]


class Replaced:
    """Compares each new page with the one before it."""

    def __init__(self, ledger: Ledger, stored: StoredFiles, decoded: DecodedPages) -> None:
        self._ledger = ledger
        self._decoded = decoded
        self._stored = stored

    async def note(self, before: Page | None, index: str, page: ProjectPage) -> None:
        """Forget the rows of files that the new page says are others. Raises LedgerError."""
        if before is None or before.body is None:
            return
        known = self._decoded.get(before).page
        if known.files == page.files:
            return  # as it mostly is where an index knows no conditional requests
        for url in replaced_urls(known, page):
            path = file_key(url)
            if path is None:
                continue
            text = f"index {index} replaced a file of {page.name} under the same address"
            event(logger, logging.WARNING, text, index=index, file=path.rsplit("/", 1)[1])
            for kind in ("file", "metadata"):
                entry = await self._ledger.files.get(index, path, kind)
                if entry is not None:
                    await self._ledger.files.forget(entry)
            for key in (FileKey(index, path, "file"), FileKey(index, path, "metadata")):
                self._stored.forget(key)
