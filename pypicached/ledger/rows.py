"""What the ledger gives back: plain rows, typed."""

from __future__ import annotations

from typing import Literal

import msgspec

PageState = Literal["present", "absent", "removed"]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A stored page. `body` is compressed canonical form, None unless `state` is "present".

    "absent": upstream said 404 and we never had it. "removed": upstream said 404 after we had it,
    or, with `checked_at` 0, we no longer have it and upstream has yet to be asked.
    """

    index: str
    project: str
    state: PageState
    body: bytes | None
    etag: str | None
    last_modified: str | None
    serial: int | None
    # PEP 792 project status, None if upstream said none.
    status: str | None = None
    fetched_at: float
    checked_at: float


class CachedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A cached file of an index. `kind` is "file" or "metadata"; `sha256` is lower-case hex."""

    index: str
    path: str
    kind: str
    project: str
    filename: str
    sha256: str
    size_bytes: int
    verified: bool
    first_cached_at: float
    last_used_at: float
    hits: int = 0
    # When its index took it in, as its page said; None if it did not.
    uploaded_at: float | None = None
    # Since when its page lists it no more; None: it does, as far as is known.
    removed_at: float | None = None


class FileName(msgspec.Struct, frozen=True):
    """What a blob is called: as in `CachedFile`."""

    project: str
    filename: str
    kind: str


class BlobRow(msgspec.Struct, frozen=True):
    """A stored blob as eviction sees it; `disk_bytes` are blocks, not length."""

    sha256: str
    size_bytes: int
    disk_bytes: int
    last_used_at: float


class AuditRow(msgspec.Struct, frozen=True):
    """What one client, with one tool, fetched of one file or was refused; `client` as people write.

    `client` is "unix" of a Unix socket. `filename` is empty where a whole project was refused.
    """

    client: str
    agent: str
    index: str
    project: str
    filename: str
    first_at: float
    last_at: float
    count: int
