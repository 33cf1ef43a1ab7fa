"""`[policy]`: what is refused is refused at every way to it; what is served is consistent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pypicached.policy import Rules
from pypicached.requirement import parse_requirement
from tests.cache.client import settled
from tests.fake import DistFile, FakeUpstream, make_sdist, make_wheel
from tests.harness import JSON, Clock, Reply, Running, running

DAY = 86400.0
HTML = "text/html"


def uploaded(days_ago: float) -> str:
    """Return an upload time (PEP 700)."""
    moment = datetime.fromtimestamp(Clock()() - days_ago * DAY, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


OLD = make_wheel("alpha", "1.0", upload_time=uploaded(100))
FRESH = make_wheel("alpha", "2.0", upload_time=uploaded(1))
# Served from memory the first, by `sendfile` the second.
LARGE = make_wheel("alpha", "2.1", upload_time=uploaded(1), size_bytes=200_000)


def publish(upstream: FakeUpstream) -> None:
    upstream.add("alpha", OLD, FRESH, LARGE)


def withdraw(upstream: FakeUpstream) -> None:
    upstream.remove("alpha")
    upstream.add("alpha", OLD)


def vanish(upstream: FakeUpstream) -> None:
    upstream.remove("alpha")


def quarantine(upstream: FakeUpstream) -> None:
    upstream.add("alpha", status="quarantined")


class Case(msgspec.Struct):
    """Rules, what happens upstream, words of the refusal; `lists_old`: the page has the rest."""

    overrides: dict[str, Any]
    words: str
    lists_old: bool = False
    after: Callable[[FakeUpstream], None] | None = None
    # Without the page nobody knows that there is such a file.
    unknown: bool = False


CASES = {
    "denied project": Case({"policy__deny": ["Alpha"]}, 'deny "alpha"'),
    "denied versions": Case({"policy__deny": ["alpha>=2", "beta"]}, 'deny "alpha>=2"', True),
    "not allowed": Case({"policy__allow": ["beta"]}, "[policy] allow"),
    "other versions allowed": Case({"policy__allow": ["alpha<2"]}, "[policy] allow", True),
    "too young": Case({"policy__min_age": "7d"}, "[policy] min_age until", True),
    "all too young": Case({"policy__min_age": "1000d"}, "[policy] min_age until"),
    "removed files": Case(
        {"policy__removed_files": "refuse"}, "[policy] removed_files", True, withdraw, unknown=True
    ),
    "removed project": Case(
        {"policy__removed_files": "refuse"}, "[policy] removed_files", False, vanish, unknown=True
    ),
    "quarantined": Case({}, "quarantined", False, quarantine),
}


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("name", CASES)
async def test_policy__rule_60_refused_at_every_way(
    tmp_path: Path, name: str, cached: bool
) -> None:
    """By page, URL, sidecar, range, HEAD, another index path or spelling, cached or not."""
    case, clock = CASES[name], Clock()
    async with FakeUpstream() as upstream:
        publish(upstream)
        async with running(tmp_path, upstream.url, clock) as daemon:
            paths = {f.filename: await path_of(daemon, f) for f in (FRESH, LARGE)}
            for path in paths.values() if cached else ():
                assert (await daemon.ask(path)).status == 200
                assert (await daemon.ask(f"{path}.metadata")).status == 200
            await settled(daemon)
        if case.after is not None:
            case.after(upstream)
            clock.advance(3600)
        if case.unknown and not cached:
            case.words = ""
        async with running(tmp_path, upstream.url, clock, **case.overrides) as daemon:
            await daemon.ask("/simple/alpha/")
            for file in (FRESH, LARGE):
                await assert_refused_everywhere(daemon, case, file, paths[file.filename])
            # What was refused once is refused from memory, too.
            for path in paths.values():
                assert_refused(case, await daemon.ask(path))


def names_of(page: dict[str, object]) -> list[str]:
    files = page["files"]
    assert isinstance(files, list)
    return [file["filename"] for file in files]


async def path_of(daemon: Running, file: DistFile) -> str:
    return (await daemon.file_url("alpha", file.filename)).removeprefix(daemon.url)


async def assert_refused_everywhere(daemon: Running, case: Case, file: DistFile, path: str) -> None:
    for prefix in ("/simple", "/pypi/simple"):
        for accept in (JSON, HTML):
            page = await daemon.ask(f"{prefix}/alpha/", Accept=accept)
            assert f"/{file.filename}" not in page.text
            assert (f"/{OLD.filename}" in page.text) is case.lists_old
        link = await daemon.ask(f"{prefix}/alpha/{file.filename}")
        assert link.status in (403, 404)
    encoded = path.replace("alpha-", "%61lpha%2D")
    for way in (path, encoded, path.replace("127.0.0.1", "127.0.0.%31")):
        for target in (way, f"{way}.metadata"):
            assert_refused(case, await daemon.ask(target))
            assert_refused(case, await daemon.ask(target, Range="bytes=0-9"))
            assert_refused(case, await daemon.ask(target, Cache_Control="no-cache"))
            head = await daemon.ask(target, "HEAD")
            assert head.status == (403 if case.words else 404)


def assert_refused(case: Case, reply: Reply) -> None:
    if not case.words:  # never cached, and listed nowhere: nothing is known of it
        assert reply.status == 404
        return
    assert reply.status == 403, reply.body
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers["Cache-Control"] == "no-store"
    assert case.words in msgspec.json.decode(reply.body)["detail"]


@pytest.mark.parametrize("name", ["denied project", "not allowed", "all too young"])
async def test_policy__rule_61_page_of_nothing(tmp_path: Path, name: str) -> None:
    """A page without a file that may be served is a 403 with the rule, not a 404."""
    case = CASES[name]
    async with FakeUpstream() as upstream:
        publish(upstream)
        async with running(tmp_path, upstream.url, **case.overrides) as daemon:
            for target in ("/simple/alpha/", "/pypi/simple/alpha/") * 2:
                for method in ("GET", "HEAD"):
                    reply = await daemon.ask(target, method)
                    assert reply.status == 403
                    assert case.words in (reply.reason or "")
                assert_refused(case, await daemon.ask(target))


@pytest.mark.parametrize("name", ["denied project", "not allowed"])
async def test_policy__asks_nobody_for_what_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Upstream does not hear of it."""
    async with FakeUpstream() as upstream:
        publish(upstream)
        async with running(tmp_path, upstream.url, **CASES[name].overrides) as daemon:
            path = f"/files/pypi/127.0.0.1/x/{OLD.filename}"
            for target in ("/simple/alpha/", "/simple/Alpha/a.whl", path, f"{path}.metadata"):
                await daemon.ask(target)
    assert upstream.requests == []


async def test_policy__versions_go_with_files(tmp_path: Path) -> None:
    """`versions` has those of the files left, in the index's own spelling (PEP 700)."""
    young = make_sdist("alpha", "1.0", upload_time=uploaded(1))
    async with FakeUpstream() as upstream:
        versions = ["0.9", "1", "2.0.0", "2.1", "odd"]
        upstream.add("alpha", OLD, young, FRESH, LARGE, members={"versions": versions})
        async with running(tmp_path, upstream.url, policy__min_age="7d") as daemon:
            page = await daemon.page("alpha")
            assert names_of(page) == [OLD.filename]
            assert page["versions"] == ["1"]
        async with running(tmp_path, upstream.url, policy__deny=["alpha<1", "alpha>2"]) as daemon:
            assert (await daemon.page("alpha"))["versions"] == ["1", "2.0.0"]


@pytest.mark.parametrize("offline", [False, True])
async def test_policy__coming_of_age(tmp_path: Path, offline: bool) -> None:
    """A file appears at its moment, without a new page and without upstream; its URL opens, too."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        publish(upstream)
        async with running(
            tmp_path, upstream.url, clock, policy__min_age="7d", cache__page_ttl="30d"
        ) as daemon:
            path = f"/files/pypi/{upstream.url_of(FRESH).removeprefix('http://')}"
            assert names_of(await daemon.page("alpha")) == [OLD.filename]
            assert (await daemon.ask(path)).status == 403
            asked = len(upstream.requests)
            clock.advance(6 * DAY - 7200)
            assert len(names_of(await daemon.page("alpha"))) == 1
            clock.advance(7200)
            assert len(names_of(await daemon.page("alpha"))) == 3
            assert len(upstream.requests) == asked
            if offline:
                await upstream.stop()
                assert (await daemon.ask(path)).status == 503
            else:
                assert (await daemon.ask(path)).body == FRESH.body


async def test_policy__without_dates(tmp_path: Path) -> None:
    """Of an index that does not say when, nothing is of age but what is exempt."""
    clock = Clock()
    async with FakeUpstream(style="html") as upstream:
        publish(upstream)
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await path_of(daemon, OLD)
            assert (await daemon.ask(path)).status == 200
            await settled(daemon)
        case = Case({}, "min_age, its upload time is unknown")
        async with running(tmp_path, upstream.url, clock, policy__min_age="7d") as daemon:
            for target in ("/simple/alpha/", path, f"{path}.metadata"):
                assert_refused(case, await daemon.ask(target))
            clock.advance(1000 * DAY)
            assert_refused(case, await daemon.ask(path))
        async with running(
            tmp_path, upstream.url, clock, policy__min_age="7d", policy__exempt=["al*"]
        ) as daemon:
            assert (await daemon.ask(path)).status == 200
            assert len(names_of(await daemon.page("alpha"))) == 3


async def test_policy__dates_come_later(tmp_path: Path) -> None:
    """What was kept from a page without dates is served once a page has them; no byte moves."""
    clock = Clock()
    async with FakeUpstream(style="html") as upstream:
        publish(upstream)
        async with running(tmp_path, upstream.url, clock) as daemon:
            paths = [await path_of(daemon, file) for file in (OLD, LARGE)]
            for path in paths:
                await daemon.ask(path)
                await daemon.ask(f"{path}.metadata")
            await settled(daemon)
        upstream.dialect.style = "json"
        clock.advance(3600)
        files = upstream.count("*.whl")
        async with running(tmp_path, upstream.url, clock, policy__min_age="7d") as daemon:
            for _ in range(2):
                assert (await daemon.ask(paths[0])).body == OLD.body
                assert (await daemon.ask(f"{paths[0]}.metadata")).status == 200
                assert (await daemon.ask(paths[1])).status == 403
                assert (await daemon.ask(f"{paths[1]}.metadata")).status == 403
    assert upstream.count("*.whl") == files


async def test_policy__another_date(tmp_path: Path) -> None:
    """A file whose page gives it a later date is held back by that, cached or not."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        publish(upstream)
        async with running(tmp_path, upstream.url, clock, policy__min_age="7d") as daemon:
            path = await path_of(daemon, OLD)
            assert (await daemon.ask(path)).status == 200
            await settled(daemon)
            upstream.add("alpha", rows={OLD.filename: {"upload-time": uploaded(2)}})
            clock.advance(3600)
            assert (await daemon.ask("/simple/alpha/")).status == 403
            assert (await daemon.ask(path)).status == 403


async def test_policy__other_rules_at_once(tmp_path: Path) -> None:
    """New rules act on pages and files in memory, and on downloads that run."""
    async with FakeUpstream() as upstream:
        publish(upstream)
        async with running(tmp_path, upstream.url) as daemon:
            path, running_path = await path_of(daemon, OLD), await path_of(daemon, LARGE)
            assert (await daemon.ask(path)).status == 200
            await settled(daemon)
            gate = upstream.hold("*2.1*.whl")
            first = asyncio.create_task(daemon.ask(running_path))
            await gate.reached()
            daemon.parts.gate.apply(Rules(deny=(parse_requirement("alpha"),)))
            for target in ("/simple/alpha/", path, running_path):
                assert (await daemon.ask(target)).status == 403
            gate.open()
            # Nothing of it had left: a download that has begun to reach its client goes on.
            assert (await first).status == 403
            daemon.parts.gate.apply(Rules())
            for target in ("/simple/alpha/", path, running_path):
                assert (await daemon.ask(target)).status == 200


async def test_policy__stale_pages(tmp_path: Path) -> None:
    """In an outage the rules are the same."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        publish(upstream)
        async with running(tmp_path, upstream.url, clock, policy__min_age="7d") as daemon:
            await daemon.page("alpha")
            await upstream.stop()
            clock.advance(3600)
            reply = await daemon.ask("/simple/alpha/", Accept=JSON)
            assert "fwd=stale" in reply.headers["Cache-Status"]
            assert FRESH.filename not in reply.text
            assert OLD.filename in reply.text
            path = f"/files/pypi/{upstream.url_of(FRESH).removeprefix('http://')}"
            assert (await daemon.ask(path)).status == 403


async def test_policy__other_case_of_the_host(tmp_path: Path) -> None:
    """A host is the same however it is spelt, and so is the refusal."""
    async with FakeUpstream(separate_files=False, links="relative") as upstream:
        publish(upstream)
        url = upstream.url.replace("127.0.0.1", "localhost")
        async with running(tmp_path, url) as daemon:
            path = await path_of(daemon, FRESH)
            assert "/localhost:" in path
            assert (await daemon.ask(path)).status == 200
            await settled(daemon)
        async with running(tmp_path, url, policy__min_age="7d") as daemon:
            for host in ("localhost", "LOCALHOST", "LocalHost", "%6Cocalhost"):
                assert (await daemon.ask(path.replace("localhost", host))).status == 403


async def test_policy__odd_names(tmp_path: Path) -> None:
    """A file whose name does not tell its version is any version to a rule about versions."""
    file = make_sdist("alpha", "1.0")
    strange = DistFile("alpha-final-build.tar.gz", file.body, None, file.sha256)
    async with FakeUpstream() as upstream:
        upstream.add("alpha", OLD, strange)
        async with running(tmp_path, upstream.url, policy__deny=["alpha==5"]) as daemon:
            page = await daemon.page("alpha")
            assert names_of(page) == [OLD.filename]
            path = f"/files/pypi/{upstream.url_of(strange).removeprefix('http://')}"
            assert (await daemon.ask(path)).status == 403
