"""Projects that upstream has not, or has no longer, and pages that were invalidated (42, 43)."""

from __future__ import annotations

import pytest

from pypicached.messages import InvalidateRequest
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Reply, Running

PAGE = "/simple/alpha/"


@pytest.fixture(autouse=True)
def _published(upstream: FakeUpstream) -> None:
    upstream.add("alpha", make_wheel("alpha", "1.0"))


async def ask(daemon: Running, path: str = PAGE) -> Reply:
    return await daemon.ask(path, Accept=JSON)


@pytest.mark.parametrize("code", [404, 410])
async def test_page__rule_42_absence_is_remembered(
    daemon: Running, upstream: FakeUpstream, code: int
) -> None:
    """Upstream's 404 (or 410) is a 404 for `negative_ttl`, and then it is asked again."""
    upstream.fault("/simple/new/", "status", times=1, code=code)
    upstream.add("new", make_wheel("new"))
    for _ in range(3):
        assert (await ask(daemon, "/simple/new/")).status == 404
    daemon.clock.advance(59)
    assert (await ask(daemon, "/simple/new/")).status == 404
    assert upstream.count("/simple/new/") == 1
    daemon.clock.advance(1)
    assert (await ask(daemon, "/simple/new/")).status == 200


async def test_page__rule_42_invalidate_clears_it(daemon: Running, upstream: FakeUpstream) -> None:
    """`invalidate` makes a remembered 404 be asked anew at once."""
    assert (await ask(daemon, "/simple/new/")).status == 404
    upstream.add("new", make_wheel("new"))
    await daemon.daemon.parts.keeping.invalidate(InvalidateRequest(projects=["new"]))
    assert (await ask(daemon, "/simple/new/")).status == 200


@pytest.mark.parametrize("code", [404, 410])
async def test_page__rule_43_removed_is_not_stale(
    daemon: Running, upstream: FakeUpstream, code: int
) -> None:
    """404 or 410 where there was a page is a 404 now, not the old page; and for `negative_ttl`."""
    await ask(daemon)
    daemon.clock.advance(601)
    upstream.fault(PAGE, "status", times=1, code=code)
    for _ in range(2):
        assert (await ask(daemon)).status == 404
    assert len(upstream.requests) == 2
    daemon.clock.advance(60)
    assert (await ask(daemon)).status == 200


async def test_page__rule_43_removed_and_then_an_outage(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """Once the removal is no longer remembered, an outage is told as one: not 404, not stale."""
    await ask(daemon)
    daemon.clock.advance(601)
    upstream.remove("alpha")
    assert (await ask(daemon)).status == 404
    await upstream.stop()
    assert (await ask(daemon)).status == 404
    daemon.clock.advance(61)
    assert (await ask(daemon)).status == 503


async def test_page__invalidated_page_stays_in_reserve(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """After `invalidate` upstream is asked; if it fails, the old page is served with its age."""
    await ask(daemon)
    daemon.clock.advance(20)
    await daemon.daemon.parts.keeping.invalidate(InvalidateRequest(projects=["alpha"]))
    await upstream.stop()
    reply = await ask(daemon)
    assert reply.status == 200
    assert "fwd=stale; detail=" in reply.headers["Cache-Status"]
    assert 20 <= int(reply.headers["Age"]) < 700
    await upstream.start()
    daemon.clock.advance(11)
    reply = await ask(daemon)
    assert reply.headers["Cache-Status"] == "pypicached; fwd=stale; fwd-status=304"
