"""One client of one bucket: how it is opened, and how long it waits.

Only this module and `s3_errors` know of aiobotocore. They are imported when a bucket is opened,
which takes a while and tens of megabytes. Nothing is tried twice here: whoever calls knows whether
that is worth it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import aiobotocore.session
import aiohttp
from aiobotocore.config import AioConfig
from botocore.handlers import add_expect_header

from pypicached.errors import StoreRefusedError, StoreUnavailableError
from pypicached.store.access import BucketAccess
from pypicached.store.s3_errors import explained

CONNECT_SECONDS = 2.0
# For the answer to what sends nothing to speak of, and for each piece of a body.
READ_SECONDS = 5.0
# For the answer to what was sent: a store that keeps copies waits for its disks.
WRITTEN_SECONDS = 30.0
# For what the store moves by itself: gigabytes from one of its disks to another.
MOVED_SECONDS = 120.0
# Sending slower than this counts as no answer; nothing else bounds a peer that takes no bytes.
SLOWEST_BYTES_PER_SECOND = 64 * 1024
# Those who wait for one of them wait for an answer, and as long.
_CONNECTIONS = 256


@contextlib.asynccontextmanager
async def open_client(access: BucketAccess) -> AsyncIterator[S3Client]:
    """Open the client of a bucket; asks nothing of it. Raises StoreError."""
    # Signatures and tokens stand in what they log in detail.
    for name in ("botocore", "aiobotocore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    session = aiobotocore.session.get_session()
    async with contextlib.AsyncExitStack() as stack:
        with explained():
            try:
                made = await stack.enter_async_context(
                    session.create_client(
                        "s3",
                        endpoint_url=access.endpoint_url,
                        region_name=access.region,
                        aws_access_key_id=access.access_key_id,
                        aws_secret_access_key=access.secret_access_key,
                        config=_config(access),
                    )
                )
            except ValueError:
                raise StoreRefusedError("cannot be at such an endpoint_url") from None
        # A store that ignores Expect would be waited for: aiohttp sends no body without its 100.
        made.meta.events.unregister("before-call.s3", add_expect_header)
        if access.endpoint_url is not None:
            made.meta.events.register_last("before-parameter-build.s3", _follow_nothing)
        yield S3Client(made, access.bucket)


def _follow_nothing(context: dict[str, Any], **_: object) -> None:
    """Keep botocore from looking for the region of a bucket after a redirect.

    Only Amazon tells it. Where a proxy redirects everything, botocore would ask it for ever.
    """
    if "s3_redirect" in context:
        context["s3_redirect"]["redirected"] = True


def _config(access: BucketAccess) -> AioConfig:
    return AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": _addressing(access)},
        connect_timeout=CONNECT_SECONDS,
        # `S3Client` is stricter, and knows what each request may take.
        read_timeout=MOVED_SECONDS,
        max_pool_connections=_CONNECTIONS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        # Else bodies over TLS have trailers, which Ceph answers with 411.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="pypicached",
        # Its models are read by a thread, not by the event loop.
        warm_up_loader_caches=True,
    )


def _addressing(access: BucketAccess) -> str:
    # Signed URLs of "auto" lead to Amazon's global host, which redirects for hours after a bucket
    # was made. A name with dots is covered by no certificate there.
    at_amazon = access.endpoint_url is None and "." not in access.bucket
    return "virtual" if access.addressing == "auto" and at_amazon else access.addressing


class Answer(dict[str, Any]):
    """What an operation gave, by its names in S3's API. Raises StoreUnavailableError for a lack."""

    def __missing__(self, name: str) -> Any:
        raise StoreUnavailableError("gave an answer that is none of S3's")


class S3Client:
    """Requests to one bucket; any number at once.

    Operations go by their names in S3's API, in snake case. All raise StoreError.
    `answered_at` is when one succeeded last, by the monotonic clock: then the bucket was there.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self.bucket = bucket
        self.answered_at = float("-inf")

    async def ask(
        self, operation: str, *, within: float | None = None, **parameters: Any
    ) -> Answer:
        """Do what sends no bytes to speak of, in so many seconds or in `READ_SECONDS`."""
        with explained():
            async with asyncio.timeout(READ_SECONDS if within is None else within):
                method = getattr(self._client, operation)
                answer = Answer(await method(Bucket=self.bucket, **parameters))
        self.answered_at = time.monotonic()
        return answer

    async def send(self, operation: str, body: bytes, **parameters: Any) -> Answer:
        """Do what sends a body."""
        within = CONNECT_SECONDS + len(body) / SLOWEST_BYTES_PER_SECOND + WRITTEN_SECONDS
        # As a file: aiohttp would copy bytes into its buffer all at once.
        return await self.ask(operation, within=within, Body=io.BytesIO(body), **parameters)

    async def move(self, operation: str, **parameters: Any) -> Answer:
        """Do what makes the store itself do something that may take long."""
        return await self.ask(operation, within=MOVED_SECONDS, **parameters)

    async def sign(self, operation: str, key: str, seconds: int) -> str:
        """Return a URL with which anybody may do an operation on an object for so long."""
        with explained():
            url: str = await self._client.generate_presigned_url(
                operation, Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
            )
            return url


class Body:
    """The bytes of an answer to `get_object`, as they arrive."""

    def __init__(self, answer: Answer) -> None:
        # The wrapper around aiohttp's response would wait for a number of bytes.
        self._response: aiohttp.ClientResponse = answer["Body"].raw_stream

    async def read_some(self) -> bytes:
        """Return what has arrived, at least a byte; empty at the end. Raises StoreError."""
        with explained():
            async with asyncio.timeout(READ_SECONDS):
                # aiohttp holds it to the length that was announced.
                return await self._response.content.readany()

    def close(self) -> None:
        """Let go of the connection; it stays open for others only if all was read."""
        self._response.close()
