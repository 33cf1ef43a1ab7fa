"""Indexes that come, go, move and change places while requests run (PRODUCT.md section 5).

After a reload nothing is asked of, or served from, an index that may not answer for a name any
more, whatever was in memory, on its way, or half decided.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable

import pytest

from pypicached.errors import FileNotListedError
from pypicached.ledger import ledger as ledger_module
from pypicached.messages import InvalidateRequest
from pypicached.upstream import Probing
from tests.cache.client import fetch, settled, until
from tests.fake import Request, make_wheel
from tests.harness import JSON, Running
from tests.reload.world import (
    ALPHA,
    LARGE,
    World,
    changed,
    file_path,
    owner,
    reload,
    stopped_at,
    told,
)

# Small enough to live in memory.
OURS = make_wheel("acme-tool", "1.0+ours")
THEIRS = make_wheel("acme-tool", "9.9+theirs")
CLAIM = '["acme-*"]'


def is_of(name: str) -> Callable[[Request], bool]:
    return lambda request: name in request.path


async def test_indexes__come_and_go(world: World) -> None:
    """An index is added, asked, and removed again; the other one is not harmed."""
    world.other.add("beta", make_wheel("beta"))
    async with world.running("") as daemon:
        assert (await owner(daemon, "beta"), await owner(daemon, "beta", "/other")) == (404, 404)
        connection = daemon.parts.connections["main"]
        both = world.index() + world.index("other")
        assert changed(await world.reload(daemon, both)) == ["index.other added"]
        daemon.clock.advance(61)
        assert await owner(daemon, "beta") == "other"
        assert await owner(daemon, "beta", "/other") == "other"
        assert daemon.parts.connections["main"] is connection
        names = [index.name for index in (await daemon.parts.operations.status()).indexes]
        assert names == ["main", "other"]
        stats = await daemon.parts.operations.stats(3600, 1)
        assert list(stats.indexes) == ["main", "other"]

        path = file_path("other", world.other, make_wheel("beta"))
        assert (await daemon.ask(path)).status == 200
        await settled(daemon)
        assert changed(await world.reload(daemon, "")) == ["index.other removed"]
        world.other.clear()
        assert (await owner(daemon, "beta"), await owner(daemon, "beta", "/other")) == (404, 404)
        assert (await daemon.ask(path)).status == 404
        assert (await daemon.ask("/other/simple/")).status == 404
        assert b"beta" not in (await daemon.ask("/simple/", Accept=JSON)).body
        assert world.other.requests == []
        # What was cached of it is there when it comes back.
        await world.reload(daemon, both)
        daemon.clock.advance(61)
        assert (await daemon.ask(path)).status == 200
        assert world.other.count("*.whl") == 0


async def test_indexes__change_places(world: World) -> None:
    """File order decides, from the moment of the reload."""
    async with world.running(world.index() + world.index("other")) as daemon:
        assert await owner(daemon, "alpha") == "main"
        assert (await daemon.ask(file_path("main", world.main, ALPHA))).status == 200
        answer = await world.reload(daemon, world.index("other") + world.index())
        assert changed(answer) == ["index reordered"]
        assert await owner(daemon, "alpha") == "other"
        assert await owner(daemon, "alpha", "/main") == 404


async def test_projects__claimed_while_all_of_it_is_cached(world: World) -> None:
    """A name that an index claims is that index's alone: pages, files and memory of others too."""
    world.main.add("acme-tool", THEIRS)
    world.other.add("acme-tool", OURS)
    theirs, ours = file_path("main", world.main, THEIRS), file_path("other", world.other, OURS)
    async with world.running(world.index() + world.index("other")) as daemon:
        for _ in range(2):
            assert "acme-tool" in (await daemon.ask("/main/simple/", Accept=JSON)).text
            assert await owner(daemon, "acme-tool") == "main"
            assert (await daemon.ask(theirs)).body == THEIRS.body
            assert (await daemon.ask(f"{theirs}.metadata")).status == 200
            await settled(daemon)
        world.main.clear()
        claimed = world.index() + world.index("other", projects=CLAIM)
        assert changed(await world.reload(daemon, claimed)) == ["index.other.projects"]
        assert await owner(daemon, "acme-tool") == "other"
        assert await owner(daemon, "acme-tool", "/main") == 404
        for target in (theirs, f"{theirs}.metadata", f"/main/simple/acme-tool/{THEIRS.filename}"):
            for method in ("GET", "HEAD"):
                assert (await daemon.ask(target, method)).status == 404, target
        assert (await daemon.ask(ours)).body == OURS.body
        names = (await daemon.ask("/main/simple/", Accept=JSON)).text
        assert "acme-tool" not in names
        assert told(world.main, "acme") == []
        # And back again: what is cached of it is served as before.
        await world.reload(daemon, world.index() + world.index("other"))
        assert await owner(daemon, "acme-tool") == "main"
        assert (await daemon.ask(theirs)).body == THEIRS.body


@pytest.mark.parametrize("fault", ["hang", "reset"])
async def test_projects__claimed_while_the_public_index_is_asked(world: World, fault: str) -> None:
    """A request that waits for the page of an index that lost the name gets its new owner's.

    The old owner is not asked a second time, as it is after a failure.
    """
    world.other.add("acme-tool", OURS)
    async with world.running(world.index() + world.index("other")) as daemon:
        world.main.add("acme-tool", THEIRS)
        if fault == "reset":
            world.main.fault("/simple/acme-tool/", "reset_after", n=20)
        gate = world.main.hold("/simple/acme-tool/", after_bytes=10)
        waiting = [asyncio.create_task(owner(daemon, "acme-tool")) for _ in range(5)]
        await gate.reached()
        await world.reload(daemon, world.index() + world.index("other", projects=CLAIM))
        if fault == "reset":
            gate.open()
        assert await asyncio.gather(*waiting) == ["other"] * 5
        # Longer than the pause before a second attempt.
        await asyncio.sleep(0.4)
        assert told(world.main, "acme") == ["/simple/acme-tool/"]


async def test_projects__claimed_and_not_probed(world: World) -> None:
    """A probe of an index that fails later does not ask it for a name that it has lost."""
    world.main.add("acme-tool", THEIRS)
    async with world.running(world.index() + world.index("other")) as daemon:
        assert await owner(daemon, "acme-tool") == "main"
        await world.reload(daemon, world.index() + world.index("other", projects=CLAIM))
        await world.main.stop()
        daemon.clock.advance(60)
        for name in ("one", "two", "three"):
            assert await owner(daemon, name) == 503
        connections = daemon.parts.connections
        assert connections["main"].hosts.own.breaker.open
        await world.main.start()
        world.main.clear()
        daemon.clock.advance(60)
        assert await asyncio.gather(*Probing(connections.values()).look())
        assert len(world.main.requests) == 1
        assert told(world.main, "acme") == []


async def test_projects__claimed_between_two_indexes(world: World) -> None:
    """Asking goes down the file by the rules in force: a claim stops it where it is."""
    world.main.add("acme-tool", THEIRS)
    first = world.index("other")
    async with world.running(first + world.index()) as daemon:
        gate = world.other.hold("/simple/acme-tool/")
        waiting = asyncio.create_task(owner(daemon, "acme-tool"))
        await gate.reached()
        await world.reload(daemon, world.index("other", projects=CLAIM) + world.index())
        gate.open()
        assert await waiting == 404
        assert told(world.main, "acme") == []


async def test_projects__claimed_while_a_file_is_on_its_way(world: World) -> None:
    """Who has begun to get a file gets it; nobody joins its download, and it is not served after.

    Where nothing has reached the client yet, the answer is that of the rules in force.
    """
    big = make_wheel("acme-tool", "9.9+theirs", size_bytes=400_000)
    world.main.add("acme-tool", big)
    world.other.add("acme-tool", OURS)
    path = file_path("main", world.main, big)
    async with world.running(world.index() + world.index("other")) as daemon:
        gate = world.main.hold("*.whl", after_bytes=200_000)
        begun = asyncio.create_task(fetch(daemon, daemon.url + path))
        await gate.reached()
        await asyncio.sleep(0)
        async with daemon.session.get(daemon.url + path) as streaming:
            await streaming.content.readexactly(1000)
            await world.reload(daemon, world.index() + world.index("other", projects=CLAIM))
            for method in ("GET", "HEAD"):
                assert (await daemon.ask(path, method)).status == 404
            (key,) = daemon.parts.files._running
            with pytest.raises(FileNotListedError):
                await daemon.parts.files.open(key)
            gate.open()
            assert big.body[1000:] == await streaming.read()
        assert (await begun).body == big.body
        await settled(daemon)
        assert (await daemon.ask(path)).status == 404


@pytest.mark.parametrize("point", ["page", "file"])
async def test_projects__claimed_before_a_first_byte(world: World, point: str) -> None:
    """A request that still waits, for the page or for the file, is answered by the new rules."""
    world.main.add("acme-tool", THEIRS)
    path = file_path("main", world.main, THEIRS)
    async with world.running(world.index() + world.index("other")) as daemon:
        gate = world.main.hold("/simple/acme-tool/" if point == "page" else "*.whl")
        waiting = asyncio.create_task(daemon.ask(path))
        await gate.reached()
        await world.reload(daemon, world.index() + world.index("other", projects=CLAIM))
        gate.open()
        assert (await waiting).status == 404
        assert world.main.count("*.whl") == (point == "file")


async def test_url__moves(world: World) -> None:
    """At another address an index is another one: what the old one said is not the new one's.

    That holds for pages in memory, in the ledger, and on their way from the old address; and what
    was on its way is answered by the new one.
    """
    world.other.remove("alpha")
    world.other.add("alpha", make_wheel("alpha", "5.0"))
    world.other.add("beta", make_wheel("beta"))
    world.main.add("beta", make_wheel("beta", "7.0"))
    moved = world.index("main", world.other)
    async with world.running("") as daemon:
        assert "alpha-1.0" in (await daemon.ask("/simple/alpha/", Accept=JSON)).text
        gate = world.main.hold("/simple/beta/")
        waiting = asyncio.create_task(daemon.ask("/simple/beta/", Accept=JSON))
        await gate.reached()
        assert changed(await world.reload(daemon, moved)) == ["index.main.url"]
        # The old address is waited for no longer.
        reply = await waiting
        gate.open()
        assert "beta-1.0" in reply.text
        assert "beta-7.0" not in reply.text
        for _ in range(2):
            text = (await daemon.ask("/simple/alpha/", Accept=JSON)).text
            assert ("alpha-5.0" in text, "alpha-1.0" in text) == (True, False)
            assert "beta-7.0" not in (await daemon.ask("/simple/beta/", Accept=JSON)).text
            daemon.parts.page_memory.clear()
        assert world.main.count("/simple/*") == 2


async def test_url__moves_and_its_files_stay(world: World) -> None:
    """What is cached is had at the URL that lock files know it by, until somebody removes it."""
    async with world.running("") as daemon:
        path = file_path("main", world.main, ALPHA)
        assert (await daemon.ask(path)).status == 200
        await settled(daemon)
        await world.reload(daemon, world.index("main", world.other))
        world.main.clear()
        assert (await daemon.ask(path)).body == ALPHA.body
        await daemon.parts.keeping.invalidate(
            InvalidateRequest(everything=True, index="main", files=True)
        )
        assert (await daemon.ask(path)).status == 404
        assert world.main.requests == []


async def test_url__moves_and_its_old_pages_go(world: World) -> None:
    """The pages of the old address are removed behind, also those that a stop left over."""

    def kept() -> list[str]:
        with contextlib.closing(sqlite3.connect(world.directory / "cache" / "ledger.sqlite")) as db:
            return [row[0] for row in db.execute("SELECT DISTINCT index_name FROM page")]

    moved = world.index("main", world.other)
    async with world.running("") as daemon:
        assert await owner(daemon, "alpha") == "main"
        await world.reload(daemon, moved)
        await until(lambda: kept() == [])
        assert await owner(daemon, "alpha") == "main"
        await daemon.written()
        before = kept()
        await daemon.parts.ledger.take_in({"main": world.main.url}, 0)
        assert kept() == before != []
    async with world.running(moved) as daemon:
        await until(lambda: kept() == [])


def waiting_for(daemon: Running) -> list[object]:
    """Return those who wait for their turn to write to the ledger."""
    return list(daemon.parts.ledger._writer._lock._waiters or ())


async def test_url__moves_while_the_ledger_is_told(world: World) -> None:
    """What the old address says in the last moment is recorded nowhere, and not served."""
    world.other.remove("alpha")
    world.other.add("alpha", make_wheel("alpha", "5.0"))
    async with world.running("") as daemon:
        gate = world.main.hold("/simple/alpha/")
        waiting = asyncio.create_task(daemon.ask("/simple/alpha/", Accept=JSON))
        await gate.reached()
        async with daemon.parts.ledger._writer._lock:
            moving = asyncio.create_task(world.reload(daemon, world.index("main", world.other)))
            # Both wait for the ledger, in this order.
            await until(lambda: len(waiting_for(daemon)) == 1)
            gate.open()
            await until(lambda: len(waiting_for(daemon)) == 2)
        assert changed(await moving) == ["index.main.url"]
        await waiting
        text = (await daemon.ask("/simple/alpha/", Accept=JSON)).text
        assert ("alpha-5.0" in text, "alpha-1.0" in text) == (True, False)


@pytest.mark.parametrize("stored", [True, False])
async def test_url__moves_while_the_ledger_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """A page of the old address that is just being read is neither served nor remembered.

    Where there is none, the old address is not asked for it any more.
    """
    world.other.remove("alpha")
    world.other.add("alpha", make_wheel("alpha", "5.0"))
    async with world.running("") as daemon:
        if stored:
            await daemon.ask("/simple/alpha/", Accept=JSON)
            daemon.parts.page_memory.clear()
        world.main.clear()
        with stopped_at(daemon.parts.ledger.pages, "get", monkeypatch) as stop:
            waiting = asyncio.create_task(daemon.ask("/simple/alpha/", Accept=JSON))
            await stop.reached.wait()
            await world.reload(daemon, world.index("main", world.other))
            stop.go_on.set()
            replies = [await waiting, await daemon.ask("/simple/alpha/", Accept=JSON)]
        for reply in replies:
            assert (b"alpha-5.0" in reply.body, b"alpha-1.0" in reply.body) == (True, False)
        assert world.main.requests == []


@pytest.mark.parametrize("change", ["claimed", "moved", "removed"])
async def test_files__found_and_not_begun(
    world: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A file that was found on its page under the old settings is not fetched under the new."""
    world.main.add("acme-tool", THEIRS)
    after = {
        "claimed": world.index() + world.index("other", projects=CLAIM),
        "moved": world.index("main", world.other),
        "removed": world.index("other"),
    }
    path = file_path("main", world.main, THEIRS)
    async with world.running("") as daemon:
        with stopped_at(daemon.parts.rereading, "vouch", monkeypatch) as stop:
            waiting = asyncio.create_task(daemon.ask(path))
            await stop.reached.wait()
            await world.reload(daemon, after[change])
            stop.go_on.set()
            assert (await waiting).status == 404
        assert world.main.count("*.whl") == 0


async def test_files__length_is_asked_for(world: World) -> None:
    """HEAD for a file whose length upstream is just asked for is answered by the new rules."""
    world.main.add("acme-tool", THEIRS, rows={THEIRS.filename: {"size": None}})
    async with world.running(world.index() + world.index("other")) as daemon:
        gate = world.main.hold("*.whl")
        path = file_path("main", world.main, THEIRS)
        waiting = asyncio.create_task(daemon.ask(path, "HEAD"))
        await gate.reached()
        await world.reload(daemon, world.index() + world.index("other", projects=CLAIM))
        gate.open()
        assert (await waiting).status == 404


async def test_lists__awaited(world: World) -> None:
    """A list that is waited for while a name is claimed is made by the new rules."""
    world.main.add("acme-tool", THEIRS)
    async with world.running(world.index() + world.index("other")) as daemon:
        gate = world.main.hold("/simple/")
        waiting = asyncio.create_task(daemon.ask("/main/simple/", Accept=JSON))
        await gate.reached()
        await world.reload(daemon, world.index() + world.index("other", projects=CLAIM))
        gate.open()
        reply = await waiting
        assert (reply.status, b"alpha" in reply.body, b"acme" in reply.body) == (200, True, False)


async def test_url__moves_while_a_file_is_asked_for(world: World) -> None:
    """A download goes on from where it began; one that has not begun is looked up anew."""
    async with world.running("") as daemon:
        path = file_path("main", world.main, LARGE)
        gate = world.main.hold("*2.0*.whl", after_bytes=200_000)
        begun = asyncio.create_task(fetch(daemon, daemon.url + path))
        await gate.reached()
        page = world.main.hold("/simple/alpha/")
        daemon.clock.advance(3600)
        looking = asyncio.create_task(daemon.ask(file_path("main", world.main, ALPHA)))
        await page.reached()
        await world.reload(daemon, world.index("main", world.other))
        gate.open()
        page.open()
        got = await begun
        assert (got.body, got.whole) == (LARGE.body, True)
        assert (await looking).status == 404
        assert world.main.count("*1.0*.whl") == 0
        assert (await daemon.ask(file_path("main", world.other, ALPHA))).status == 200


async def test_credentials__while_a_page_is_asked_for(world: World) -> None:
    """A page that is awaited with the old token is asked for with the new one, and given."""
    world.main.require("new")
    async with world.running(world.index(token='"old"')) as daemon:
        assert await owner(daemon, "alpha") == 502
        gate = world.main.hold("/simple/alpha/")
        daemon.clock.advance(60)
        waiting = asyncio.create_task(owner(daemon, "alpha"))
        await gate.reached()
        assert changed(await world.reload(daemon, world.index(token='"new"'))) == [
            "index.main.token"
        ]
        gate.open()
        assert await waiting == "main"
        assert [r.headers["authorization"] for r in world.main.requests[-2:]] == [
            "Bearer old",
            "Bearer new",
        ]


async def test_credentials__make_answers_private(world: World) -> None:
    """With credentials pages and files are no longer for shared caches, also those in memory."""
    path = file_path("main", world.main, ALPHA)
    async with world.running("") as daemon:
        targets = ("/simple/alpha/", "/simple/", path)
        for scope in ("public", "private", "public"):
            signed = world.index(token='"x"')
            await world.reload(daemon, signed if scope == "private" else world.index())
            for _ in range(2):
                for target in targets:
                    reply = await daemon.ask(target)
                    assert reply.headers["Cache-Control"].startswith(scope), target
                await settled(daemon)


async def test_secret_files__are_read_again(world: World) -> None:
    """A `…_file` whose content changed is told under its key, and acts."""
    secret = world.directory / "token"
    secret.write_text("old")
    world.main.require("new")
    async with world.running(world.index(token_file='"token"')) as daemon:
        secret.write_text("new")
        assert changed(await reload(daemon)) == ["index.main.token_file"]
        assert await owner(daemon, "alpha") == "main"
        assert changed(await reload(daemon)) == []


async def test_page__answered_with_before_its_index_moved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is still to be stored when its index goes to another address is not stored as that's."""
    async with world.running("") as daemon:
        text = world.index("main", world.other)
        with stopped_at(ledger_module, "write_addresses", monkeypatch) as stop:
            reloading = asyncio.create_task(world.reload(daemon, text))
            await stop.reached.wait()
            # The ledger writes for the reload: whatever else it is told of comes after that.
            assert await owner(daemon, "alpha") == "main"
            stop.go_on.set()
            changed(await reloading)
        await daemon.written()
        assert await daemon.parts.ledger.pages.get("main", "alpha") is None
        assert await owner(daemon, "alpha") == "main"
        assert world.other.count("/simple/alpha/") == 1
