"""Skips everything here unless packages are named; machines, and a daemon in front of an index."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.deb.configuring import CONFIGURATION, render
from tests.deb.index import URL, Index
from tests.deb.layers import Layers
from tests.deb.machine import Machine
from tests.deb.packages import DIRECTORY, Packages, find_packages, suite
from tests.deb.visitor import Visitor
from tests.fake.wheels import DistFile, make_wheel

_HERE = Path(__file__).parent
# The first test that needs a layer makes it.
_SECONDS = 400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip these tests unless there are packages, and a user who may boot a machine."""
    reason = None
    if DIRECTORY not in os.environ:
        reason = "needs built packages: make test-deb"
    elif os.geteuid() != 0:
        reason = "boots a machine: needs root"
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(_SECONDS))
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the daemon logged with a test that failed."""
    report = yield
    machine = getattr(item, "funcargs", {}).get("machine")
    if report.failed and isinstance(machine, Machine) and machine.leader:
        report.sections.append(("the journal of the machine", machine.journal()))
    return report


@pytest.fixture(scope="session")
def packages() -> Packages:
    """The packages under test."""
    return find_packages()


@pytest.fixture(scope="session")
def layers(packages: Packages) -> Iterator[Layers]:
    """Disks to start from."""
    # Whoever ends us this way wants no disks and mounts to stay behind, either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Not pytest's own: that keeps those of the last runs, hundreds of megabytes each.
    with tempfile.TemporaryDirectory(prefix="deb-") as directory:
        yield Layers(Path(directory), suite(), packages)


@pytest.fixture
def machine(layers: Layers, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A build host with our packages installed, just booted."""
    # Before it boots, so that its daemon need not be restarted.
    files = {CONFIGURATION: render(URL)} if "host" in request.fixturenames else {}
    with layers.booted(layers.installed, files) as machine:
        yield machine


@pytest.fixture
def six() -> DistFile:
    """What everybody installs here."""
    return make_wheel("six", "1.16.0", requires_python=">=2.7")


@pytest.fixture
def index(machine: Machine, six: DistFile) -> Iterator[Index]:
    """An index on the machine's loopback, which has six."""
    with Index(machine) as index:
        index.add("six", six)
        yield index


@pytest.fixture
def visitor(machine: Machine) -> Iterator[Visitor]:
    """Clients in the machine's network."""
    with Visitor(machine) as visitor:
        yield visitor


@pytest.fixture
def host(machine: Machine, index: Index) -> Machine:
    """A build host whose daemon is in front of the index."""
    assert index.url == URL
    return machine
