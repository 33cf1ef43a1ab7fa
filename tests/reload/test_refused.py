"""A configuration that is bad, or cannot be put in force: all or nothing, and told."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pypicached import configuration, reloading, switching
from pypicached.errors import BusyError, LedgerError, SettingsError
from pypicached.settings import document, load, small_files
from tests.cache.client import until
from tests.harness import JSON, Running, running
from tests.reload.world import World, changed, owner, reload

BAD = '[cache]\nmax_sise = "1GiB"\npage_ttl = "soon"\n[policy]\ndeny = ["alpha"]\n'


async def problems(daemon: Running) -> list[str]:
    """Return the problems of `status`."""
    return (await daemon.parts.operations.status()).problems


def words(found: Sequence[str], word: str) -> list[str]:
    return [one for one in found if word in one]


async def test_refused__changes_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A bad file is refused with all its problems, in the words of a start; nothing of it acts."""
    async with world.running("") as daemon:
        assert await owner(daemon, "alpha") == "main"
        answer = await world.reload(daemon, BAD)
        with pytest.raises(SettingsError) as refused:
            load(world.path, {"HOME": str(world.directory)})
        told = [(p.key, p.message, p.suggestion) for p in answer.problems]
        assert told == refused.value.problems
        assert len(told) == 2
        assert (answer.changed, answer.needs_restart) == ([], [])
        assert await owner(daemon, "alpha") == "main"
        assert len(words(caplog.messages, "configuration refused: cache.")) == 2
        (problem,) = await problems(daemon)
        assert "the configuration was refused at 20" in problem
        assert "cache.max_sise: unknown key" in problem
        assert "(and 1 more)" in problem
        # Until there is a good one.
        assert changed(await world.reload(daemon, "")) == []
        assert await problems(daemon) == []


@pytest.mark.parametrize("gone", ["file", "secret", "ca"])
async def test_refused__what_cannot_be_read(world: World, gone: str) -> None:
    """A file that was named and is gone, or one that an index names, is no reason for a default."""
    (world.directory / "token").write_text("secret")
    keys = {"file": world.index(), "secret": "", "ca": ""}
    keys["secret"] = world.index(token_file='"token"')
    keys["ca"] = world.index(ca_file='"token"')
    async with world.running(world.index()) as daemon:
        world.write(keys[gone] + '[policy]\ndeny = ["alpha"]\n')
        if gone == "file":
            world.path.unlink()
        if gone == "secret":
            (world.directory / "token").write_text("hunter\nlines")
        answer = await reload(daemon)
        assert len(answer.problems) == 1
        assert "hunter" not in answer.problems[0].message
        assert await owner(daemon, "alpha") == "main"


@pytest.mark.parametrize("text", ['[audit]\nkeep = "off"\n', "{moved}", "{added}"])
async def test_refused__by_the_ledger(world: World, text: str) -> None:
    """Where the ledger cannot take it in, nothing is in force; where it can again, all is."""
    text = text.format(
        moved=world.index("main", world.other), added=world.index() + world.index("other")
    )
    async with world.running("") as daemon:
        assert await owner(daemon, "alpha") == "main"
        await daemon.written()
        locked = sqlite3.connect(daemon.parts.ledger.path, isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError):
            await world.reload(daemon, text + '[policy]\ndeny = ["alpha"]\n')
        assert daemon.parts.ledger.audit.on
        assert (await daemon.ask("/simple/alpha/")).status == 200
        assert list(daemon.parts.connections) == ["main"]
        locked.rollback()
        locked.close()
        daemon.parts.ledger._writer.wait_again()
        # What is brought meanwhile is recorded as ever.
        world.main.clear()
        for _ in range(2):
            assert await owner(daemon, "absent") == 404
        assert world.main.count("/simple/absent/") == 1
        assert words(await problems(daemon), "newer than what is loaded")
        answer = await world.reload(daemon, text + '[policy]\ndeny = ["alpha"]\n')
        assert "policy.deny" in changed(answer)
        assert (await daemon.ask("/simple/alpha/")).status == 403


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Return what holds up whoever reads the configuration file, as a disk that hangs does."""
    event = threading.Event()
    event.set()

    def read_small(path: Path, limit_bytes: int) -> bytes:
        event.wait()
        return small_files.read_small(path, limit_bytes)

    monkeypatch.setattr(document, "read_small", read_small)
    yield event
    event.set()


async def test_refused__a_disk_that_hangs(
    world: World, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload is refused in time, `status` says why at once, files are served, and it can stop."""
    monkeypatch.setattr(reloading, "READ_SECONDS", 0.3)
    monkeypatch.setattr(configuration, "LOOK_SECONDS", 0.1)
    async with world.running("") as daemon:
        hanging.clear()
        world.write('[policy]\ndeny = ["alpha"]\n')
        for _ in range(10):
            assert "does not answer" in (await problems(daemon))[0]
        for _ in range(3):
            (problem,) = (await reload(daemon)).problems
            assert problem.key == str(world.path)
            assert "a disk does not answer" in problem.message
        assert words(await problems(daemon), "the configuration was refused at")
        assert await owner(daemon, "alpha") == "main"
        assert await daemon.parts.store.disk.run(lambda: 7) == 7
        hanging.set()
        while (answer := await reload(daemon)).problems:
            pass
        assert changed(answer) == ["policy.deny"]
        assert await problems(daemon) == []
        # The end does not wait either.
        assert daemon.daemon.reloading is not None
        daemon.daemon.reloading._reading._limit_seconds = 60.0
        hanging.clear()
        waiting = asyncio.create_task(reload(daemon))
        await asyncio.sleep(0)
    assert not waiting.done()
    hanging.set()
    with pytest.raises(BusyError, match="the daemon is stopping"):
        await waiting


async def test_refused__nobody_waits_for_it(
    world: World, hanging: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a stop takes the caller away first, the log has one sentence, and no traceback."""
    async with world.running("") as daemon:
        hanging.clear()
        waiting = asyncio.create_task(reload(daemon))
        reading = daemon.daemon.reloading
        assert reading is not None
        await until(lambda: reading._reading._running is not None)
        daemon.daemon._refuse_reloads()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        hanging.set()
        await until(lambda: "the daemon is stopping" in caplog.text)
        del waiting
        gc.collect()
    assert "never retrieved" not in caplog.text


async def test_refused__by_a_mistake_of_ours(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody thought of is a refusal too; the log has all of it, and later signals count."""
    caplog.set_level(logging.INFO)
    async with world.running("") as daemon:
        with monkeypatch.context() as patch:
            patch.setattr(reloading, "prepare", lambda *_: 1 // 0)
            (problem,) = (await reload(daemon)).problems
            assert "something went wrong inside the daemon" in problem.message
            assert "ZeroDivisionError" in caplog.text
            assert words(await problems(daemon), "something went wrong inside the daemon")
        with monkeypatch.context() as patch:
            patch.setattr(reloading, "switch", lambda *_: 1 // 0)
            world.write('[policy]\ndeny = ["alpha"]\n')
            daemon.daemon._on_hangup()
            await until(lambda: "a reload by a signal failed" in caplog.text)
        daemon.daemon._on_hangup()
        await until(lambda: "configuration reloaded: policy.deny" in caplog.text)
        assert await owner(daemon, "alpha") == 403
        assert await problems(daemon) == []


async def test_status__a_refused_file_is_put_back(world: World) -> None:
    """A refusal is told until the file is what is loaded; one for another file until a reload."""
    token = world.directory / "token"
    token.write_text("secret")
    async with world.running(world.index(token_file='"token"')) as daemon:
        original = world.path.read_text()
        assert (await world.reload(daemon, BAD)).problems
        assert words(await problems(daemon), "was refused at")
        world.path.write_text(original)
        assert words(await problems(daemon), "was refused at") == []
        token.unlink()
        assert (await reload(daemon)).problems
        assert words(await problems(daemon), "was refused at")
        token.write_text("secret")
        assert words(await problems(daemon), "was refused at")
        assert changed(await reload(daemon)) == []
        assert words(await problems(daemon), "was refused at") == []


async def test_refused__while_it_starts_or_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the daemon serves, and once it stops, a reload is refused in one sentence."""
    async with world.running("") as daemon:
        reloading = daemon.daemon.reloading
        assert reloading is not None
        first = asyncio.create_task(reload(daemon))
        daemon.daemon._refuse_reloads()
        with pytest.raises(BusyError, match="the daemon is stopping"):
            await reload(daemon)
        with pytest.raises(BusyError, match="the daemon is stopping"):
            await first
    with pytest.raises(BusyError, match="the daemon is stopping"):
        await reloading.reload()


# ── what `status` says of the file ───────────────────────────────────────────────────────────


async def test_status__a_newer_file(world: World) -> None:
    """A file with other content than was loaded is a problem until it is, or is as it was."""
    async with world.running("") as daemon:
        assert await problems(daemon) == []
        original = world.path.read_text()
        world.path.write_text(original + "# a word\n")
        (problem,) = await problems(daemon)
        assert problem == (
            f"the configuration file {world.path} is newer than what is loaded: `pypicached reload`"
        )
        world.path.write_text(original)
        assert await problems(daemon) == []
        world.path.write_text(original + "# a word\n")
        assert changed(await reload(daemon)) == []
        assert await problems(daemon) == []
        world.path.unlink()
        (problem,) = await problems(daemon)
        assert "is gone" in problem
        world.path.write_text("#" * 5_000_000)
        # Whatever the reason is: a reload is no remedy.
        (problem,) = await problems(daemon)
        assert problem == (
            f"the daemon cannot read the configuration file {world.path}: "
            "as root, `pypicached config check` tells all"
        )


async def test_refused__file_that_was_found_is_gone(world: World) -> None:
    """Whoever loses the file that the service found loses neither its indexes nor its rules."""
    world.write('[policy]\ndeny = ["alpha"]\n')
    environment = {"CONFIGURATION_DIRECTORY": str(world.directory)}
    async with running(world.directory, environment=environment) as daemon:
        assert await owner(daemon, "alpha") == 403
        world.path.unlink()
        for target in (None, "nowhere"):
            if target is not None:
                world.path.symlink_to(target)
            (problem,) = (await reload(daemon)).problems
            assert str(world.path) in f"{problem.key} {problem.message}"
            assert await owner(daemon, "alpha") == 403
            assert words(await problems(daemon), "settings of before stay in force")
        # An empty file is somebody's word.
        world.path.unlink()
        world.path.write_text(world.index())
        assert "policy.deny" in changed(await reload(daemon))
        assert await owner(daemon, "alpha") == "main"


async def test_status__warnings_of_the_file_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warnings, and what is wrong between settings and host, are those of what is in force."""
    monkeypatch.setattr(switching, "raise_descriptor_limit", lambda clients: min(clients, 5000))
    exposed = world.index(url='"http://index.test/"', token='"x"')
    async with world.running(exposed) as daemon:
        assert len(words(await problems(daemon), "cross the network in clear")) == 1
        answer = await world.reload(daemon, "[limits]\nclients = 9999\n")
        assert answer.warnings == []
        assert len(words(await problems(daemon), "limit of open files allows only")) == 1
        assert words(await problems(daemon), "in clear") == []
        answer = await world.reload(daemon, exposed)
        assert len(answer.warnings) == 2
        assert words(await problems(daemon), "limit of open files") == []


async def test_status__an_open_door(world: World) -> None:
    """An index with credentials behind an open listener is a problem from the reload on."""
    signed = world.index(token='"x"')
    async with world.running("", server__listen=["0.0.0.0:0"]) as daemon:
        assert words(await problems(daemon), "with our credentials") == []
        await world.reload(daemon, signed)
        assert len(words(await problems(daemon), "with our credentials")) == 1
        await world.reload(daemon, signed + '[server]\nallow_from = ["127.0.0.0/8"]\n')
        assert words(await problems(daemon), "with our credentials") == []


async def test_secrets__are_told_nowhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """No value of a changed secret is in the answer, in `status` or in the log."""
    caplog.set_level(logging.DEBUG)
    file = world.directory / "token"
    file.write_text("hunter-0")
    answers = []
    async with world.running(world.index(token_file='"token"')) as daemon:
        file.write_text("hunter-1")
        answers.append(await reload(daemon))
        url = world.main.url.replace("http://", "http://me:hunter-2@")
        for keys in (
            {"token": '"hunter-3"'},
            {"username": '"me"', "password": '"hunter-4"'},
            {"proxy": '"http://me:hunter-5@127.0.0.1:9"'},
            {"url": f'"{url}"', "token": '"hunter-6"'},
        ):
            tables = world.index(**keys)  # type: ignore[arg-type]
            answers.append(await world.reload(daemon, tables))
        status = await daemon.parts.operations.status()
    assert "hunter" not in repr((answers, status))
    assert "hunter" not in caplog.text
    assert answers[-1].problems


async def test_loop__is_not_held_up(world: World) -> None:
    """Requests go on while a configuration with tens of thousands of rules is read."""
    rules = ", ".join(f'"evil-{n}"' for n in range(20_000))
    async with world.running("") as daemon:
        await owner(daemon, "alpha")
        world.write(f"[policy]\ndeny = [{rules}]\n")
        reloading = asyncio.create_task(reload(daemon))
        while not reloading.done():
            assert (await daemon.ask("/simple/alpha/", Accept=JSON)).status == 200
        assert changed(await reloading) == ["policy.deny"]
        assert (await daemon.ask("/simple/evil-7/")).status == 403
