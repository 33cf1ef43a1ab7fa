"""Upstreams that are slow, refuse or are gone: stale in time, never absence (rules 38-41, 44)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Reply, Running, running, write_config

PAGE = "/simple/alpha/"
WHEEL = make_wheel("alpha", "1.0")
STALE = re.compile(r'pypicached; fwd=stale; detail="([ -~]+)"')
# Well under what the tests' own clients would wait.
SOON_SECONDS = 3.0

Break = Callable[[FakeUpstream], Awaitable[object]]


def fault(kind: str, **arguments: Any) -> Break:
    async def strike(upstream: FakeUpstream) -> None:
        upstream.fault(lambda _: True, kind, **arguments)

    return strike


OUTAGES: dict[str, tuple[Break, int]] = {
    "500": (fault("status", code=500), 503),
    "503": (fault("status", code=503), 503),
    "429": (fault("status", code=429), 503),
    "401": (fault("status", code=401), 502),
    "403": (fault("status", code=403), 502),
    "reset": (fault("reset_after", n=0), 503),
    "cut short": (fault("close_after", n=50), 503),
    "closed": (fault("close_after", n=0), 503),
    "refused": (FakeUpstream.stop, 503),
}
every = pytest.mark.parametrize("outage", OUTAGES)


@pytest.fixture(autouse=True)
def _published(upstream: FakeUpstream) -> None:
    upstream.add("alpha", WHEEL)


async def heal(upstream: FakeUpstream) -> None:
    upstream.heal()
    await upstream.stop()
    await upstream.start()


def check_refusal(reply: Reply, status: int) -> None:
    """Rule 41: Retry-After of at most 2, the reason in words of ours, nothing to be stored."""
    assert reply.status == status
    assert int(reply.headers["Retry-After"]) <= 2
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.reason is not None
    assert re.fullmatch(r"index pypi: [ -~]{5,67}", reply.reason)
    assert reply.reason in reply.text
    assert reply.headers["X-Request-Id"] in reply.text


async def quickly(answer: Awaitable[Reply]) -> Reply:
    """Return an answer that must come soon."""
    began = time.monotonic()
    reply = await answer
    assert time.monotonic() - began < SOON_SECONDS
    return reply


# ── failing ──────────────────────────────────────────────────────────────────────────────────


@every
async def test_page__rule_38_stale_while_upstream_fails(
    daemon: Running, upstream: FakeUpstream, outage: str
) -> None:
    """A stored page is served stale, with why and its age; once upstream answers, it is fresh."""
    before = await daemon.ask(PAGE, Accept=JSON)
    daemon.clock.advance(3600)
    upstream.add("alpha", make_wheel("alpha", "2.0"))
    await OUTAGES[outage][0](upstream)
    for _ in range(2):
        reply = await quickly(daemon.ask(PAGE, Accept=JSON))
        assert (reply.status, reply.body) == (200, before.body)
        assert STALE.fullmatch(reply.headers["Cache-Status"])
        assert 3600 <= int(reply.headers["Age"]) < 3610
    again = await daemon.ask(PAGE, Accept=JSON, If_None_Match=before.headers["ETag"])
    assert again.status == 304
    await heal(upstream)
    daemon.clock.advance(11)
    assert "alpha-2.0-" in (await daemon.ask(PAGE, Accept=JSON)).text


@every
async def test_page__rule_41_nothing_stored(
    daemon: Running, upstream: FakeUpstream, outage: str
) -> None:
    """With nothing stored it is 502 or 503 with the reason; once upstream answers, 200."""
    strike, status = OUTAGES[outage]
    await strike(upstream)
    for _ in range(2):
        check_refusal(await quickly(daemon.ask(PAGE, Accept=JSON)), status)
    await heal(upstream)
    daemon.clock.advance(30)  # the longest pause in which a failing host is not asked
    assert (await daemon.ask(PAGE, Accept=JSON)).status == 200


async def test_page__rule_44_refused_credentials_are_said(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """A 401 with nothing stored is a 502 that speaks of credentials, and `status` names it."""
    upstream.require("secret")
    reply = await daemon.ask(PAGE)
    assert (reply.status, "credentials" in reply.text) == (502, True)
    (index,) = (await daemon.daemon.parts.operations.status()).indexes
    assert index.state == "failing"
    assert "credentials" in (index.last_error or "")


async def test_page__rule_38_lapsed_credential_whose_file_is_gone(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """A 401 while the secret's file cannot be read is a 401 like any other: the stale page."""
    secret = tmp_path / "secret"
    secret.write_text("first")
    upstream.require("first")
    table: dict[str, object] = {"name": "pypi", "url": upstream.url, "token_file": str(secret)}
    async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
        assert (await daemon.ask(PAGE)).status == 200
        upstream.require("second")
        secret.unlink()
        daemon.clock.advance(700)
        reply = await daemon.ask(PAGE)
        assert (reply.status, "credentials" in reply.headers["Cache-Status"]) == (200, True)
        check_refusal(await daemon.ask("/simple/beta/"), 502)


async def test_page__rotated_secret_is_read_again(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A secret's file is read again after a 401, before that counts as a failure."""
    secret = tmp_path / "secret"
    secret.write_text("first")
    upstream.require("first")
    table: dict[str, object] = {"name": "pypi", "url": upstream.url, "token_file": str(secret)}
    async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
        await daemon.ask(PAGE)
        upstream.require("second")
        secret.write_text("second\n")
        daemon.clock.advance(700)
        reply = await daemon.ask(PAGE)
        assert reply.headers["Cache-Status"] == "pypicached; fwd=stale; fwd-status=304"


async def test_page__rule_38_not_beyond_stale_if_error(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """A page older than `stale_if_error` is not served; neither is any with "off"."""
    for allowed, age in (("1h", 600 + 3601), ("off", 601)):
        directory = tmp_path / allowed
        async with running(directory, upstream.url, cache__stale_if_error=allowed) as daemon:
            assert (await daemon.ask(PAGE)).status == 200
            daemon.clock.advance(age)
            upstream.fault(PAGE, "status", code=500)
            check_refusal(await daemon.ask(PAGE), 503)
            upstream.heal()


async def test_page__one_bad_answer_is_asked_again(daemon: Running, upstream: FakeUpstream) -> None:
    """One 503, or one reset, is tried once more on another connection before it counts."""
    broken: dict[str, Any] = {"status": {"code": 503}, "reset_after": {"n": 0}}
    for kind, arguments in broken.items():
        daemon.clock.advance(700)
        upstream.fault(PAGE, kind, times=1, **arguments)
        reply = await daemon.ask(PAGE)
        assert reply.status == 200
        assert "detail" not in reply.headers["Cache-Status"]


async def test_page__outage_of_one_project_is_not_that_of_another(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """A project that always fails does not keep another from being fetched."""
    upstream.fault("/simple/broken/", "status", code=500)
    for _ in range(3):
        assert (await daemon.ask("/simple/broken/")).status == 503
    assert (await daemon.ask(PAGE)).status == 200


# ── hanging ──────────────────────────────────────────────────────────────────────────────────


async def test_page__rule_39_stale_by_the_deadline(tmp_path: Path, upstream: FakeUpstream) -> None:
    """While upstream hangs a stale page leaves by the deadline; the refresh goes on behind."""
    async with running(tmp_path, upstream.url, cache__page_deadline="0.1s") as daemon:
        before = await daemon.ask(PAGE)
        daemon.clock.advance(700)
        upstream.add("alpha", make_wheel("alpha", "2.0"))
        gate = upstream.hold(PAGE)
        for _ in range(2):
            reply = await quickly(daemon.ask(PAGE))
            assert (reply.status, reply.body) == (200, before.body)
            assert STALE.fullmatch(reply.headers["Cache-Status"])
        await gate.reached()
        gate.open()
        # What the refresh behind brought is there, although nobody waited for it.
        while (reply := await daemon.ask(PAGE)).body == before.body:
            pass
        assert "alpha-2.0-" in reply.text
        assert upstream.count(PAGE) == 2


@pytest.mark.parametrize("where", [None, 100])
async def test_page__rule_41_cold_by_the_deadline(
    tmp_path: Path, upstream: FakeUpstream, where: int | None
) -> None:
    """With nothing stored it is a 503 by the deadline, and the retry joins the running request."""
    async with running(tmp_path, upstream.url, cache__cold_deadline="0.1s") as daemon:
        gate = upstream.hold(PAGE, after_bytes=where)
        for _ in range(3):
            check_refusal(await quickly(daemon.ask(PAGE)), 503)
        joined = asyncio.ensure_future(daemon.ask(PAGE))
        await gate.reached()
        gate.open()
        reply = await joined
        while reply.status == 503:  # the gate opened just before its deadline
            reply = await daemon.ask(PAGE)
        assert reply.status == 200
        assert upstream.count(PAGE) == 1


async def test_page__rule_41_hanging_for_ever(tmp_path: Path, upstream: FakeUpstream) -> None:
    """An upstream that never answers is given up after the index's `timeout`, and asked anew."""
    upstream.fault(PAGE, "hang", times=1)
    table: dict[str, object] = {"name": "pypi", "url": upstream.url, "timeout": "0.1s"}
    async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
        reply = await quickly(daemon.ask(PAGE))
        check_refusal(reply, 503)
        assert "timed out" in reply.text
        assert (await daemon.ask(PAGE)).status == 200


async def test_page__rule_41_client_that_leaves_changes_nothing(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """The first client leaving ends nothing: the others get the page of the one request."""
    gate = upstream.hold(PAGE)
    leaving = asyncio.ensure_future(daemon.ask(PAGE))
    await gate.reached()
    staying = [asyncio.ensure_future(daemon.ask(PAGE)) for _ in range(5)]
    leaving.cancel()
    gate.open()
    assert {reply.status for reply in await asyncio.gather(*staying)} == {200}
    assert upstream.count(PAGE) == 1


async def test_page__restart_in_an_outage(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Stored pages are served through an outage after a restart too, fresh and stale."""
    async with running(tmp_path, upstream.url) as daemon:
        before = await daemon.ask(PAGE)
    await upstream.stop()
    async with running(tmp_path, upstream.url) as daemon:
        assert (await daemon.ask(PAGE)).body == before.body
        daemon.clock.advance(86400)
        reply = await daemon.ask(PAGE)
        assert (reply.status, reply.body) == (200, before.body)
        assert STALE.fullmatch(reply.headers["Cache-Status"])
        check_refusal(await daemon.ask("/simple/other/"), 503)
