"""Where bytes live: content-addressed blobs, and the spool files that become blobs."""

from pypicached.store.examination import Examination, Identity, identify_open
from pypicached.store.local import LocalStore
from pypicached.store.protocol import BlobStream, Store, StoredBlob
from pypicached.store.spool import Spool

__all__ = [
    "BlobStream",
    "Examination",
    "Identity",
    "LocalStore",
    "Spool",
    "Store",
    "StoredBlob",
    "identify_open",
]
