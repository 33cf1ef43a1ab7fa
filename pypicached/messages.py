"""Typed messages of the control socket; both ends speak only these.

They are also what `--json` prints (PRODUCT.md section 3): keys may be added, none renamed. Moments
are ISO 8601 in UTC as strings. Every answer is one JSON document, but for those of long work, which
are NDJSON: `Progress` lines, perhaps parts of the answer, and then one with the answer
(`{"progress": …}`, `{"part": …}`, `{"result": …}` or `{"error": "…"}`).

| request | answer |
|---|---|
| `GET /status` | `Status` |
| `GET /stats?since_seconds=86400&top=10` | `Stats` |
| `GET /list?sort=size\\|used\\|hits` | `list[ProjectRow]` |
| `GET /list/{project}?sort=…` | `list[FileRow]`, 404 if nothing of it is cached |
| `GET /who?requirement=…&client=…&since=…&refused=1` (each may be missing) | NDJSON of `WhoLine` |
| `POST /prune` with `PruneRequest` | NDJSON of `PruneLine` |
| `POST /offline` with `OfflineRequest` | `OfflineAnswer` |
| `POST /invalidate` with `InvalidateRequest` | `InvalidateAnswer` |
| `GET /explain/{requirement}` | `Explanation`, 404 if nothing is known of the project |
| `GET /pins` | `list[PinRow]` |
| `GET /verify?project=a&project=b` (none: all) | NDJSON of `VerifyLine` |
| `POST /repair` with `RepairRequest` | the same; what is damaged is dropped |
| `POST /backup` | the bytes of a copy of the ledger, their number in `Content-Length` |
| `POST /pin`, `POST /unpin` with `PinRequest` | `PinAnswer` |

Errors are `{"error": "one sentence"}` with 400 (wrong usage), 403 (not allowed) or 404.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


def iso(moment: float) -> str:
    """Return a moment (seconds since the epoch) as ISO 8601 in UTC, to the second."""
    # Four times as fast as strftime, which shows where a million are asked for.
    return f"{datetime.fromtimestamp(int(moment), UTC).isoformat()[:19]}Z"


class ErrorAnswer(msgspec.Struct):
    """What went wrong, in one sentence."""

    error: str


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


class DownloadStatus(msgspec.Struct):
    """One running download; `size_bytes` is None while unknown."""

    filename: str
    written_bytes: int
    size_bytes: int | None
    readers: int


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
    """One file of a project; `rule` (a setting of `[policy]`, "quarantine", "offline") decided.

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


class PruneRequest(msgspec.Struct, kw_only=True):
    """Exactly one of `days` and `to_size_bytes`; `projects` limits it to these (normalized)."""

    days: float | None = None
    to_size_bytes: int | None = None
    projects: list[str] = []
    dry_run: bool = False


class PrunedFile(msgspec.Struct):
    """One file that goes, or would go."""

    project: str
    filename: str
    size_bytes: int
    last_used_at: str


class PruneAnswer(msgspec.Struct):
    """`pypicached prune`: `bytes` is what is freed on disk (blocks); `pages` counts pages.

    `failed` names what the disk did not let go; `pinned` counts the files that a pin spared.
    """

    dry_run: bool
    files: list[PrunedFile]
    pages: int
    bytes: int
    failed: list[str] = []
    pinned: int = 0


class Progress(msgspec.Struct, omit_defaults=True):
    """How far long work is; `total` is None while unknown, `bytes` what was read or written."""

    done: int
    total: int | None
    text: str = ""
    bytes: int | None = None
    # What is on its way meanwhile.
    downloads: list[DownloadStatus] = []


class PruneLine(msgspec.Struct, omit_defaults=True):
    """One line of the NDJSON answer to `POST /prune`; exactly one member is set.

    `part` are the next of the result's files, which itself has none: there may be a million.
    """

    progress: Progress | None = None
    part: list[PrunedFile] | None = None
    result: PruneAnswer | None = None
    error: str | None = None


class OfflineRequest(msgspec.Struct):
    """`pypicached offline on|off`, until the daemon's next start."""

    on: bool


class OfflineAnswer(msgspec.Struct):
    """How it is now, how it was, and how many transfers that run go on to their end."""

    offline: bool
    was_offline: bool
    downloads: int = 0


class InvalidateRequest(msgspec.Struct, kw_only=True):
    """Exactly one of `projects`, `project_list` and `everything`; `index`: of that one only."""

    projects: list[str] = []
    project_list: bool = False
    everything: bool = False
    index: str | None = None
    files: bool = False


class InvalidateAnswer(msgspec.Struct):
    """How many pages will be asked anew, which projects had none, and what `--files` removed.

    `pinned` and `failed` name the files that it did not: a pin holds them, or the disk.
    """

    pages: int
    unknown: list[str]
    files: int = 0
    bytes: int = 0
    pinned: list[str] = []
    failed: list[str] = []


class PinRow(msgspec.Struct):
    """`pypicached pin`: one rule, and what is cached of what it holds, sidecars included."""

    requirement: str
    files: int
    size_bytes: int


class PinRequest(msgspec.Struct):
    """Rules to pin or unpin, as PEP 508 spells them: a name and versions, nothing else."""

    requirements: list[str]


class PinAnswer(msgspec.Struct):
    """The rules that were asked for, each spelled in the one way that the list has it.

    `unchanged` are those that were pinned already, or (of an unpin) were not pinned.
    """

    changed: list[PinRow]
    unchanged: list[str]


class RepairRequest(msgspec.Struct):
    """Verify the files of these projects (normalized; none: all), and drop what is damaged."""

    projects: list[str] = []


class VerifyProblem(msgspec.Struct):
    """One file that is not what it was; `repaired`: dropped, so that it is fetched again.

    A blob that no file is known of has an empty project, and its digest for a name.
    """

    project: str
    filename: str
    problem: str
    repaired: bool


class VerifyAnswer(msgspec.Struct):
    """`pypicached verify`: how many blobs were read, and their bytes."""

    checked: int
    bytes: int
    problems: list[VerifyProblem]


class VerifyLine(msgspec.Struct, omit_defaults=True):
    """One line of the NDJSON answer to `verify`; exactly one member is set."""

    progress: Progress | None = None
    result: VerifyAnswer | None = None
    error: str | None = None


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
