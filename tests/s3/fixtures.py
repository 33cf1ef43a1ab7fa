"""Servers that speak S3, started once for those who run one after another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.s3 import servers
from tests.s3.ceph import Ceph
from tests.s3.servers import Endpoint


@pytest.fixture(scope="session")
def moto() -> Iterator[Endpoint]:
    """A store in the memory of this process; it checks no signatures."""
    with servers.moto() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ceph, Endpoint]]:
    """Ceph with its gateway; ask for `ceph` or `gateway`."""
    servers.skip_without_ceph()
    with servers.ceph(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def gateway(cluster: tuple[Ceph, Endpoint]) -> Endpoint:
    """A real distributed store."""
    return cluster[1]


@pytest.fixture
def ceph(cluster: tuple[Ceph, Endpoint]) -> Ceph:
    """What does harm to it."""
    return cluster[0]
