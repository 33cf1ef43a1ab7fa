"""Requests that wait to ask an index while it loses a name, or a rule comes to refuse it.

Whatever they wait for, the index is asked only by what holds in the moment of the request.
"""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from pypicached.cache.bringing import Bringing
from pypicached.cache.passthrough import STREAMS
from pypicached.cache.stored_files import FileKey
from pypicached.errors import FileNotListedError
from pypicached.simple.urls import request_key
from pypicached.upstream import Probing
from pypicached.upstream.hosts import TURNS
from tests.cache.client import assert_nothing_kept, fetch, settled, until
from tests.fake import Gate, make_wheel
from tests.harness import Running
from tests.reload.world import World, file_path, owner, stopped_at, told

THEIRS = make_wheel("acme-tool", "9.9+theirs", size_bytes=400_000)
FILES = "*acme*.whl*"
CHANGES = {"claimed": 404, "denied": 403}


def before(world: World) -> str:
    """Return a configuration in which both indexes may answer for every name."""
    return world.index() + world.index("other")


def after(world: World, change: str) -> str:
    """Return one in which `acme-tool` is the other index's, or denied."""
    if change == "claimed":
        return world.index() + world.index("other", projects='["acme-*"]')
    return '[policy]\ndeny = ["acme-tool"]\n' + before(world)


async def occupied(
    world: World, daemon: Running, count: int
) -> tuple[Gate, list[asyncio.Task[int]]]:
    """Have so many files of the index on their way, as many as may be at once."""
    bulk = [make_wheel(f"bulk{i}", "1.0", size_bytes=200_000) for i in range(count)]
    for file in bulk:
        world.main.add(file.filename.split("-")[0], file)
    gate = world.main.hold("*bulk*.whl", after_bytes=10)
    tasks = [
        asyncio.create_task(status(daemon, file_path("main", world.main, file))) for file in bulk
    ]
    await world.main.arrived("*bulk*.whl", count)
    return gate, tasks


async def status(daemon: Running, path: str, method: str = "GET") -> int:
    return (await daemon.ask(path, method)).status


@pytest.mark.parametrize("change", CHANGES)
async def test_turn__at_the_host(world: World, change: str) -> None:
    """A download that waits for its turn asks nothing by then: answered at once, nothing kept."""
    world.main.add("acme-tool", THEIRS)
    path = file_path("main", world.main, THEIRS)
    async with world.running(before(world)) as daemon:
        gate, others = await occupied(world, daemon, TURNS)
        waiting = [asyncio.create_task(status(daemon, path)) for _ in range(3)]
        await until(lambda: len(daemon.parts.files.downloads) == TURNS + 1)
        await world.reload(daemon, after(world, change))
        assert await asyncio.gather(*waiting) == [CHANGES[change]] * 3
        gate.open()
        assert set(await asyncio.gather(*others)) == {200}
        await settled(daemon)
        assert world.main.count(FILES) == 0


@pytest.mark.parametrize("change", CHANGES)
async def test_turn__of_a_length(world: World, change: str) -> None:
    """HEAD for a file whose length no page tells does not ask for it by then."""
    world.main.add("acme-tool", THEIRS, rows={THEIRS.filename: {"size": None}})
    path = file_path("main", world.main, THEIRS)
    async with world.running(before(world)) as daemon:
        gate, others = await occupied(world, daemon, TURNS)
        waiting = asyncio.create_task(status(daemon, path, "HEAD"))
        host = daemon.parts.connections["main"].hosts.own
        await world.main.arrived("/simple/acme-tool/")
        await until(lambda: not host.active)
        await world.reload(daemon, after(world, change))
        gate.open()
        assert await waiting == CHANGES[change]
        await asyncio.gather(*others)
        assert world.main.count(FILES) == 0


@pytest.mark.parametrize("change", CHANGES)
async def test_turn__to_pass_through(world: World, change: str) -> None:
    """A stream that waits for its turn, where there is no room, asks nothing by then."""
    world.main.add("acme-tool", THEIRS)
    path = file_path("main", world.main, THEIRS)
    small = "[cache]\nmax_size = 100000\n"
    async with world.running(small + before(world)) as daemon:
        gate, others = await occupied(world, daemon, STREAMS)
        waiting = asyncio.create_task(status(daemon, path))
        await until(lambda: bool(daemon.parts.files._turn._waiters))
        await world.reload(daemon, small + after(world, change))
        gate.open()
        assert await waiting == CHANGES[change]
        assert set(await asyncio.gather(*others)) == {200}
        assert world.main.count(FILES) == 0


@pytest.mark.parametrize("change", CHANGES)
async def test_answer__that_does_not_come(world: World, change: str) -> None:
    """Who waits for a first byte is answered at once, and the download ends: nothing is kept."""
    world.main.add("acme-tool", THEIRS)
    path = file_path("main", world.main, THEIRS)
    async with world.running(before(world)) as daemon:
        gate = world.main.hold(FILES)
        waiting = [asyncio.create_task(status(daemon, path)) for _ in range(3)]
        await gate.reached()
        await world.reload(daemon, after(world, change))
        assert await asyncio.gather(*waiting) == [CHANGES[change]] * 3
        gate.open()
        await assert_nothing_kept(daemon)
        assert world.main.count(FILES) == 1
        assert (await daemon.parts.operations.status()).problems == []


async def test_answer__that_fails(world: World) -> None:
    """What fails after the claim is not tried again, neither by the download nor by a probe."""
    world.main.add("acme-tool", THEIRS)
    world.main.fault(FILES, "status", code=503)
    path = file_path("main", world.main, THEIRS)
    async with world.running(before(world)) as daemon:
        gate = world.main.hold(FILES)
        waiting = asyncio.create_task(status(daemon, path))
        await gate.reached()
        await world.reload(daemon, after(world, "claimed"))
        gate.open()
        assert await waiting == 404
        await settled(daemon)
        assert world.main.count(FILES) == 1


async def test_making__in_parts(world: World) -> None:
    """Core metadata that is made of a few ranges of a wheel takes no further one by then."""
    large = make_wheel("acme-tool", "9.9+theirs", size_bytes=6_000_000)
    world.main.add("acme-tool", dataclasses.replace(large, metadata=None))
    path = file_path("main", world.main, large) + ".metadata"
    async with world.running(before(world)) as daemon:
        gate = world.main.hold(FILES)
        waiting = asyncio.create_task(status(daemon, path))
        await gate.reached()
        world.main.clear()
        await world.reload(daemon, after(world, "claimed"))
        gate.open()
        assert await waiting == 404
        await settled(daemon)
        assert told(world.main, "acme") == []


async def test_flowing__is_resumed_and_not_probed(world: World) -> None:
    """What a client has begun to get is fetched to its end; nobody asks for it later.

    Not even while it is under way and breaks, so that the file host's last word is a failure.
    """
    world.main.add("acme-tool", THEIRS)
    world.main.fault(FILES, "reset_after", n=200_000, times=1)
    path = file_path("main", world.main, THEIRS)
    async with world.running(before(world)) as daemon:
        gate = world.main.hold(FILES, after_bytes=150_000)
        async with daemon.session.get(daemon.url + path) as streaming:
            await streaming.content.readexactly(1000)
            await world.reload(daemon, after(world, "claimed"))
            gate.open()
            assert THEIRS.body[1000:] == await streaming.read()
        await settled(daemon)
        assert world.main.count(FILES) == 2
        for host in daemon.parts.connections["main"].hosts:
            assert (host.last_succeeded, host.last_failed) == (None, None)


async def test_probe__of_what_is_denied(world: World) -> None:
    """A probe does not ask for a project that is refused by now."""
    world.main.add("acme-tool", THEIRS)
    async with world.running(before(world)) as daemon:
        assert await owner(daemon, "acme-tool") == "main"
        await world.reload(daemon, after(world, "denied"))
        world.main.clear()
        world.main.fault("*", "status", code=503)
        daemon.clock.advance(60)
        for name in ("one", "two", "three"):
            assert await owner(daemon, name) == 503
        daemon.clock.advance(60)
        assert await asyncio.gather(*Probing(daemon.parts.connections.values()).look())
        assert told(world.main, "acme") == []


async def test_given_up__before_its_first_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that ends before it has begun leaves nothing behind: taken back, it is had."""
    world.main.add("acme-tool", THEIRS)
    path = file_path("main", world.main, THEIRS)
    async with world.running(before(world)) as daemon:
        files, both = daemon.parts.files, before(world)
        lead = files._lead

        def lead_and_lose(*given: object) -> object:
            miss = lead(*given)  # type: ignore[arg-type]
            # As a reload does that comes before the loop gets to the new task.
            rules = daemon.parts.catalog._indexes.rules
            claimed = [r for r in rules if r.name == "other"]
            daemon.parts.catalog.apply(daemon.parts.catalog.pages, claimed)
            files.reconsider()
            daemon.parts.catalog.apply(daemon.parts.catalog.pages, rules)
            return miss

        with monkeypatch.context() as patch:
            patch.setattr(files, "_lead", lead_and_lose)
            assert await status(daemon, path) == 404
        assert files._running == {}
        await world.reload(daemon, both)
        got = await fetch(daemon, daemon.url + path)
        assert (got.status, got.body) == (200, THEIRS.body)


async def test_bringing__tells_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a file brought while the name is claimed hears that, and not that it was not kept."""
    world.main.add("acme-tool", THEIRS)
    path = request_key(file_path("main", world.main, THEIRS).removeprefix("/files/main/"))
    assert path is not None
    async with world.running(before(world)) as daemon:
        files = daemon.parts.files
        with stopped_at(files, "landed", monkeypatch) as stop:
            bringing = Bringing(files, daemon.parts.blobs)
            waiting = asyncio.create_task(bringing.bring(FileKey("main", path, "file")))
            await stop.reached.wait()
            await world.reload(daemon, after(world, "claimed"))
            stop.go_on.set()
            with pytest.raises(FileNotListedError):
                await waiting
