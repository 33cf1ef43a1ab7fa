"""The store that a fleet shares, and all that deals with it here: one object, or none."""

from __future__ import annotations

import time
from collections.abc import Callable

from pypicached.cache.blobs import Blobs
from pypicached.cache.health import Health
from pypicached.cache.renewing import Renewing
from pypicached.cache.rereading import Rereading
from pypicached.cache.shared import Shared
from pypicached.cache.uploading import Uploads
from pypicached.ledger import Ledger
from pypicached.store import Bucket


class Fleet:
    """Reading (`shared`) and writing (`uploads`, `renewing`) of one bucket.

    It fails for all at once (`health`), or takes nothing and gives all the same (`writing`).
    """

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
        self.writing = Health(
            meanwhile="what is kept waits for it, and what it has is used",
            again="the shared store takes files again",
            now=now,
        )
        health, writing = self.health, self.writing
        self.renewing = Renewing(ledger, blobs, bucket, health, writing, now=now)
        self.uploads = Uploads(
            ledger,
            blobs,
            bucket,
            health,
            writing,
            rereading,
            self.renewing,
            identity=bucket.identity,
        )
        self.shared = Shared(bucket, self.uploads, self.health)
