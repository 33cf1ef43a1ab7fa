"""Decoded pages: what is kept, how much of it, and never an older page for a newer one."""

from __future__ import annotations

import pytest

from pypicached.cache import decoded
from pypicached.cache.codings import pack
from pypicached.cache.decoded import DecodedPages
from pypicached.cache.renderings import encode_page
from pypicached.ledger import Page
from pypicached.simple.model import ProjectFile, ProjectPage


def parsed(project: str, files: int) -> ProjectPage:
    """Return a page of that many files."""
    names = [f"{project}-{number}.zip" for number in range(files)]
    return ProjectPage(
        name=project,
        files=[ProjectFile(filename=name, url=f"https://h/x/{name}") for name in names],
    )


def row_of(page: ProjectPage, fetched_at: float = 1.0) -> Page:
    """Return the ledger's row of a page."""
    return Page(
        index="pypi",
        project=page.name,
        state="present",
        body=pack(encode_page(page)),
        etag=None,
        last_modified=None,
        serial=None,
        fetched_at=fetched_at,
        checked_at=fetched_at,
    )


def test_decoded__once_while_it_is_kept() -> None:
    """What was parsed, or decoded before, is not decoded again."""
    pages = DecodedPages()
    put, unpacked = parsed("one", 2), parsed("two", 2)
    pages.put(row_of(put), put)
    assert pages.get(row_of(put)).page is put
    first = pages.get(row_of(unpacked)).page
    assert first == unpacked
    assert pages.get(row_of(unpacked)).page is first


def test_decoded__by_key() -> None:
    """Files are found by the key of their URL."""
    page = parsed("one", 2)
    keyed = DecodedPages().get(row_of(page)).by_key
    assert list(keyed) == ["h/x/one-0.zip", "h/x/one-1.zip"]
    assert list(keyed.values()) == page.files


def test_decoded__page_of_another_fetch() -> None:
    """A row is told as it is; what an older one says does not stay for a newer one."""
    pages = DecodedPages()
    old, new = parsed("one", 1), parsed("one", 2)
    pages.put(row_of(new, 2.0), new)
    assert pages.get(row_of(old, 1.0)).page == old
    assert pages.get(row_of(new, 2.0)).page is new
    newest = parsed("one", 3)
    assert pages.get(row_of(newest, 3.0)).page == newest


def test_decoded__bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently used pages go, by files; one page stays however many it has."""
    monkeypatch.setattr(decoded, "MAX_FILES", 5)
    pages = DecodedPages()
    kept = {name: parsed(name, 2) for name in ("one", "two")}
    for page in kept.values():
        pages.put(row_of(page), page)
    assert pages.get(row_of(kept["one"])).page is kept["one"]
    pages.put(row_of(parsed("three", 2)), parsed("three", 2))
    assert pages.get(row_of(kept["one"])).page is kept["one"]
    assert pages.get(row_of(kept["two"])).page is not kept["two"]
    huge = parsed("huge", 9)
    pages.put(row_of(huge), huge)
    assert pages.get(row_of(huge)).page is huge
    assert pages.get(row_of(kept["one"])).page is not kept["one"]
