"""`[policy]` and `offline` at a reload: pages and files in memory, downloads and warms that run."""

from __future__ import annotations

import asyncio

import pytest

from pypicached.messages import OfflineRequest
from pypicached.requirements.model import Inputs, Origin, Wish
from pypicached.warm.messages import WarmAnswer, WarmRequest
from tests.cache.client import fetch, settled, until
from tests.harness import JSON, Running
from tests.reload.world import ALPHA, LARGE, World, changed, file_path, stopped_at

DENY = '[policy]\ndeny = ["alpha"]\n'


async def test_deny__acts_on_what_is_in_memory(world: World) -> None:
    """A page, a file and a sidecar that were hits are refused with the next request, and back."""
    path = file_path("main", world.main, ALPHA)
    targets = ("/simple/alpha/", path, f"{path}.metadata", f"/simple/alpha/{ALPHA.filename}")
    async with world.running("") as daemon:
        for text, expected in (("", (200, 302)), (DENY, (403,)), ("", (200, 302))):
            await world.reload(daemon, text)
            for target in targets * 2:
                assert (await daemon.ask(target)).status in expected, target
            await settled(daemon)


async def test_deny__of_a_version_changes_the_page(world: World) -> None:
    """A page in memory is without the file at once, under another ETag."""
    async with world.running("") as daemon:
        before = await daemon.ask("/simple/alpha/", Accept=JSON)
        await world.reload(daemon, '[policy]\ndeny = ["alpha>=2"]')
        etag = before.headers["ETag"]
        after = await daemon.ask("/simple/alpha/", Accept=JSON, If_None_Match=etag)
        assert after.status == 200
        assert (b"alpha-2.0" in before.body, b"alpha-2.0" in after.body) == (True, False)
        assert world.main.count("/simple/alpha/") == 1


async def test_deny__while_a_page_is_asked_for(world: World) -> None:
    """A page that was asked for under the old rules is answered by the new ones."""
    async with world.running("") as daemon:
        gate = world.main.hold("/simple/alpha/")
        waiting = asyncio.create_task(daemon.ask("/simple/alpha/"))
        await gate.reached()
        await world.reload(daemon, DENY)
        gate.open()
        assert (await waiting).status == 403


async def test_deny__while_a_page_is_rendered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is made for a client under the old rules is made again under the new ones."""
    async with world.running("") as daemon:
        await daemon.ask("/simple/alpha/")
        pages = daemon.parts.catalog.pages["main"]
        with stopped_at(pages, "render", monkeypatch) as stop:
            waiting = asyncio.create_task(daemon.ask("/simple/alpha/", Accept=JSON))
            await stop.reached.wait()
            await world.reload(daemon, DENY)
            stop.go_on.set()
            assert (await waiting).status == 403


async def test_allow_from__on_a_connection_that_stands(world: World) -> None:
    """A client that is known on its connection is judged anew, by the next request."""
    path = file_path("main", world.main, ALPHA)
    async with world.running("") as daemon:
        await daemon.ask(path)
        await settled(daemon)
        assert (await daemon.ask(path)).status == 200
        await world.reload(daemon, '[server]\nallow_from = ["10.0.0.0/8"]')
        assert (await daemon.ask(path)).status == 403
        await world.reload(daemon, '[server]\nallow_from = ["127.0.0.0/8"]')
        assert (await daemon.ask(path)).status == 200


async def test_deny__while_a_file_is_sent(world: World) -> None:
    """An answer that has begun goes on to its end; what has not is refused, and so is a joiner."""
    path = file_path("main", world.main, LARGE)
    async with world.running("") as daemon:
        gate = world.main.hold("*2.0*.whl", after_bytes=200_000)
        async with daemon.session.get(daemon.url + path) as begun:
            first = await begun.content.readexactly(1000)
            await world.reload(daemon, DENY)
            assert (await daemon.ask(path)).status == 403
            gate.open()
            assert first + await begun.read() == LARGE.body
        await settled(daemon)
        assert (await daemon.ask(path)).status == 403
        await world.reload(daemon, "")
        assert (await fetch(daemon, daemon.url + path)).body == LARGE.body
        assert world.main.count("*2.0*.whl") == 1


async def test_deny__while_a_warm_runs(world: World) -> None:
    """What a warm has not brought yet is refused to it, too."""
    async with world.running("") as daemon:
        gate = world.main.hold("*.whl", after_bytes=200_000)
        inputs = Inputs(wishes=(Wish("alpha", Origin("test")),))
        warm = asyncio.create_task(warmed(daemon, WarmRequest(inputs=inputs)))
        await gate.reached()
        await world.reload(daemon, DENY)
        gate.open()
        answer = await warm
        assert [item.outcome for item in answer.items] == ["refused"]
        assert "[policy] deny" in answer.items[0].reason


async def warmed(daemon: Running, request: WarmRequest) -> WarmAnswer:
    """Do a warm, and return what became of it."""
    async for step in daemon.parts.warming.run(request):
        if isinstance(step, WarmAnswer):
            return step
    raise AssertionError


def offline(daemon: Running) -> bool:
    return daemon.parts.offline.on


async def test_offline__is_the_operators_until_the_file_changes(world: World) -> None:
    """`pypicached offline` outlives a reload of other settings; the file's word counts if new."""
    async with world.running("") as daemon:
        daemon.parts.operations.set_offline(OfflineRequest(on=True))
        await world.reload(daemon, DENY)
        assert offline(daemon)
        assert changed(await world.reload(daemon, "[cache]\noffline = true")) == [
            "cache.offline",
            "policy.deny",
        ]
        daemon.parts.operations.set_offline(OfflineRequest(on=False))
        await world.reload(daemon, "[cache]\noffline = true\n" + DENY)
        assert not offline(daemon)
        await world.reload(daemon, "")
        assert not offline(daemon)


async def test_room__is_made_at_once(world: World) -> None:
    """A smaller `max_size` evicts what is beyond it; a larger one keeps what never fitted."""
    path = file_path("main", world.main, LARGE)
    async with world.running('[cache]\nmax_size = "300KB"') as daemon:
        # Of a length that nobody tells: what turns out not to fit is remembered.
        world.main.add("alpha", LARGE, rows={LARGE.filename: {"size": None}})
        world.main.fault("*2.0*.whl", "no_length")
        for _ in range(2):
            assert (await fetch(daemon, daemon.url + path)).body == LARGE.body
        await settled(daemon)
        assert daemon.parts.blobs.budget.used_bytes == 0
        await world.reload(daemon, '[cache]\nmax_size = "10MB"')
        assert (await fetch(daemon, daemon.url + path)).body == LARGE.body
        await settled(daemon)
        assert daemon.parts.blobs.budget.used_bytes > 400_000
        await world.reload(daemon, '[cache]\nmax_size = "300KB"')
        await until(lambda: daemon.parts.blobs.budget.held_bytes <= 300_000)
