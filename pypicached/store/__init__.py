"""Where bytes live: content-addressed blobs, and the spool files that become blobs."""

from pypicached.store.access import BucketAccess
from pypicached.store.bucket import Bucket, open_bucket
from pypicached.store.examination import Examination, Identity, identify_open
from pypicached.store.local import LocalStore
from pypicached.store.local_blobs import LocalBlobs
from pypicached.store.protocol import BlobStream, Store, StoredBlob
from pypicached.store.spool import Spool

__all__ = [
    "BlobStream",
    "Bucket",
    "BucketAccess",
    "Examination",
    "Identity",
    "LocalBlobs",
    "LocalStore",
    "Spool",
    "Store",
    "StoredBlob",
    "identify_open",
    "open_bucket",
]
