"""A daemon with a faulty store, and an upstream."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.fake import FakeUpstream
from tests.fleet.faulty import FaultyStore, faulty_store
from tests.harness import Running, running

MakeDaemon = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as running_upstream:
        yield running_upstream


@pytest.fixture
async def store() -> AsyncIterator[FaultyStore]:
    async with faulty_store() as running_store:
        yield running_store


@pytest.fixture
def with_store(tmp_path: Path, upstream: FakeUpstream, store: FaultyStore) -> MakeDaemon:
    """Return what runs a daemon on a directory of its own (by name) that shares the store."""

    @contextlib.asynccontextmanager
    async def run(name: str = "host", **overrides: object) -> AsyncIterator[Running]:
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        settings: dict[str, object] = {
            "store__kind": "s3",
            "store__s3__bucket": "wheels",
            "store__s3__endpoint_url": store.url,
            "store__s3__region": "us-east-1",
            "store__s3__access_key_id": "key",
            "store__s3__secret_access_key": "secret",
            "store__s3__addressing": "path",
        }
        async with running(
            directory, upstream.url, None, None, None, **(settings | overrides)
        ) as daemon:
            yield daemon

    return run
