"""Stores that speak S3, on loopback: moto for the shape of requests, Ceph for everything else."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from pypicached.store.access import BucketAccess
from pypicached.store.bucket import Bucket, open_bucket
from pypicached.store.disk import DiskPool
from tests.s3.ceph import Ceph, missing_programs

# Set by `make test-s3`: there a missing Ceph is an error.
WANTED = "PYPICACHED_TEST_CEPH"
ACCESS_KEY = "AKTEST"
SECRET_KEY = "a-secret-of-this-test"
_numbers = itertools.count(1)


class Endpoint(msgspec.Struct, frozen=True):
    """A store that runs, and its user."""

    url: str
    access_key_id: str = ACCESS_KEY
    secret_access_key: str = SECRET_KEY

    def access(self, **changed: object) -> BucketAccess:
        """Return how a new bucket of this store is reached; there is no such bucket yet."""
        made = BucketAccess(
            bucket=f"bucket-{os.getpid()}-{next(_numbers)}",
            endpoint_url=self.url,
            region="us-east-1",
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            addressing="path",
        )
        return msgspec.structs.replace(made, **changed)

    def environment(self, bucket: str) -> dict[str, str]:
        """Return the environment of a daemon that shares that bucket."""
        s3 = {
            "BUCKET": bucket,
            "ENDPOINT_URL": self.url,
            "REGION": "us-east-1",
            "ACCESS_KEY_ID": self.access_key_id,
            "SECRET_ACCESS_KEY": self.secret_access_key,
            "ADDRESSING": "path",
        }
        named = {f"PYPICACHED_STORE__S3__{name}": value for name, value in s3.items()}
        return {"PYPICACHED_STORE__KIND": "s3", **named}


@contextlib.contextmanager
def moto(port: int = 0) -> Iterator[Endpoint]:
    """Run moto in a thread; it keeps all in memory, for the next one in this process, too."""
    # It takes a second, which most tests need not spend.
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Endpoint(f"http://{host}:{port}")
    finally:
        server.stop()


def skip_without_ceph() -> None:
    """Skip the test, unless Ceph is wanted; then without it all fails."""
    if not os.environ.get(WANTED):
        pytest.skip("needs Ceph's RADOS gateway: make test-s3")
    if missing := missing_programs():
        pytest.fail(f"make test-s3 needs {', '.join(missing)}: see .ci/run for the packages")


@contextlib.contextmanager
def ceph(directory: os.PathLike[str]) -> Iterator[tuple[Ceph, Endpoint]]:
    """Run a cluster with a gateway and a user."""
    with Ceph.running(directory) as cluster:
        cluster.create_user(ACCESS_KEY, SECRET_KEY)
        yield cluster, Endpoint(cluster.url)


@contextlib.asynccontextmanager
async def new_bucket(endpoint: Endpoint, **changed: object) -> AsyncIterator[Bucket]:
    """Make an empty bucket and open it."""
    disk = DiskPool(2)
    try:
        async with open_bucket(endpoint.access(**changed), disk) as bucket:
            await bucket._client.ask("create_bucket")
            yield bucket
    finally:
        disk.close()
