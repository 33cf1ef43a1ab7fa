"""Rows as tests of the ledger need them."""

from __future__ import annotations

import hashlib

from pypicached.ledger import CachedFile, Page


def digest_of(name: str) -> str:
    """Return the digest that stands for a name."""
    return hashlib.sha256(name.encode()).hexdigest()


def file_row(
    name: str,
    *,
    used_at: float = 1000.0,
    project: str = "alpha",
    kind: str = "file",
    size: int = 10,
) -> CachedFile:
    """Make the row of a file."""
    return CachedFile(
        index="pypi",
        path=f"files.test/{name}",
        kind=kind,
        project=project,
        filename=name,
        sha256=digest_of(name),
        size_bytes=size,
        verified=True,
        first_cached_at=used_at,
        last_used_at=used_at,
    )


def page_row(project: str, *, at: float = 1000.0, index: str = "pypi", **changes: object) -> Page:
    """Make the row of a page."""
    values: dict[str, object] = {
        "index": index,
        "project": project,
        "state": "present",
        "body": b"body",
        "etag": '"tag"',
        "last_modified": "Tue, 02 Jan 2024 03:04:05 GMT",
        "serial": 7,
        "fetched_at": at,
        "checked_at": at,
    }
    return Page(**(values | changes))  # type: ignore[arg-type]
