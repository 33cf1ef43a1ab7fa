"""The project list: names of all indexes, made in a worker, in the way of nothing (rule 30)."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from selectolax.lexbor import LexborHTMLParser

from pypicached.cache.worker import Worker
from pypicached.messages import InvalidateRequest
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Clock, Reply, Running, running, write_config

LIST = "/simple/"
NAMES = ["alpha", "beta", "gamma-delta"]
NEVER_SECONDS = 3.0


@pytest.fixture(autouse=True)
def _published(upstream: FakeUpstream) -> None:
    for name in NAMES:
        upstream.add(name, make_wheel(name))


async def ask(daemon: Running, path: str = LIST, **headers: str) -> Reply:
    return await daemon.ask(path, **{"Accept": JSON} | headers)


def names(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.text
    listed = json.loads(reply.body)
    assert listed["meta"] == {"api-version": "1.0"}
    return [project["name"] for project in listed["projects"]]


async def two(directory: Path, first: FakeUpstream, second: FakeUpstream, **keys: object) -> Path:
    return write_config(
        directory,
        {"name": "first", "url": first.url, **keys},
        {"name": "second", "url": second.url},
    )


# ── what it says ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("style", ["json", "html"])
@pytest.mark.parametrize("charset", [False, True])
async def test_list__both_formats_from_both_kinds_of_upstream(
    daemon: Running, upstream: FakeUpstream, style: Literal["json", "html"], charset: bool
) -> None:
    """A list of either kind is told in JSON and in HTML, with links relative to it."""
    upstream.dialect.style, upstream.dialect.charset = style, charset
    assert names(await ask(daemon)) == NAMES
    reply = await daemon.ask(LIST, Accept="text/html")
    links = LexborHTMLParser(reply.text).css("a")
    assert [node.text() for node in links] == NAMES
    assert [node.attributes["href"] for node in links] == [f"{name}/" for name in NAMES]
    assert upstream.count(LIST) == 1


async def test_list__names_as_upstream_spells_them(daemon: Running, upstream: FakeUpstream) -> None:
    """Names keep upstream's spelling, links are normalized, and what is no name is left out."""
    spelled = ["Alpha_B", "x.Y", "../up", "<b>", "", "a b", "z"]
    page = {"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in spelled]}
    upstream.serve(LIST, json.dumps(page).encode(), JSON)
    assert names(await ask(daemon)) == ["Alpha_B", "x.Y", "z"]
    links = LexborHTMLParser((await daemon.ask(LIST)).text).css("a")
    assert [node.attributes["href"] for node in links] == ["alpha-b/", "x-y/", "z/"]


async def test_list__all_indexes_or_one(tmp_path: Path, upstream: FakeUpstream) -> None:
    """`/simple/` lists the names of all indexes, each once; `/INDEX/simple/` those of one."""
    async with FakeUpstream() as other:
        other.add("beta", make_wheel("beta"))
        other.add("zeta", make_wheel("zeta"))
        config = await two(tmp_path, upstream, other)
        async with running(tmp_path, config=config) as daemon:
            assert names(await ask(daemon)) == [*NAMES, "zeta"]
            assert names(await ask(daemon, "/first/simple/")) == NAMES
            assert names(await ask(daemon, "/second/simple/")) == ["beta", "zeta"]
        assert (upstream.count(LIST), other.count(LIST)) == (1, 1)


async def test_list__of_many_thousands(daemon: Running, upstream: FakeUpstream) -> None:
    """A list of many pieces is whole in each format and coding."""
    many = [f"project-{n}" for n in range(30_000)]
    links = "".join(f'<a href="/simple/{name}/">{name}</a>\n' for name in many)
    upstream.serve(LIST, f"<!DOCTYPE html><html><body>{links}</body></html>".encode())
    assert names(await ask(daemon)) == many
    html = await daemon.ask(LIST, Accept="text/html", Accept_Encoding="gzip")
    found = LexborHTMLParser(gzip.decompress(html.body)).css("a")
    assert [node.text() for node in found] == many


# ── when it is asked for ─────────────────────────────────────────────────────────────────────


async def test_list__rules_33_35_fresh_kept_and_renewed(
    tmp_path: Path, upstream: FakeUpstream, clock: Clock
) -> None:
    """A list is kept for the TTL, across a restart, then renewed by a 304 with the same ETag."""
    async with running(tmp_path, upstream.url, clock) as daemon:
        first = await ask(daemon)
        assert first.headers["Cache-Status"] == "pypicached; fwd=miss; stored"
    clock.advance(500)
    async with running(tmp_path, upstream.url, clock) as daemon:
        reply = await ask(daemon)
        assert (reply.body, reply.headers["ETag"]) == (first.body, first.headers["ETag"])
        assert reply.headers["Cache-Status"] == "pypicached; hit"
        assert 500 <= int(reply.headers["Age"]) < 510
        assert upstream.count(LIST) == 1
        clock.advance(101)
        again = await ask(daemon, If_None_Match=first.headers["ETag"])
        assert (again.status, again.headers["Age"]) == (304, "0")
        assert again.headers["Cache-Status"] == "pypicached; fwd=stale; fwd-status=304"
    assert "if-none-match" in upstream.requests[-1].headers


async def test_list__changed(daemon: Running, upstream: FakeUpstream, tmp_path: Path) -> None:
    """A list that has changed is told anew, and its old renderings leave the disk."""
    for _ in range(3):
        for coding in ("identity", "gzip"):
            await ask(daemon, Accept_Encoding=coding)
        daemon.clock.advance(601)
        upstream.add(f"new-{len(upstream.projects)}", make_wheel("new"))
    assert len(names(await ask(daemon))) == len(NAMES) + 3
    await ask(daemon, Accept_Encoding="gzip")
    assert len(list((tmp_path / "cache" / "lists").iterdir())) == 2
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []


async def test_list__invalidate(daemon: Running, upstream: FakeUpstream) -> None:
    """`invalidate --project-list` makes the next request ask upstream."""
    await ask(daemon)
    upstream.add("zeta", make_wheel("zeta"))
    await daemon.daemon.parts.keeping.invalidate(InvalidateRequest(project_list=True))
    assert names(await ask(daemon)) == [*NAMES, "zeta"]


async def test_list__rule_47_one_request_and_one_worker_at_a_time(
    daemon: Running, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cold requests in every variant are one upstream request, and never two workers at once."""
    running_now, most = 0, 0
    start = asyncio.create_subprocess_exec

    async def counted(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        nonlocal running_now, most
        process = await start(*arguments, **options)
        running_now += 1
        most = max(most, running_now)
        communicate = process.communicate

        async def ended(data: bytes | None = None) -> tuple[bytes, bytes]:
            nonlocal running_now
            said = await communicate(data)
            running_now -= 1
            return said

        monkeypatch.setattr(process, "communicate", ended)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    variants = [(accept, coding) for accept in (JSON, "text/html") for coding in ("gzip", "zstd")]
    asked = [daemon.ask(LIST, Accept=a, Accept_Encoding=c) for a, c in variants * 5]
    replies = await asyncio.gather(*asked)
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == len(variants)
    assert (upstream.count(LIST), most, running_now) == (1, 1, 0)


async def test_list__rule_30_never_delays_a_page(
    daemon: Running, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the list is fetched, and while a worker is at it, project pages are served."""
    gate = upstream.hold(LIST)
    at_work, done = asyncio.Event(), asyncio.Event()
    run: Callable[..., Awaitable[None]] = Worker.run

    async def slowly(self: Worker, *arguments: str) -> None:
        at_work.set()
        await done.wait()
        await run(self, *arguments)

    monkeypatch.setattr(Worker, "run", slowly)
    listing = asyncio.ensure_future(ask(daemon))
    await gate.reached()
    assert (await asyncio.wait_for(ask(daemon, "/simple/alpha/"), NEVER_SECONDS)).status == 200
    gate.open()
    await at_work.wait()
    assert (await asyncio.wait_for(ask(daemon, "/simple/beta/"), NEVER_SECONDS)).status == 200
    assert not listing.done()
    done.set()
    assert names(await listing) == NAMES


# ── when it cannot be had ────────────────────────────────────────────────────────────────────


async def test_list__404_where_no_index_offers_one(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Where no index offers a list it is 404, remembered; one that does is enough."""
    upstream.fault(LIST, "status", code=404)
    async with FakeUpstream() as other:
        other.add("zeta", make_wheel("zeta"))
        async with running(tmp_path, config=await two(tmp_path, upstream, other)) as daemon:
            for _ in range(2):
                assert (await ask(daemon, "/first/simple/")).status == 404
            assert upstream.count(LIST) == 1
            assert names(await ask(daemon)) == ["zeta"]
            other.fault(LIST, "status", code=410)
            daemon.clock.advance(700)
            assert (await ask(daemon)).status == 404


async def test_list__stale_and_refused(daemon: Running, upstream: FakeUpstream) -> None:
    """While upstream fails the stored list is served stale; with nothing stored it is a 503."""
    upstream.fault(LIST, "status", code=500)
    reply = await ask(daemon)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert "index pypi: answered 500" in (reply.reason or "")
    upstream.heal()
    before = await ask(daemon)
    upstream.fault(LIST, "status", code=500)
    daemon.clock.advance(700)
    stale = await ask(daemon)
    assert (stale.status, stale.body) == (200, before.body)
    assert stale.headers["Cache-Status"] == 'pypicached; fwd=stale; detail="answered 500"'


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"<html><body><input type=password></body></html>", "text/html", "login form"),
        (b'{"meta": {"api-version": "1.0"}, "projects": [{"na', JSON, "cut or no JSON"),
        (b'{"meta": {"api-version": "2.0"}, "projects": []}', JSON, "another major API version"),
        (b"PNG", "image/png", "Content-Type"),
        (b"<a>" * 100_000, "text/html", "[limits] page_size"),
    ],
)
async def test_list__that_is_none(
    tmp_path: Path, upstream: FakeUpstream, body: bytes, content_type: str, reason: str
) -> None:
    """What is no list, or beyond four times `page_size`, is a 502 that says so, and not stored."""
    upstream.serve(LIST, body, content_type)
    async with running(tmp_path, upstream.url, limits__page_size="70KiB") as daemon:
        reply = await ask(daemon)
        assert (reply.status, reason in (reply.reason or "")) == (502, True)
        assert list((tmp_path / "cache" / "tmp").iterdir()) == []
        upstream._site.static.clear()
        assert names(await ask(daemon)) == NAMES


async def test_list__rule_41_hanging_indexes_share_one_deadline(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All indexes are asked at once: two slow ones take no longer than one."""
    async with FakeUpstream() as other:
        first, second = upstream.hold(LIST), other.hold(LIST)
        config = await two(tmp_path, upstream, other)
        async with running(tmp_path, config=config, cache__cold_deadline="0.2s") as daemon:
            reply = await ask(daemon)
            assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
            for gate in (first, second):
                await asyncio.wait_for(gate.reached(), NEVER_SECONDS)
                gate.open()
            while (reply := await ask(daemon)).status == 503:
                pass
            assert names(reply) == NAMES
        assert (upstream.count(LIST), other.count(LIST)) == (1, 1)
