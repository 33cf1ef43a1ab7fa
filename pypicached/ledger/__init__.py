"""The ledger: what is cached, since when, and how it is used. The only package that speaks SQL."""

from pypicached.ledger.audit import Audit
from pypicached.ledger.backup import Snapshot
from pypicached.ledger.copies import check_copy
from pypicached.ledger.files import Files as CachedFiles
from pypicached.ledger.ledger import Ledger
from pypicached.ledger.rows import AuditRow, BlobRow, CachedFile, FileName, Page, PageState
from pypicached.ledger.shared import Waiting
from pypicached.ledger.usage import Kind, Result, Usage

__all__ = [
    "Audit",
    "AuditRow",
    "BlobRow",
    "CachedFile",
    "CachedFiles",
    "FileName",
    "Kind",
    "Ledger",
    "Page",
    "PageState",
    "Result",
    "Snapshot",
    "Usage",
    "Waiting",
    "check_copy",
]
