"""The store that a fleet shares, and all that deals with it here: one object, or none."""

from __future__ import annotations

import time
from collections.abc import Callable

from pypicached.cache.blobs import Blobs
from pypicached.cache.health import Health
from pypicached.cache.rereading import Rereading
from pypicached.cache.shared import Shared
from pypicached.cache.uploading import Uploads
from pypicached.ledger import Ledger
from pypicached.store import Bucket


class Fleet:
    """Reading (`shared`) and writing (`uploads`) of one bucket, which fails for both at once."""

    def __init__(
        self,
        bucket: Bucket,
        ledger: Ledger,
        blobs: Blobs,
        rereading: Rereading,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.bucket = bucket
        self.health = Health(now=now)
        # One that is full or read-only refuses what is put there, and gives what it has.
        self.writing = Health(meanwhile="what is kept waits for it", now=now)
        self.uploads = Uploads(
            ledger,
            blobs,
            bucket,
            self.health,
            self.writing,
            rereading,
            identity=bucket.identity,
            now=now,
        )
        self.shared = Shared(bucket, self.uploads, self.health)
