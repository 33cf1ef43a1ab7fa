"""Pages that are older than the one that is stored: a node that lags (rule 45)."""

from __future__ import annotations

import pytest

from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Reply, Running

PAGE = "/simple/alpha/"
SERIAL = "X-PyPI-Last-Serial"


@pytest.fixture(autouse=True)
def _published(upstream: FakeUpstream) -> None:
    upstream.add("alpha", make_wheel("alpha", "1.0"), make_wheel("alpha", "2.0"), serial=200)


async def ask(daemon: Running, **headers: str) -> Reply:
    return await daemon.ask(PAGE, Accept=JSON, **headers)


def lag(upstream: FakeUpstream, serial: int = 100) -> None:
    """Go back to a state before the second release."""
    upstream.remove("alpha", make_wheel("alpha", "2.0").filename)
    upstream.add("alpha", serial=serial)


async def test_page__rule_45_an_older_one_is_passed_over(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """An older serial than the stored one: the newer page stays, fresh, for one more TTL."""
    before = await ask(daemon)
    lag(upstream)
    daemon.clock.advance(601)
    for wait in (0, 599):
        daemon.clock.advance(wait)
        reply = await ask(daemon)
        assert (reply.body, reply.headers[SERIAL]) == (before.body, "200")
    assert upstream.count(PAGE) == 2


async def test_page__rule_45_and_then_believed(daemon: Running, upstream: FakeUpstream) -> None:
    """What still says so after that TTL is believed: an index may have been restored."""
    await ask(daemon)
    lag(upstream)
    for _ in range(2):
        daemon.clock.advance(601)
        reply = await ask(daemon)
    assert ("alpha-2.0" in reply.text, reply.headers[SERIAL]) == (False, "100")


async def test_page__rule_45_forced_again_and_again(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """A client that insists does not make an older page be believed before its time."""
    await ask(daemon)
    lag(upstream)
    for _ in range(5):
        daemon.clock.advance(20)
        assert "alpha-2.0" in (await ask(daemon, Cache_Control="no-cache")).text
    assert upstream.count(PAGE) == 6


async def test_page__rule_45_the_node_catches_up(daemon: Running, upstream: FakeUpstream) -> None:
    """A newer page ends it at once, and the next lag has its own TTL."""
    await ask(daemon)
    lag(upstream)
    daemon.clock.advance(601)
    await ask(daemon)
    upstream.add("alpha", make_wheel("alpha", "3.0"), serial=300)
    daemon.clock.advance(601)
    assert "alpha-3.0" in (await ask(daemon)).text
    upstream.remove("alpha", make_wheel("alpha", "3.0").filename)
    upstream.add("alpha", serial=250)
    daemon.clock.advance(601)
    assert "alpha-3.0" in (await ask(daemon)).text


@pytest.mark.parametrize("value", ["", "x", "-5", "9" * 30])
async def test_page__serial_that_is_none(
    daemon: Running, upstream: FakeUpstream, value: str
) -> None:
    """A serial that is no number is none, and says nothing about age."""
    await ask(daemon)
    lag(upstream)
    upstream.fault(PAGE, "header", name=SERIAL, value=value)
    daemon.clock.advance(601)
    reply = await ask(daemon)
    assert ("alpha-2.0" in reply.text, SERIAL in reply.headers) == (False, False)
