"""Which bucket it is, and how it is reached: plain values."""

from __future__ import annotations

from typing import Literal

import msgspec

Addressing = Literal["auto", "path", "virtual"]

# What a store says to who asks about a bucket that it does not have.
NO_BUCKET = "has no bucket of that name, or is no S3 store"


class BucketAccess(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket, the part of it that is ours, and the key to it; hidden wherever it is printed.

    Without a key, botocore looks for one: environment, files, roles of the machine.
    """

    bucket: str
    # Before every key: "" or what ends in a slash.
    prefix: str = ""
    # None: that of the region at Amazon.
    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    addressing: Addressing = "auto"

    @property
    def identity(self) -> str:
        """What tells this bucket, and this part of it, from another."""
        return f"{self.endpoint_url or 's3'}/{self.bucket}/{self.prefix}"

    def __repr__(self) -> str:
        return f"BucketAccess({self.identity!r})"
