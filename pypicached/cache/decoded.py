"""Decoded pages: kept for the first rendering, and for the burst of files, that follow a page.

The ledger's body says the same, but unpacking it takes as long as rendering it. Never newer than
the row that it is asked with. A bound in files, not in bytes: a file of a page takes about 1 KiB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Mapping

from pypicached.cache.renderings import decode_page
from pypicached.ledger import Page
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.urls import file_keys

# Of all pages together; the last one stays, however many it has.
MAX_FILES = 20_000


class DecodedPage:
    """What a page says, as of one fetch."""

    def __init__(self, fetched_at: float, page: ProjectPage) -> None:
        self.fetched_at = fetched_at
        self.page = page
        self._by_key: dict[str, ProjectFile] | None = None

    def __len__(self) -> int:
        return len(self.page.files)

    @property
    def by_key(self) -> Mapping[str, ProjectFile]:
        """The files by their key (`simple.urls`), worked out when first asked for."""
        if self._by_key is None:
            files = self.page.files
            keyed = zip(file_keys([file.url for file in files]), files, strict=True)
            self._by_key = {key: file for key, file in keyed if key is not None}
        return self._by_key


class DecodedPages:
    """The pages used last, of all indexes. Single-threaded."""

    def __init__(self) -> None:
        self._pages: OrderedDict[tuple[str, str], DecodedPage] = OrderedDict()
        self._held = 0

    def get(self, row: Page) -> DecodedPage:
        """Return what a row ("present") says, decoded unless it is still here."""
        key = (row.index, row.project)
        found = self._pages.get(key)
        if found is not None and found.fetched_at == row.fetched_at:
            self._pages.move_to_end(key)
            return found
        assert row.body is not None
        page = decode_page(row.body)
        if found is not None and found.fetched_at > row.fetched_at:
            return DecodedPage(row.fetched_at, page)
        return self.put(row, page)

    def newest(self, index: str, project: str) -> ProjectPage | None:
        """Return what an index's page said last, if it is still here."""
        found = self._pages.get((index, project))
        return None if found is None else found.page

    def drop(self, index: str, project: str) -> None:
        """Forget a page: its index has it no more."""
        dropped = self._pages.pop((index, project), None)
        if dropped is not None:
            self._held -= len(dropped)

    def drop_indexes(self, indexes: Container[str]) -> None:
        """Forget all pages of indexes: they are other ones now."""
        for key in [key for key in self._pages if key[0] in indexes]:
            self.drop(*key)

    def put(self, row: Page, page: ProjectPage) -> DecodedPage:
        """Keep what a row says; the least recently used go."""
        key = (row.index, row.project)
        before = self._pages.pop(key, None)
        if before is not None:
            self._held -= len(before)
        decoded = self._pages[key] = DecodedPage(row.fetched_at, page)
        self._held += len(decoded)
        while self._held > MAX_FILES and len(self._pages) > 1:
            _, dropped = self._pages.popitem(last=False)
            self._held -= len(dropped)
        return decoded
