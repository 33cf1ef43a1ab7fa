"""A host that keeps failing is left alone and found again; a late one holds up nobody (46)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pypicached.messages import IndexStatus
from pypicached.upstream.probing import Probing
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Reply, Running, running, write_config

NAMES = [f"p{number}" for number in range(12)]
LONGEST_PAUSE = 30.0


@pytest.fixture(autouse=True)
def _published(upstream: FakeUpstream) -> None:
    for name in NAMES:
        upstream.add(name, make_wheel(name))


async def ask(daemon: Running, name: str) -> Reply:
    return await daemon.ask(f"/simple/{name}/", Accept=JSON)


async def ask_all(daemon: Running) -> list[Reply]:
    return [await ask(daemon, name) for name in NAMES]


async def warmed(daemon: Running) -> None:
    """Store every page, and let its TTL run out."""
    await ask_all(daemon)
    daemon.clock.advance(3600)


async def state(daemon: Running) -> IndexStatus:
    (index,) = (await daemon.parts.operations.status()).indexes
    return index


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the log that speak of an upstream that goes or returns."""
    return [r.getMessage() for r in caplog.records if r.name.endswith(("hosts", "health"))]


async def test_breaker__rule_46_stale_at_once(
    daemon: Running, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Once open, upstream is not asked, stored pages are stale at once, and one line is told."""
    await warmed(daemon)
    upstream.clear()
    upstream.fault("*", "status", code=503)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert {reply.status for reply in await ask_all(daemon)} == {200}
    # Five pages fail and open it, four of them twice: the other seven are not asked for.
    assert len(upstream.requests) == 9
    assert told(caplog) == ["index pypi is failing: answered 503"]


async def test_breaker__rule_46_cold_is_503_at_once(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """With nothing stored it is a 503 with the reason, and no request of upstream."""
    await upstream.stop()
    await ask(daemon, "p0")
    await upstream.start()
    upstream.clear()
    for reply in await ask_all(daemon):
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
        assert "connection refused or unreachable; asked again soon" in reply.text
    assert upstream.requests == []
    index = await state(daemon)
    assert (index.state, index.last_error) == ("failing", "connection refused or unreachable")
    assert index.hosts[0].asked_again_in_seconds is not None


async def test_breaker__rule_46_one_probe(
    daemon: Running, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """After the pause one request probes; the others do not wait for it; then all is as before."""
    await warmed(daemon)
    await upstream.stop()
    await ask(daemon, "p0")
    await upstream.start()
    upstream.clear()
    daemon.clock.advance(LONGEST_PAUSE)
    gate = upstream.hold("*")
    with caplog.at_level(logging.WARNING):
        probe = asyncio.ensure_future(ask(daemon, "p0"))
        await gate.reached()
        for name in NAMES[1:]:
            assert "fwd=stale; detail" in (await ask(daemon, name)).headers["Cache-Status"]
        assert len(upstream.requests) == 1
        gate.open()
        assert (await probe).headers["Cache-Status"] == "pypicached; fwd=stale; fwd-status=304"
        for name in NAMES[1:]:
            assert "fwd-status=304" in (await ask(daemon, name)).headers["Cache-Status"]
    went, returned = told(caplog)
    assert went == "index pypi is failing: connection refused or unreachable"
    assert returned.startswith("index pypi answers again after ")
    assert (await state(daemon)).state == "ok"


async def test_breaker__rule_46_a_probe_that_is_cancelled(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """A probe whose client leaves goes on; nothing keeps the next one from asking."""
    await upstream.stop()
    await ask(daemon, "p0")
    await upstream.start()
    daemon.clock.advance(LONGEST_PAUSE)
    gate = upstream.hold("*")
    leaving = asyncio.ensure_future(ask(daemon, "p0"))
    await gate.reached()
    leaving.cancel()
    gate.open()
    await upstream.arrived("/simple/p0/")
    async with asyncio.timeout(10):
        while (await ask(daemon, "p0")).status != 200:
            pass
    assert (await ask(daemon, "p1")).status == 200


async def test_breaker__rule_46_one_broken_project(daemon: Running, upstream: FakeUpstream) -> None:
    """One project that always fails keeps no other from being asked for, and no index failing."""
    await ask(daemon, "p1")
    faults: dict[str, dict[str, Any]] = {"status": {"code": 500}, "reset_after": {"n": 0}}
    for fault, arguments in faults.items():
        upstream.fault("/simple/p0/", fault, **arguments)
        for _ in range(10):
            assert (await ask(daemon, "p0")).status == 503
        upstream.heal()
        upstream.fault("/simple/p0/", "status", code=500)
        assert (await ask(daemon, "p2")).status == 200
        assert (await state(daemon)).state == "ok"


async def test_breaker__too_many_requests(daemon: Running, upstream: FakeUpstream) -> None:
    """A 429 for two pages is meant for all: nobody asks until the time that it names is over."""
    await warmed(daemon)
    upstream.clear()
    upstream.fault("*", "status", times=2, code=429, headers={"Retry-After": "20"})
    for name in ("p0", "p1"):
        assert "answered 429" in (await ask(daemon, name)).headers["Cache-Status"]
    for wait in (0.0, 19.0):
        daemon.clock.advance(wait)
        assert "answered 429" in (await ask(daemon, "p2")).headers["Cache-Status"]
    assert len(upstream.requests) == 2
    daemon.clock.advance(1.0)
    assert "fwd-status=304" in (await ask(daemon, "p2")).headers["Cache-Status"]


async def test_breaker__retry_after_of_one_page(daemon: Running, upstream: FakeUpstream) -> None:
    """A 503 with Retry-After holds that page, cold too, and no other one."""
    after = {"Retry-After": "25"}
    upstream.fault("/simple/p0/", "status", times=1, code=503, headers=after)
    replies = [await ask(daemon, "p0") for _ in range(3)]
    assert [reply.status for reply in replies] == [503, 503, 503]
    assert "asked again soon" in replies[1].text
    assert upstream.count("/simple/p0/") == 1
    assert (await ask(daemon, "p1")).status == 200
    daemon.clock.advance(25)
    assert (await ask(daemon, "p0")).status == 200


async def probed(daemon: Running) -> None:
    """Let the daemon's own probes that are due be sent, and tell."""
    running = Probing(daemon.parts.connections.values()).look()
    await asyncio.gather(*running)


async def test_breaker__probed_when_nobody_asks(daemon: Running, upstream: FakeUpstream) -> None:
    """Without clients, too, an upstream that is back is found so, by one request."""
    await ask(daemon, "p1")
    daemon.clock.advance(3600)
    await upstream.stop()
    await ask(daemon, "p0")
    await upstream.start()
    upstream.clear()
    await probed(daemon)  # its pause is not over
    assert (upstream.requests, (await state(daemon)).state) == ([], "failing")
    daemon.clock.advance(LONGEST_PAUSE)
    await probed(daemon)
    # What went well last is asked for, not what failed: that might always fail.
    assert [request.path for request in upstream.requests] == ["/simple/p1/"]
    status = await daemon.parts.operations.status()
    assert (status.indexes[0].state, status.problems) == ("ok", [])
    await probed(daemon)
    assert len(upstream.requests) == 1


async def test_breaker__probed_after_a_lone_failure(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """One page that failed, and then silence: `status` does not call the index failing for ever."""
    await ask(daemon, "p1")
    upstream.fault("/simple/p0/", "status", code=500)
    await ask(daemon, "p0")
    daemon.clock.advance(3600)
    assert (await state(daemon)).state == "failing"
    await probed(daemon)
    assert (await state(daemon)).state == "ok"


async def test_breaker__refused_credentials(daemon: Running, upstream: FakeUpstream) -> None:
    """One page that is refused is that page's; two are the index's, at once."""
    await ask(daemon, "p2")
    upstream.fault("*", "status", code=401)
    states = []
    for name in ("p0", "p0", "p1"):
        await ask(daemon, name)
        states.append((await state(daemon)).state)
    assert states == ["ok", "ok", "failing"]


@pytest.mark.parametrize("code", [401, 403])
async def test_breaker__probed_after_a_refusal(
    daemon: Running, upstream: FakeUpstream, code: int
) -> None:
    """Credentials that one page refused and another does not: `status` finds that out."""
    await ask(daemon, "p1")
    upstream.fault("/simple/p0/", "status", code=code)
    await ask(daemon, "p0")
    daemon.clock.advance(3600)
    assert (await state(daemon)).state == "failing"
    await probed(daemon)
    assert (await state(daemon)).state == "ok"


async def test_breaker__a_probe_that_hangs_is_not_in_the_way(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """A head that drips, or a body that never ends, keeps no host shut that is well."""
    table: dict[str, object] = {
        "name": "pypi", "url": upstream.url, "timeout": "0.2s", "connect_timeout": "0.2s",
    }  # fmt: skip
    config = write_config(tmp_path, table)
    async with running(tmp_path, config=config) as daemon:
        await ask(daemon, "p1")
        daemon.clock.advance(3600)
        await upstream.stop()
        await ask(daemon, "p0")
        await upstream.start()
        daemon.clock.advance(LONGEST_PAUSE)
        upstream.fault("/simple/p1/", "hang_body_after", n=10)
        await probed(daemon)
        assert (await state(daemon)).state == "failing"
        daemon.clock.advance(LONGEST_PAUSE)
        assert (await ask(daemon, "p2")).status == 200


async def test_breaker__rule_46_two_projects_that_always_hang(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Whoever asks for them again and again, the others are served."""
    table: dict[str, object] = {"name": "pypi", "url": upstream.url, "timeout": "0.2s"}
    config = write_config(tmp_path, table)
    async with running(tmp_path, config=config) as daemon:
        await ask(daemon, "p2")
        daemon.clock.advance(3600)
        for name in ("p0", "p1"):
            upstream.fault(f"/simple/{name}/", "hang")
            await ask(daemon, name)
        assert (await state(daemon)).state == "failing"
        daemon.clock.advance(LONGEST_PAUSE)
        bad = asyncio.ensure_future(ask(daemon, "p0"))
        await upstream.arrived("/simple/p0/", 2)
        assert (await ask(daemon, "p3")).status == 200
        assert (await bad).status == 503
        assert (await ask(daemon, "p4")).status == 200


async def test_breaker__file_host_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file host that hangs is told apart: files are 503 at once, pages go on being brought."""
    async with FakeUpstream(separate_files=True) as upstream:
        for name in NAMES:
            upstream.add(name, make_wheel(name))
        config = write_config(tmp_path, {"name": "pypi", "url": upstream.url, "timeout": "0.2s"})
        async with running(tmp_path, config=config) as daemon:
            urls = [await daemon.file_url(name, make_wheel(name).filename) for name in NAMES]
            upstream.fault("*.whl", "hang")
            paths = [url.removeprefix(daemon.url) for url in urls]
            assert {(await daemon.ask(path)).status for path in paths} == {503}
            assert upstream.count("*.whl") == 2
            index = await state(daemon)
            name = upstream.files_origin.removeprefix("http://")
            assert (index.state, index.last_error) == (
                "failing",
                f"{name}: timed out waiting for an answer",
            )
            assert {host.host: host.state for host in index.hosts}[name] == "failing"
            daemon.clock.advance(3600)
            assert "fwd-status=304" in (await ask(daemon, "p0")).headers["Cache-Status"]
            assert f"index pypi: its file host {name} is failing" in told(caplog)[0]
            upstream.heal()
            assert (await daemon.ask(paths[0])).status == 200


@pytest.fixture
async def hasty(tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Running]:
    """A daemon whose clients wait a short time for a page that they may have stale."""
    async with running(tmp_path, upstream.url, cache__page_deadline="0.3s") as one:
        yield one


async def test_late__rule_39_only_the_first_ones_wait(
    hasty: Running, upstream: FakeUpstream
) -> None:
    """While upstream hangs two pages wait for their deadline, and no other one does."""
    await warmed(hasty)
    upstream.fault("*", "hang")
    waits = []
    for name in NAMES:
        began = time.monotonic()
        reply = await ask(hasty, name)
        waits.append(time.monotonic() - began)
        assert (reply.status, "detail=" in reply.headers["Cache-Status"]) == (200, True)
    assert [wait >= 0.3 for wait in waits] == [True, True] + [False] * (len(NAMES) - 2)
    assert ((await state(hasty)).state, (await state(hasty)).last_error) == (
        "slow",
        "no answer in time",
    )
    hasty.clock.advance(10)
    assert (await state(hasty)).state == "failing"


async def test_late__rule_41_retries_do_not_wait_as_long(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks again for a page that did not come in a whole deadline has a 503 sooner."""
    monkeypatch.setattr("pypicached.cache.pages.AGAIN_SECONDS", 0.1)
    gate = upstream.hold("*")
    async with running(tmp_path, upstream.url, cache__cold_deadline="1s") as daemon:
        waits = []
        for _ in range(3):
            began = time.monotonic()
            assert (await ask(daemon, "p0")).status == 503
            waits.append(time.monotonic() - began)
        assert (waits[0] >= 1.0, max(waits[1:]) < 0.9) == (True, True)
        assert upstream.count("*") == 1
        gate.open()
        async with asyncio.timeout(10):
            while (await ask(daemon, "p0")).status != 200:
                pass


async def test_late__rule_41_page_and_file_share_one_deadline(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """What the page of a file takes is a part of what its first byte may take."""
    async with running(
        tmp_path, upstream.url, cache__cold_deadline="1s", cache__page_deadline="0.8s"
    ) as daemon:
        url = await daemon.file_url("p0", make_wheel("p0").filename)
        daemon.clock.advance(3600)
        upstream.fault("*", "hang")
        began = time.monotonic()
        reply = await daemon.ask(url.removeprefix(daemon.url))
        assert (reply.status, "no first byte" in reply.text) == (503, True)
        assert time.monotonic() - began < 1.6


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_late__rule_41_candidates_share_one_deadline(
    tmp_path: Path, upstream: FakeUpstream, method: str
) -> None:
    """Pages that may list a file are asked one after the other, within one deadline."""
    upstream.fault("*", "hang")
    async with running(tmp_path, upstream.url, cache__cold_deadline="0.6s") as daemon:
        path = "/files/pypi/files.example/a/my-long-project-name-1.0.tar.gz"
        began = time.monotonic()
        assert (await daemon.ask(path, method)).status == 503
        assert time.monotonic() - began < 1.1


async def test_late__rule_41_55_head_of_a_cold_file(tmp_path: Path) -> None:
    """HEAD has the deadline of a first byte, where only the file host knows the length."""
    async with FakeUpstream(style="html", separate_files=True) as upstream:
        wheel = make_wheel("alpha")
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url, cache__cold_deadline="0.6s") as daemon:
            url = await daemon.file_url("alpha", wheel.filename)
            upstream.fault("*.whl", "hang")
            began = time.monotonic()
            assert (await daemon.ask(url.removeprefix(daemon.url), "HEAD")).status == 503
            assert time.monotonic() - began < 1.1


async def test_late__one_slow_page(hasty: Running, upstream: FakeUpstream) -> None:
    """One page that takes for ever keeps none of the others from being asked for first."""
    await warmed(hasty)
    upstream.fault("/simple/p0/", "hang")
    await ask(hasty, "p0")
    await ask(hasty, "p0")
    for name in NAMES[1:]:
        assert "fwd-status=304" in (await ask(hasty, name)).headers["Cache-Status"]


async def test_late__rule_41_indexes_share_one_deadline(tmp_path: Path) -> None:
    """Two indexes that are asked one after the other take one deadline together, not one each."""
    async with FakeUpstream() as first, FakeUpstream() as second:
        config = write_config(
            tmp_path, {"name": "first", "url": first.url}, {"name": "second", "url": second.url}
        )
        first.fault("/simple/p0/", "delay", seconds=0.8)
        second.fault("/simple/p0/", "hang")
        async with running(tmp_path, config=config, cache__cold_deadline="1s") as daemon:
            began = time.monotonic()
            reply = await ask(daemon, "p0")
            assert (reply.status, "index second" in reply.text) == (503, True)
            assert time.monotonic() - began < 1.7
