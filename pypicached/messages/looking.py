"""Answers of commands that look: status, stats, list, explain, who."""

from __future__ import annotations

import msgspec

from pypicached.messages.basic import DownloadStatus, Progress


class HostStatus(msgspec.Struct):
    """One host that an index leads to; `latency_ms` is how long its answers lately took to begin.

    `state`: ok, or failing `since` then; `asked_again_in_seconds` is the pause that it is given.
    """

    host: str
    state: str
    since: str | None = None
    last_error: str | None = None
    latency_ms: float | None = None
    asked_again_in_seconds: float | None = None


class IndexStatus(msgspec.Struct):
    """One upstream; `url` never carries a credential. `state`: ok, slow, failing or unused.

    `stale_share_24h`: of the pages that clients asked for, how many were answered stale.
    """

    name: str
    url: str
    state: str
    since: str | None = None
    last_error: str | None = None
    latency_ms: float | None = None
    stale_share_24h: float | None = None
    hosts: list[HostStatus] = []


class DiskStatus(msgspec.Struct):
    """Bytes, in disk blocks; `limit_bytes` is None where max_size is "unlimited".

    What cannot be asked is 0, and a problem of the status says why.
    """

    used_bytes: int
    limit_bytes: int | None
    free_bytes: int
    directory: str = ""
    files: int = 0
    pages: int = 0
    ledger_bytes: int = 0


class StoreStatus(msgspec.Struct):
    """The store that hosts share. `state`: ok, or failing `since` then.

    What waits is to be put there; the other figures count from the daemon's start. `damaged`: it
    had other bytes than it should. `lost`: evicted here before they were there.
    """

    bucket: str
    state: str
    since: str | None = None
    last_error: str | None = None
    waiting_files: int = 0
    waiting_bytes: int = 0
    oldest_waits_since: str | None = None
    fetched_files: int = 0
    fetched_bytes: int = 0
    uploaded_files: int = 0
    uploaded_bytes: int = 0
    damaged_files: int = 0
    lost_files: int = 0


class Failure(msgspec.Struct):
    """One of the last failures, for `status`."""

    at: str
    what: str
    reason: str


class Status(msgspec.Struct, kw_only=True):
    """`pypicached status`."""

    version: str
    uptime_seconds: float
    offline: bool = False
    listeners: list[str]
    indexes: list[IndexStatus]
    disk: DiskStatus
    hit_rate_24h: float | None
    downloads: list[DownloadStatus]
    problems: list[str]
    failures: list[Failure] = []
    pid: int = 0
    # None: there is none, or the ledger does not tell.
    store: StoreStatus | None = None


class KindStats(msgspec.Struct):
    """Counters of one kind (`page`, `file`, `metadata`) or one index over the asked period."""

    requests: int = 0
    hits: int = 0
    joins: int = 0
    misses: int = 0
    revalidated: int = 0
    stale: int = 0
    errors: int = 0
    bytes_from_cache: int = 0
    bytes_from_upstream: int = 0
    # Requests that we sent to upstreams; 0 means "served without asking anybody".
    upstream_requests: int = 0


class TopProject(msgspec.Struct):
    """One of the most used projects."""

    project: str
    requests: int
    bytes: int


class Stats(msgspec.Struct):
    """`pypicached stats`; `since` is the start of the period."""

    since: str
    kinds: dict[str, KindStats]
    indexes: dict[str, KindStats]
    top: list[TopProject]


class ProjectRow(msgspec.Struct):
    """`pypicached list`: one project with what is cached of it."""

    project: str
    files: int
    size_bytes: int
    last_used_at: str
    hits: int


class FileRow(msgspec.Struct):
    """`pypicached list PROJECT`: one cached file."""

    filename: str
    index: str
    size_bytes: int
    sha256: str
    first_cached_at: str
    last_used_at: str
    hits: int
    pinned: bool = False
    verified: bool = True
    # Since when its index lists it no more; None: it does, as far as is known.
    removed_at: str | None = None


class ExplainedFile(msgspec.Struct):
    """One file of a project, and the rule that decided.

    `rule`: a setting of `[policy]`, "quarantine", "ownership" or "offline"; None: it is served.
    `listed`: on the project's page; `served`: at its URL. `version` None: its name does not tell.
    """

    filename: str
    index: str
    version: str | None
    uploaded_at: str | None
    listed: bool
    served: bool
    cached: bool
    rule: str | None
    reason: str


class Explanation(msgspec.Struct):
    """`pypicached explain`: `index` owns the project; `refused`: why there is no page at all."""

    project: str
    index: str | None = None
    checked_at: str | None = None
    refused: str | None = None
    files: list[ExplainedFile] = []


class WhoRow(msgspec.Struct, kw_only=True):
    """What one client, with one tool, fetched of one file, or was refused, and how often.

    `version` is None where the file's name does not say. Where all of a project was refused,
    `filename` is empty.
    """

    client: str
    agent: str
    project: str
    version: str | None
    filename: str
    first_at: str
    last_at: str
    count: int
    index: str = ""


class WhoAnswer(msgspec.Struct):
    """Since when nothing is missing of what was asked; `note`: what is missing all the same."""

    complete_since: str
    note: str = ""


class WhoLine(msgspec.Struct, omit_defaults=True):
    """One line of the NDJSON answer to `GET /who`; exactly one member is set."""

    progress: Progress | None = None
    part: list[WhoRow] | None = None
    result: WhoAnswer | None = None
    error: str | None = None
