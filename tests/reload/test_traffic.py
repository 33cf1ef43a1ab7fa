"""Reloads beside traffic: no request fails, none waits, and nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections import Counter

import aiohttp
import pytest

from pypicached.cache import transfer
from pypicached.upstream import Retiring
from tests.cache.client import settled, spools_in, until
from tests.cache.test_leaks import traces
from tests.fake import make_wheel
from tests.harness import JSON, Running
from tests.reload.world import ALPHA, LARGE, World, changed, file_path, reload

CONNECTIONS = 64
RELOADS = 40
PROJECTS = 30


def texts(world: World) -> list[str]:
    """Return files that differ in what matters most: rules, times, indexes, credentials."""
    main, other = world.index(), world.index("other")
    return [
        main,
        main + other,
        world.index(token='"x"') + other,
        main + world.index("other", projects='["acme-*"]'),
        main + other + '[policy]\ndeny = ["evil"]\nmin_age = "1d"\n[cache]\npage_ttl = "1s"\n',
        main + other + '[limits]\npage_size = "64MiB"\n[server]\naccess_log = true\n',
        main + '[cache]\nmemory = "0"\nmax_size = "9GiB"\n[audit]\nkeep = "off"\n',
    ]


async def test_traffic__no_request_fails(world: World) -> None:
    """64 connections ask for pages, lists and files, cached and not, through 40 reloads."""
    for n in range(PROJECTS):
        world.main.add(f"p{n}", make_wheel(f"p{n}", size_bytes=100_000))
    results: Counter[tuple[str, int]] = Counter()
    over = asyncio.Event()

    async def client(daemon: Running, number: int) -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            session._retry_connection = False
            turn = number
            while not over.is_set():
                turn += 1
                name = f"p{turn % PROJECTS}"
                wheel = make_wheel(name, size_bytes=100_000) if turn % 3 == 0 else None
                target = f"/simple/{name}/" if turn % 7 else "/simple/"
                if wheel is not None:
                    target = file_path("main", world.main, wheel)
                headers = {"Accept": JSON}
                if turn % 11 == 0:
                    headers["Cache-Control"] = "no-cache"
                async with session.get(daemon.url + target, headers=headers) as answer:
                    body = await answer.read()
                    results[target.split("/")[1], answer.status] += 1
                    assert wheel is None or body == wheel.body

    choices = texts(world)
    async with world.running(choices[0]) as daemon:
        async with asyncio.TaskGroup() as group:
            for number in range(CONNECTIONS):
                group.create_task(client(daemon, number))
            with contextlib.ExitStack() as stack:
                stack.callback(over.set)
                for n in range(1, RELOADS):
                    before = results.total()
                    assert (await world.reload(daemon, choices[n % len(choices)])).changed
                    await until(lambda seen=before: results.total() > seen + 20)  # type: ignore[misc]
        await settled(daemon)
        assert {status for _, status in results} == {200}, results
        assert spools_in(daemon) == []


async def test_traffic__a_download_survives_every_reload(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transfer that breaks after its index got other settings is resumed as it was begun."""
    monkeypatch.setattr(transfer, "RESUME_PAUSE_SECONDS", 0.5)
    async with world.running("") as daemon:
        world.main.fault("*2.0*.whl", "reset_after", times=1, n=250_000)
        gate = world.main.hold("*2.0*.whl", after_bytes=200_000)
        path = file_path("main", world.main, LARGE)
        asked = asyncio.create_task(daemon.ask(path))
        await gate.reached()
        old = daemon.parts.connections["main"]
        assert daemon.parts.files.uses(old)
        for token in "abc":
            await world.reload(daemon, world.index(token=f'"{token}"'))
        gate.open()
        # It pauses before it is resumed.
        await until(lambda: not old.busy)
        for _ in range(3):
            await daemon.parts.retiring.look()
        assert len(daemon.parts.retiring) == 1
        assert (await asked).body == LARGE.body
        await settled(daemon)
        for _ in range(2):
            await daemon.parts.retiring.look()
        assert len(daemon.parts.retiring) == 0
        assert not daemon.parts.files.uses(old)
        assert old is not daemon.parts.connections["main"]


async def test_traffic__a_pause_is_no_end(world: World) -> None:
    """A connection stays open while a transfer pauses that it broke under; then it is closed."""
    over = False
    async with world.running("") as daemon:
        await daemon.ask("/simple/alpha/")
        connection = daemon.parts.connections["main"]
        retiring = Retiring(lambda one: not over and one is connection)
        retiring.add(connection)
        for _ in range(3):
            await retiring.look()
        daemon.clock.advance(3600)
        assert (await daemon.ask("/simple/alpha/")).status == 200
        assert len(retiring) == 1
        over = True
        for _ in range(2):
            assert len(retiring) == 1
            await retiring.look()
        assert len(retiring) == 0
        daemon.clock.advance(40 * 86400)
        reply = await daemon.ask("/simple/alpha/")
        assert (reply.status, "its settings have changed" in reply.text) == (503, True)


async def test_traffic__at_once(world: World) -> None:
    """Reloads that come together are done one after another; the last file read is in force."""
    async with world.running("") as daemon:
        world.write('[policy]\ndeny = ["alpha"]')
        answers = await asyncio.gather(*(reload(daemon) for _ in range(20)))
        assert [changed(answer) for answer in answers] == [["policy.deny"], *[[]] * 19]
        assert (await daemon.ask("/simple/alpha/")).status == 403


async def test_traffic__a_caller_who_leaves(world: World) -> None:
    """A caller that is gone stops no reload in the middle."""
    async with world.running("") as daemon:
        world.write('[policy]\ndeny = ["alpha"]')
        for _ in range(5):
            leaving = asyncio.create_task(reload(daemon))
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        assert changed(await reload(daemon)) == []
        assert (await daemon.ask("/simple/alpha/")).status == 403


async def test_leaks__200_reloads(world: World) -> None:
    """200 reloads that change everything leave no session, task, descriptor or object behind."""
    choices = texts(world)

    async def rest(daemon: Running) -> int:
        await daemon.ask("/simple/alpha/", Accept=JSON)
        await daemon.ask(file_path("main", world.main, ALPHA))
        await settled(daemon)
        for _ in range(3):
            await daemon.parts.retiring.look()
        for upstream in (world.main, world.other):
            await upstream.stop()
            await upstream.start()
            upstream.clear()
        gc.collect()
        return len(gc.get_objects())

    async def storm(daemon: Running, rounds: int) -> None:
        for n in range(rounds):
            text = choices[n % len(choices)].replace('"x"', f'"{n}"')
            assert (await world.reload(daemon, text)).changed
            await daemon.ask("/simple/alpha/", Accept=JSON, Cache_Control="no-cache")
            await daemon.ask(file_path("main", world.main, ALPHA))

    async with world.running(choices[-1]) as daemon:
        await storm(daemon, len(choices) * 2)
        objects = await rest(daemon)
        before = traces(daemon)
        await storm(daemon, len(choices) * 28)
        grown = await rest(daemon) - objects
        assert traces(daemon) == before
        assert len(daemon.parts.retiring) == 0
        assert grown < 2000
