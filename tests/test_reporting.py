"""The line that `systemctl status` shows of a running daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached import messages
from pypicached.reporting import Reporting, describe_indexes
from pypicached.settings import format_size
from tests.fake.upstream import FakeUpstream
from tests.fake.wheels import make_wheel
from tests.harness import Running, running


@pytest.mark.parametrize(
    ("indexes", "expected"),
    [
        ([("pypi", "unused", "")], "1 index ok"),
        ([("pypi", "ok", ""), ("acme", "unused", "")], "2 indexes ok"),
        ([("pypi", "slow", "")], "index pypi slow"),
        ([("pypi", "failing", "HTTP 500")], "index pypi failing: HTTP 500"),
        (
            [("pypi", "ok", ""), ("acme", "failing", "timed out"), ("b", "ok", "")],
            "2 of 3 indexes ok, acme failing: timed out",
        ),
        (
            [(name, "failing", "refused") for name in "abcd"],
            "0 of 4 indexes ok, a failing: refused, b failing: refused, 2 more",
        ),
        ([("a", "failing", "x\nSTOPPING=1")], "index a failing: x?STOPPING=1"),
    ],
)
def test_indexes__told(indexes: list[tuple[str, str, str]], expected: str) -> None:
    """Indexes that are well are counted, the first others named with what is wrong."""
    assert describe_indexes(indexes) == expected


def reporting_of(daemon: Running, *, comparing: bool = False) -> Reporting:
    parts = daemon.parts
    return Reporting(
        operations=parts.operations,
        connections=parts.connections,
        offline=parts.offline,
        budget=parts.blobs.budget,
        files=parts.files,
        is_comparing=lambda: comparing,
    )


async def test_line__of_a_daemon(tmp_path: Path) -> None:
    """Where, which indexes, how much of the disk, how many hits: in this order."""
    async with (
        FakeUpstream() as upstream,
        running(tmp_path, upstream.url, cache__max_size="1GiB") as daemon,
    ):
        budget = daemon.parts.blobs.budget
        fresh = await reporting_of(daemon).line()
        held = format_size(budget.held_bytes)
        assert fresh == f"serving on {daemon.url} · 1 index ok · {held} of 1 GiB"
        upstream.add("alpha", make_wheel("alpha", "1.0", size_bytes=2_000_000))
        for _ in range(4):
            await daemon.page("alpha")
        line = await reporting_of(daemon, comparing=True).line()
        held = format_size(budget.held_bytes)
        assert line == (
            f"serving on {daemon.url} · 1 index ok · {held} of 1 GiB · 75 % hits in 24 h"
            " · comparing ledger and disk"
        )


async def test_line__offline(tmp_path: Path) -> None:
    """Offline stands in the place of the indexes, which are not asked."""
    async with FakeUpstream() as upstream, running(tmp_path, upstream.url) as daemon:
        daemon.parts.operations.set_offline(messages.OfflineRequest(on=True))
        line = await reporting_of(daemon).line()
    assert " · offline: upstreams are not asked · " in line


async def test_line__download_and_problem(tmp_path: Path) -> None:
    """Downloads and problems are counted; the latter with where to read them."""
    async with FakeUpstream() as upstream, running(tmp_path, upstream.url) as daemon:
        wheel = make_wheel("alpha", "1.0", size_bytes=2_000_000)
        upstream.add("alpha", wheel)
        gate = upstream.hold("*.whl", after_bytes=1_000_000)
        daemon.parts.operations.notes.append("something is odd")
        async with daemon.session.get(await daemon.file_url("alpha", wheel.filename)):
            await gate.reached()
            line = await reporting_of(daemon).line()
            gate.open()
    assert line.endswith(" · 1 download · 1 problem: see pypicached status")
