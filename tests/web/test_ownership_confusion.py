"""The same name on several indexes: its owner's files only, whatever happens in whatever order.

Rule 63 and PRODUCT.md section 5. The other indexes publish the very names, and would be asked in
no time if anything asked them: their records must not hold an owned name anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pypicached.messages import InvalidateRequest, OfflineRequest, PruneRequest
from tests.cache.client import fetch, settled
from tests.fake import FakeUpstream
from tests.harness import JSON, Clock, Running
from tests.web.rivals import LATER_SECONDS, Index, ask_in_every_way, before, foreign, rivals

OWNED: dict[str, dict[str, object]] = {"own": {"projects": ["Acme_*"]}}
NAME = "acme-tool"
PAGE = f"/simple/{NAME}/"

Trouble = Callable[[Running, FakeUpstream], Awaitable[None]]


@pytest.fixture
async def three() -> AsyncIterator[list[Index]]:
    async with rivals("own", "other", "third") as indexes:
        for index in indexes:
            index.publish(NAME, "zz")
        yield indexes


def check_untold(indexes: list[Index], word: str = "acme") -> None:
    """No request of these indexes holds the word in its path, query or headers."""
    assert [(one.name, one.told(word)) for one in indexes] == [(one.name, []) for one in indexes]


async def owner(daemon: Running, name: str = NAME, prefix: str = "") -> str | int:
    """Return whose files a page lists, or the status if there is no page."""
    reply = await daemon.ask(f"{prefix}/simple/{name}/", Accept=JSON)
    if reply.status != 200:
        return reply.status
    links = {
        file["url"].partition("files/")[2].split("/")[0] for file in json.loads(reply.text)["files"]
    }
    assert len(links) == 1
    return str(links.pop())


# ── owned by `projects` ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_confusion__rule_63_asked_in_every_way(
    tmp_path: Path, three: list[Index], place: int
) -> None:
    """Wherever the owner stands in the file, no URL leads to another's file, nor asks another."""
    own, *others = three
    indexes = [*others[:place], own, *others[place:]]
    async with before(tmp_path, *indexes, keys=OWNED) as daemon:
        for _ in range(2):  # cold, and with all of it cached
            asked = await ask_in_every_way(daemon, NAME, three)
            await settled(daemon)
            assert foreign(asked, NAME, others) == []
            # It did serve: page, file, range and sidecar of the owner.
            statuses = {
                one.reply.status for one in asked if f"/files/own/{own.path_of(NAME)}" in one.target
            }
            assert statuses == {200, 206}
        # The project list was asked of all of them, and what it names is the owner's alone.
        assert all(one.upstream.count("/simple/") for one in three)
    check_untold(others)


async def no_dns(daemon: Running, _: FakeUpstream) -> None:
    def lookup(*_: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    connection = daemon.parts.connections["own"]
    connection._sessions._resolver._lookup = lookup  # type: ignore[assignment]


def fault(kind: str, **arguments: Any) -> Trouble:
    async def strike(_: Running, upstream: FakeUpstream) -> None:
        upstream.fault("*", kind, **arguments)

    return strike


async def refused(_: Running, upstream: FakeUpstream) -> None:
    await upstream.stop()


TROUBLES: dict[str, Trouble] = {
    "500": fault("status", code=500),
    "429": fault("status", code=429),
    "401": fault("status", code=401),
    "400": fault("status", code=400),
    "login page": fault(
        "status", code=200, body=b"<html><form><input type=password></form></html>"
    ),
    "reset": fault("reset_after", n=0),
    "silent": fault("hang"),
    "body stalls": fault("hang_body_after", n=10),
    "refused": refused,
    "no name": no_dns,
    "redirect into nothing": fault("status", code=302, headers={"Location": "//127.0.0.1:1/"}),
}
ABSENCE = {"404": fault("status", code=404), "410": fault("status", code=410)}
by = pytest.mark.parametrize("by", ["projects", "file order"])


def keys_by(by: str) -> dict[str, dict[str, object]]:
    return OWNED if by == "projects" else {}


HASTY: dict[str, Any] = {"cache__page_deadline": "100ms", "cache__cold_deadline": "200ms"}


@by
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_confusion__rule_63_owner_in_trouble(
    tmp_path: Path, three: list[Index], by: str, trouble: str
) -> None:
    """Cold it is 502 or 503, then the owner's; stored it is the owner's, stale; nobody else's."""
    own, *others = three
    if trouble == "no name":
        own.upstream.dialect.root = "/simple/"
    keys = keys_by(by)
    async with before(tmp_path, *three, keys=keys, **HASTY) as daemon:
        await TROUBLES[trouble](daemon, own.upstream)
        if trouble == "no name":
            daemon.parts.connections["own"].url = daemon.parts.connections["own"].url.with_host(
                "own.test"
            )
        for prefix in ("", "/own", "/other", "/third"):
            known = by == "projects" and prefix in ("/other", "/third")
            assert await owner(daemon, prefix=prefix) in ((404,) if known else (502, 503))
        asked = await ask_in_every_way(daemon, NAME, others, 2)
        assert foreign(asked, NAME, others) == []
    check_untold(others)


@by
@pytest.mark.parametrize("trouble", [name for name in TROUBLES if name != "no name"])
async def test_confusion__rule_63_owner_in_trouble_and_back(
    tmp_path: Path, three: list[Index], by: str, trouble: str
) -> None:
    """In an outage the stored page is the owner's, and after it the owner's again."""
    own, *others = three
    async with before(tmp_path, *three, keys=keys_by(by), **HASTY) as daemon:
        assert await owner(daemon) == "own"
        await TROUBLES[trouble](daemon, own.upstream)
        for _ in range(2):
            daemon.clock.advance(LATER_SECONDS)
            assert await owner(daemon) == "own"
            assert await owner(daemon, prefix="/other") == 404
        own.upstream.heal()
        await own.upstream.stop()
        await own.upstream.start()
        daemon.clock.advance(LATER_SECONDS)
        await daemon.daemon.parts.keeping.invalidate(InvalidateRequest(everything=True))
        assert await owner(daemon) == "own"
    check_untold(others)


@by
@pytest.mark.parametrize("status", ABSENCE)
async def test_confusion__rule_63_owner_says_it_is_gone(
    tmp_path: Path, three: list[Index], by: str, status: str
) -> None:
    """What its owner had and has no more is 404, until `invalidate`; by `projects` even then."""
    own, *others = three
    async with before(tmp_path, *three, keys=keys_by(by)) as daemon:
        assert await owner(daemon) == "own"
        await ABSENCE[status](daemon, own.upstream)
        for _ in range(3):
            daemon.clock.advance(LATER_SECONDS)
            for prefix in ("", "/own", "/other", "/third"):
                assert await owner(daemon, prefix=prefix) == 404
        check_untold(others)
        own.upstream.heal()
        daemon.clock.advance(LATER_SECONDS)
        assert await owner(daemon) == "own"
        await ABSENCE[status](daemon, own.upstream)
        daemon.clock.advance(LATER_SECONDS)
        assert await owner(daemon) == 404
        await daemon.daemon.parts.keeping.invalidate(InvalidateRequest(projects=[NAME]))
        assert await owner(daemon) == (404 if by == "projects" else "other")
    check_untold(others if by == "projects" else others[1:])


async def test_confusion__rule_63_all_orders_of_arrival(tmp_path: Path, three: list[Index]) -> None:
    """Requests for one name that come together, while its owner is slow, in every order."""
    own, *others = three
    orders = list(itertools.permutations(["page", "other page", "other file", "list"]))
    names = [f"acme-{number}" for number in range(len(orders))]
    for index in three:
        index.publish(*names)
    gate = own.upstream.hold("/simple/*")
    async with before(tmp_path, *reversed(three), keys=OWNED) as daemon:

        def ask(what: str, name: str) -> Awaitable[object]:
            target = {
                "page": f"/simple/{name}/",
                "other page": f"/other/simple/{name}/",
                "other file": f"/files/other/{others[0].path_of(name)}",
                "list": "/simple/",
            }[what]
            return daemon.ask(target, Accept=JSON)

        running = [
            asyncio.ensure_future(ask(what, name))
            for name, order in zip(names, orders, strict=True)
            for what in order
        ]
        await own.upstream.arrived("/simple/*", len(names) // 2)
        gate.open()
        await asyncio.gather(*running)
        assert {await owner(daemon, name) for name in names} == {"own"}
    check_untold(others)


async def test_confusion__rule_63_two_owners(tmp_path: Path, three: list[Index]) -> None:
    """Of two indexes with `projects` the more general one is not asked what it does not claim."""
    own, other, third = three
    for index in three:
        index.publish("acme-lib", "corp-tool")
    keys: dict[str, dict[str, object]] = {
        "own": {"projects": ["acme-*"], "exclude": ["acme-lib"]},
        "other": {"projects": ["corp-*", "acme-lib"]},
    }
    async with before(tmp_path, third, other, own, keys=keys) as daemon:
        assert await owner(daemon) == "own"
        assert await owner(daemon, "acme-lib") == "other"
        assert await owner(daemon, "corp-tool") == "other"
        assert await owner(daemon, "zz") == "third"
        for name in (NAME, "acme-lib", "corp-tool"):
            await ask_in_every_way(daemon, name, three)
    check_untold([third])
    check_untold([third, own], "corp")
    check_untold([third, other], NAME)
    check_untold([own], "acme-lib")


async def test_confusion__rule_63_list_names_what_is_owned(
    tmp_path: Path, three: list[Index]
) -> None:
    """No list has a name that its index may not answer for: not the joint one, nor its own."""
    own, other, third = three
    own.publish("stray")
    third.publish("Acme.Fake")
    async with before(tmp_path, other, own, third, keys=OWNED) as daemon:

        async def names(prefix: str) -> list[str]:
            reply = await daemon.ask(f"{prefix}/simple/", Accept=JSON)
            return sorted(row["name"] for row in json.loads(reply.body)["projects"])

        assert await names("") == [NAME, "zz"]
        assert await names("/own") == [NAME]
        assert await names("/other") == await names("/third") == ["zz"]
        html = (await daemon.ask("/simple/", Accept="text/html")).text.lower()
        assert ("acme-tool" in html, "fake" in html, "stray" in html) == (True, False, False)


async def test_confusion__rule_63_owned_from_now_on(tmp_path: Path, three: list[Index]) -> None:
    """A file that was cached of another index is not served once the name is owned."""
    own, other, _ = three
    clock = Clock()
    url = f"/files/other/{other.path_of(NAME)}"
    async with before(tmp_path, other, clock=clock) as daemon:
        assert await owner(daemon) == "other"
        for tail in ("", ".metadata"):
            assert (await fetch(daemon, daemon.url + url + tail)).status == 200
        await settled(daemon)
    other.upstream.clear()
    async with before(tmp_path, other, own, keys=OWNED, clock=clock) as daemon:
        for tail in ("", ".metadata"):
            for method in ("GET", "HEAD"):
                assert (await daemon.ask(url + tail, method)).status == 404
        assert await owner(daemon) == "own"
        daemon.parts.offline.on = True
        assert (await daemon.ask(url)).status == 404
    check_untold([other])


# ── racing with what an operator does ────────────────────────────────────────────────────────


async def test_confusion__rule_63_switched_while_requests_run(
    tmp_path: Path, three: list[Index]
) -> None:
    """Offline and online, invalidated and pruned again and again under traffic: nothing leaks."""
    own, *others = three
    names = [f"acme-{number}" for number in range(30)]
    for index in three:
        index.publish(*names)
    async with before(tmp_path, *reversed(three), keys=OWNED) as daemon:
        operations, keeping = daemon.parts.operations, daemon.daemon.parts.keeping

        async def disturb(name: str) -> None:
            operations.set_offline(OfflineRequest(on=True))
            await owner(daemon, name)
            operations.set_offline(OfflineRequest(on=False))
            await keeping.invalidate(InvalidateRequest(projects=[name], files=True))
            daemon.clock.advance(LATER_SECONDS)
            async for _ in keeping.prune(PruneRequest(days=0)):
                pass

        async def traffic(name: str) -> set[str | int]:
            seen = {await owner(daemon, name) for _ in range(3)}
            await daemon.ask(f"/files/other/{others[0].path_of(name)}")
            await daemon.ask(f"/files/own/{own.path_of(name)}")
            return seen

        work = [step for name in names for step in (traffic(name), disturb(name))]
        seen = [found for found in await asyncio.gather(*work) if found]
        assert set().union(*seen) <= {"own", 503}
        assert {await owner(daemon, name) for name in names} == {"own"}
    check_untold(others)


async def test_confusion__online_in_the_middle_of_a_request(
    tmp_path: Path, three: list[Index]
) -> None:
    """What is absent by what was known offline hands no name to the next index online."""
    own, other, _ = three
    own.upstream.remove(NAME)
    async with before(tmp_path, own, other) as daemon:
        assert await owner(daemon) == "other"
        own.publish(NAME)
        own.upstream.clear()
        other.upstream.clear()
        daemon.clock.advance(LATER_SECONDS)
        daemon.parts.offline.on = True
        pages = daemon.parts.catalog.pages["own"]
        whole = pages.get

        async def get(*args: object, **kwargs: object) -> object:
            answer = await whole(*args, **kwargs)  # type: ignore[arg-type]
            daemon.parts.offline.on = False
            return answer

        pages.get = get  # type: ignore[assignment, method-assign]
        await owner(daemon)
        check_untold([other])
        assert await owner(daemon) == "own"
    check_untold([other])


# ── remembering who owned a name ─────────────────────────────────────────────────────────────


def spoil(ledger: Path) -> None:
    with contextlib.closing(sqlite3.connect(ledger)) as db, db:
        db.execute("UPDATE page SET body = x'00' WHERE project = ?", (NAME,))


async def prune_all(daemon: Running) -> None:
    async for _ in daemon.daemon.parts.keeping.prune(PruneRequest(days=0)):
        pass


@pytest.mark.parametrize("how", ["pruned", "pruned twice", "pruned when removed", "damaged"])
async def test_confusion__its_page_is_lost(tmp_path: Path, three: list[Index], how: str) -> None:
    """That an index had a project is remembered without its page, and across a restart."""
    own, *others = three
    clock = Clock()
    async with before(tmp_path, *three, clock=clock) as daemon:
        assert await owner(daemon) == "own"
        own.upstream.remove(NAME)
        if how == "pruned when removed":
            clock.advance(LATER_SECONDS)
            assert await owner(daemon) == 404
        if how == "damaged":
            await daemon.written()
            spoil(daemon.parts.ledger.path)
        else:
            await prune_all(daemon)
    for _ in range(2):
        clock.advance(LATER_SECONDS)
        async with before(tmp_path, *three, clock=clock) as daemon:
            assert await owner(daemon) == 404
            assert await owner(daemon, prefix="/other") == 404
            if how == "pruned twice":
                await prune_all(daemon)
    check_untold(others)
    async with before(tmp_path, *three, clock=clock) as daemon:
        own.publish(NAME)
        await daemon.daemon.parts.keeping.invalidate(InvalidateRequest(projects=[NAME]))
        assert await owner(daemon) == "own"


async def test_confusion__pruned_and_offline(tmp_path: Path, three: list[Index]) -> None:
    """Of a page that was pruned nobody can tell offline: a 503, never absence."""
    async with before(tmp_path, *three) as daemon:
        assert await owner(daemon) == "own"
        await prune_all(daemon)
        daemon.parts.offline.on = True
        assert await owner(daemon) == 503
        assert (await daemon.ask(PAGE)).reason == f"offline: {NAME} is not cached"
        daemon.parts.offline.on = False
        assert await owner(daemon) == "own"
