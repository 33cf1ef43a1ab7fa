"""Restarts and an upgrade while builds run: nobody notices."""

from __future__ import annotations

import pytest

from tests.deb.index import Index
from tests.deb.load import Plan, Report
from tests.deb.machine import Machine
from tests.deb.packages import Packages, make_next
from tests.deb.visitor import ADDRESS, Load, Visitor
from tests.fake.wheels import DistFile, make_wheel

CONNECTIONS = 64
BIG_BYTES = 200_000_000
# Every transfer spans a restart, and ends within the drain of 10 s.
BIG_BYTES_A_SECOND = 60_000_000


@pytest.fixture(scope="module")
def big() -> DistFile:
    """A large file."""
    return make_wheel("big", size_bytes=BIG_BYTES)


def plan_load(index: Index, visitor: Visitor) -> Plan:
    """Publish a few projects; return what is to be asked for, all day long."""
    pages: dict[str, dict[str, str]] = {}
    files: dict[str, str] = {}
    for number in range(8):
        name = f"busy-{number}"
        wheels = [
            make_wheel(name, f"1.{minor}", size_bytes=20_000 * (minor + 1)) for minor in range(5)
        ]
        index.add(name, *wheels)
        paths = visitor.page(name)
        pages[f"/simple/{name}/"] = {wheel.filename: wheel.sha256 for wheel in wheels}
        files |= {paths[wheel.filename]: wheel.sha256 for wheel in wheels}
    return Plan(*ADDRESS, connections=CONNECTIONS, pages=pages, files=files)


def assert_unharmed(report: Report) -> None:
    """Nothing failed, and what was asked is enough to mean something."""
    assert report.failed == 0, report
    assert report.requests > 1000
    assert report.announced_closes > 0


def test_restart__under_load(host: Machine, index: Index, visitor: Visitor, big: DistFile) -> None:
    """Five restarts under load fail no request, and downloads that span them arrive intact."""
    index.add("big", big)
    # So that upstream is still sending when the daemon is told to stop.
    index.fault("*/big-*", "throttle", rate=BIG_BYTES_A_SECOND)
    path = visitor.page("big")[big.filename]
    with Load(host, plan_load(index, visitor)) as load:
        for cold in (True, False, True, False, False):
            if cold:
                host.run("pypicached", "invalidate", "big", "--files")
            before = host.pid()
            transfer = visitor.download(path, BIG_BYTES_A_SECOND)
            assert transfer.flying.wait(20)
            host.systemctl("restart", "pypicached.service")
            assert transfer.result.result() == (BIG_BYTES, big.sha256)
            assert host.pid() != before
        report = load.finish()
    assert_unharmed(report)


def test_upgrade__under_load(
    host: Machine, index: Index, visitor: Visitor, big: DistFile, packages: Packages
) -> None:
    """An upgrade under load fails no request, and the new version serves when apt returns."""
    index.add("big", big)
    index.fault("*/big-*", "throttle", rate=BIG_BYTES_A_SECOND)
    path = visitor.page("big")[big.filename]
    newer = make_next(host, packages.daemon, "9.9")
    with Load(host, plan_load(index, visitor)) as load:
        transfer = visitor.download(path, BIG_BYTES_A_SECOND)
        assert transfer.flying.wait(20)
        host.run("apt", "install", "--yes", newer)
        assert visitor.get("/simple/big/").headers["Server"] == "pypicached/9.9"
        assert transfer.result.result() == (BIG_BYTES, big.sha256)
        report = load.finish()
    assert_unharmed(report)
    assert host.out("dpkg-query", "-W", "-f${Version}", "pypicached") == packages.version + "+next"
