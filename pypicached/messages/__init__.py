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
| `POST /prune/store` with `PruneStoreRequest` | NDJSON of `PruneStoreLine` |
| `POST /offline` with `OfflineRequest` | `OfflineAnswer` |
| `POST /invalidate` with `InvalidateRequest` | `InvalidateAnswer` |
| `GET /explain/{requirement}` | `Explanation`, 404 if nothing is known of the project |
| `GET /pins` | `list[PinRow]` |
| `GET /verify?project=a&project=b` (none: all) | NDJSON of `VerifyLine` |
| `POST /repair` with `RepairRequest` | the same; what is damaged is dropped |
| `POST /reload` | `ReloadAnswer` |
| `POST /backup` | the bytes of a copy of the ledger, their number in `Content-Length` |
| `POST /pin`, `POST /unpin` with `PinRequest` | `PinAnswer` |

Errors are `{"error": "one sentence"}` with 400 (wrong usage), 403 (not allowed) or 404.
"""

from pypicached.messages.basic import DownloadStatus, ErrorAnswer, Progress, iso
from pypicached.messages.changing import (
    ConfigProblem,
    InvalidateAnswer,
    InvalidateRequest,
    OfflineAnswer,
    OfflineRequest,
    PinAnswer,
    PinRequest,
    PinRow,
    PruneAnswer,
    PrunedFile,
    PruneLine,
    PruneRequest,
    PruneStoreAnswer,
    PruneStoreLine,
    PruneStoreRequest,
    ReloadAnswer,
    ReloadedKey,
    RepairRequest,
    VerifyAnswer,
    VerifyLine,
    VerifyProblem,
)
from pypicached.messages.looking import (
    DiskStatus,
    ExplainedFile,
    Explanation,
    Failure,
    FileRow,
    HostStatus,
    IndexStatus,
    KindStats,
    ProjectRow,
    Stats,
    Status,
    StoreStatus,
    TopProject,
    WhoAnswer,
    WhoLine,
    WhoRow,
)

__all__ = [
    "ConfigProblem",
    "DiskStatus",
    "DownloadStatus",
    "ErrorAnswer",
    "ExplainedFile",
    "Explanation",
    "Failure",
    "FileRow",
    "HostStatus",
    "IndexStatus",
    "InvalidateAnswer",
    "InvalidateRequest",
    "KindStats",
    "OfflineAnswer",
    "OfflineRequest",
    "PinAnswer",
    "PinRequest",
    "PinRow",
    "Progress",
    "ProjectRow",
    "PruneAnswer",
    "PruneLine",
    "PruneRequest",
    "PruneStoreAnswer",
    "PruneStoreLine",
    "PruneStoreRequest",
    "PrunedFile",
    "ReloadAnswer",
    "ReloadedKey",
    "RepairRequest",
    "Stats",
    "Status",
    "StoreStatus",
    "TopProject",
    "VerifyAnswer",
    "VerifyLine",
    "VerifyProblem",
    "WhoAnswer",
    "WhoLine",
    "WhoRow",
    "iso",
]
