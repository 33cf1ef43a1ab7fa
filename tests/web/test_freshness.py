"""When upstream is asked, and what an answer says of its own age (rules 33-37, 40, 47)."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Clock, Reply, Running, running, write_config

PAGE = "/simple/alpha/"
HIT = "pypicached; hit"
REVALIDATED = "pypicached; fwd=stale; fwd-status=304"
NO_CACHE = {"Cache_Control": "no-cache"}


@pytest.fixture(autouse=True)
def _published(upstream: FakeUpstream) -> None:
    upstream.add("alpha", make_wheel("alpha", "1.0"))


async def ask(daemon: Running, path: str = PAGE, **headers: str) -> Reply:
    return await daemon.ask(path, Accept=JSON, **headers)


def status(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.headers["Cache-Status"]


def conditions(upstream: FakeUpstream, path: str = PAGE) -> list[bool]:
    """Tell of each request for a page whether it was conditional."""
    asked = [request for request in upstream.requests if request.path == path]
    return ["if-none-match" in request.headers for request in asked]


# ── fresh ────────────────────────────────────────────────────────────────────────────────────


async def test_page__rule_33_69_within_the_ttl(daemon: Running, upstream: FakeUpstream) -> None:
    """Within the TTL no request goes upstream, whatever the format and the coding."""
    assert status(await ask(daemon)) == (200, "pypicached; fwd=miss; stored")
    daemon.clock.advance(590)
    for accept in (JSON, "text/html", "*/*"):
        for coding in ("gzip", "zstd", "identity"):
            reply = await daemon.ask(PAGE, Accept=accept, Accept_Encoding=coding)
            assert status(reply) == (200, HIT)
    assert conditions(upstream) == [False]


async def test_page__rule_33_across_a_restart(
    tmp_path: Path, upstream: FakeUpstream, clock: Clock
) -> None:
    """A restart keeps pages: within the TTL nothing is asked, after it conditionally."""
    async with running(tmp_path, upstream.url, clock) as daemon:
        before = await ask(daemon)
    clock.advance(100)
    async with running(tmp_path, upstream.url, clock) as daemon:
        after = await ask(daemon)
        assert (after.body, after.headers["ETag"]) == (before.body, before.headers["ETag"])
        assert status(after) == (200, HIT)
        assert int(after.headers["Age"]) in (100, 101)
        assert conditions(upstream) == [False]
        clock.advance(600)
    async with running(tmp_path, upstream.url, clock) as daemon:
        assert status(await ask(daemon)) == (200, REVALIDATED)
    assert conditions(upstream) == [False, True]


async def test_page__rule_33_a_404_across_a_restart(
    tmp_path: Path, upstream: FakeUpstream, clock: Clock
) -> None:
    """A remembered 404 survives a restart as well."""
    for _ in range(2):
        async with running(tmp_path, upstream.url, clock) as daemon:
            assert (await ask(daemon, "/simple/none/")).status == 404
    assert upstream.count("/simple/none/") == 1


async def test_page__rule_34_max_age_0_stays_here(daemon: Running, upstream: FakeUpstream) -> None:
    """A client's `max-age=0`, which pip always sends, does not go upstream within the TTL."""
    await ask(daemon)
    daemon.clock.advance(300)
    assert status(await ask(daemon, Cache_Control="max-age=0")) == (200, HIT)
    assert conditions(upstream) == [False]


@pytest.mark.parametrize("directive", ["no-cache", "No-Cache", "max-age=0, no-cache", "no-cache,x"])
async def test_page__rule_34_no_cache_once_in_10_s(
    daemon: Running, upstream: FakeUpstream, directive: str
) -> None:
    """`no-cache` asks upstream conditionally at once, at most once per page in 10 s."""
    await ask(daemon)
    assert status(await ask(daemon, Cache_Control=directive)) == (200, HIT)
    daemon.clock.advance(10)
    assert status(await ask(daemon, Cache_Control=directive)) == (200, REVALIDATED)
    assert status(await ask(daemon, Cache_Control=directive)) == (200, HIT)
    daemon.clock.advance(9)
    assert status(await ask(daemon, Cache_Control=directive)) == (200, HIT)
    daemon.clock.advance(1)
    assert status(await ask(daemon, Cache_Control=directive)) == (200, REVALIDATED)
    assert conditions(upstream) == [False, True, True]


async def test_page__rule_34_no_cache_is_coalesced(daemon: Running, upstream: FakeUpstream) -> None:
    """Many `no-cache` at once are one upstream request, and all see the new page."""
    await ask(daemon)
    upstream.add("alpha", make_wheel("alpha", "2.0"))
    daemon.clock.advance(11)
    gate = upstream.hold(PAGE)
    asked = [asyncio.ensure_future(ask(daemon, **NO_CACHE)) for _ in range(20)]
    await gate.reached()
    gate.open()
    replies = await asyncio.gather(*asked)
    assert all("alpha-2.0-" in reply.text for reply in replies)
    assert conditions(upstream) == [False, True]


async def test_page__rule_34_no_cache_on_a_remembered_404(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """`no-cache` finds a project that was published a minute ago, once its 404 is 10 s old."""
    assert (await ask(daemon, "/simple/new/")).status == 404
    upstream.add("new", make_wheel("new"))
    assert (await ask(daemon, "/simple/new/", **NO_CACHE)).status == 404
    daemon.clock.advance(10)
    assert (await ask(daemon, "/simple/new/")).status == 404
    assert (await ask(daemon, "/simple/new/", **NO_CACHE)).status == 200
    assert upstream.count("/simple/new/") == 2


async def test_page__rule_36_age_and_max_age(
    tmp_path: Path, upstream: FakeUpstream, clock: Clock
) -> None:
    """`Age` grows with the page, and `max-age` less `Age` is what remains of our TTL, or less."""
    config = write_config(tmp_path, {"name": "pypi", "url": upstream.url, "ttl": "5m"})
    async with running(tmp_path, None, clock, config) as daemon:
        for path in (PAGE, "/simple/"):
            for elapsed in (0, 100, 280):
                before = upstream.count(path)
                if elapsed == 0:
                    clock.advance(1000)
                    await ask(daemon, path)
                    before += 1
                else:
                    clock.advance(elapsed if elapsed == 100 else 180)
                reply = await ask(daemon, path)
                found = re.fullmatch(r"public, max-age=(\d+)", reply.headers["Cache-Control"])
                assert found is not None
                remaining = int(found[1]) - int(reply.headers["Age"])
                assert remaining <= 300 - elapsed
                assert upstream.count(path) == before


async def test_page__rule_37_upstream_does_not_decide(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """The operator's TTL decides, whatever upstream's Cache-Control says; ours is what is sent."""
    for value in ("no-store, no-cache, max-age=0", "private, max-age=1"):
        upstream.fault(PAGE, "header", times=1, name="Cache-Control", value=value)
    for _ in range(2):
        await ask(daemon)
        daemon.clock.advance(599)
        reply = await ask(daemon)
        assert status(reply) == (200, HIT)
        assert reply.headers["Cache-Control"] == "public, max-age=600"
        daemon.clock.advance(2)
    assert len(conditions(upstream)) == 2


# ── expired ──────────────────────────────────────────────────────────────────────────────────


async def test_page__rule_35_a_304_renews(daemon: Running, upstream: FakeUpstream) -> None:
    """An expired page is asked for conditionally, and a 304 renews it for a whole TTL."""
    first = await ask(daemon)
    daemon.clock.advance(601)
    reply = await ask(daemon)
    assert status(reply) == (200, REVALIDATED)
    assert (reply.body, reply.headers["ETag"]) == (first.body, first.headers["ETag"])
    assert reply.headers["Age"] == "0"
    daemon.clock.advance(599)
    assert status(await ask(daemon)) == (200, HIT)
    asked = [request.headers for request in upstream.requests]
    assert len(asked) == 2
    assert asked[1]["if-none-match"].startswith('"')
    assert "if-modified-since" in asked[1]


async def test_page__rule_35_a_renewal_survives_a_restart(
    tmp_path: Path, upstream: FakeUpstream, clock: Clock
) -> None:
    """A page that a 304 has renewed is fresh for its new TTL after a restart, too."""
    async with running(tmp_path, upstream.url, clock) as daemon:
        await ask(daemon)
        clock.advance(601)
        await ask(daemon)
    clock.advance(500)
    async with running(tmp_path, upstream.url, clock) as daemon:
        assert status(await ask(daemon)) == (200, HIT)
    assert conditions(upstream) == [False, True]


async def test_page__rule_35_last_modified_alone(daemon: Running, upstream: FakeUpstream) -> None:
    """Without an ETag, Last-Modified is the condition."""
    upstream.fault(PAGE, "change_etag", etag=None)
    await ask(daemon)
    daemon.clock.advance(601)
    assert status(await ask(daemon)) == (200, REVALIDATED)
    assert "if-none-match" not in upstream.requests[1].headers


async def test_page__rule_35_no_validators(daemon: Running, upstream: FakeUpstream) -> None:
    """An upstream without validators is asked plainly, and its new answer is stored."""
    upstream.dialect.validators = False
    await ask(daemon)
    daemon.clock.advance(601)
    assert status(await ask(daemon)) == (200, "pypicached; fwd=stale; stored")
    assert status(await ask(daemon)) == (200, HIT)
    assert {"if-none-match", "if-modified-since"}.isdisjoint(upstream.requests[1].headers)


async def test_page__rule_35_a_changed_page(daemon: Running, upstream: FakeUpstream) -> None:
    """An expired page that has changed is the new one at once."""
    await ask(daemon)
    upstream.add("alpha", make_wheel("alpha", "2.0"))
    daemon.clock.advance(601)
    reply = await ask(daemon)
    assert status(reply) == (200, "pypicached; fwd=stale; stored")
    assert json.loads(reply.body)["versions"] == ["1.0", "2.0"]


async def test_page__rule_47_a_hundred_requests_for_an_expired_page(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """100 requests for an expired page are one conditional request."""
    await ask(daemon)
    daemon.clock.advance(601)
    gate = upstream.hold(PAGE)
    asked = [asyncio.ensure_future(ask(daemon)) for _ in range(100)]
    await gate.reached()
    gate.open()
    assert {reply.status for reply in await asyncio.gather(*asked)} == {200}
    assert conditions(upstream) == [False, True]


async def test_page__rule_40_stale_while_revalidate(tmp_path: Path, upstream: FakeUpstream) -> None:
    """An expired page is served at once, and exactly one refresh runs behind."""
    async with running(tmp_path, upstream.url, cache__stale_while_revalidate="1h") as daemon:
        await ask(daemon)
        daemon.clock.advance(700)
        upstream.add("alpha", make_wheel("alpha", "2.0"))
        gate = upstream.hold(PAGE)
        for reply in await asyncio.gather(*(ask(daemon) for _ in range(10))):
            assert status(reply) == (200, 'pypicached; fwd=stale; detail="stale-while-revalidate"')
            assert "alpha-2.0-" not in reply.text
        await gate.reached()
        # `no-cache` wants to know: it waits for the refresh that is under way.
        waiting = asyncio.ensure_future(ask(daemon, **NO_CACHE))
        gate.open()
        assert "alpha-2.0-" in (await waiting).text
        assert conditions(upstream) == [False, True]
        assert status(await ask(daemon)) == (200, HIT)


async def test_page__rule_40_not_beyond_its_time(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A page that is older than that is revalidated before it is served."""
    async with running(tmp_path, upstream.url, cache__stale_while_revalidate="1h") as daemon:
        await ask(daemon)
        daemon.clock.advance(600 + 3601)
        assert status(await ask(daemon)) == (200, REVALIDATED)
