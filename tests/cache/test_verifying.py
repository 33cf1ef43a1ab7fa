"""Verify: every kind of damage is found and named, nothing that is well is called damaged."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pypicached import keeping
from pypicached.cache import pace, verifying
from pypicached.cache.verifying import Damage, Step, Verifying
from pypicached.errors import BusyError, HostError, NotFoundError
from pypicached.messages import VerifyAnswer
from pypicached.requirement import parse_requirement
from pypicached.store import examination
from tests.cache.building import BLOCK, Cache, building, content_of, digests, make_file
from tests.cache.client import assert_in_step, blobs_in, fetch, settled, until
from tests.fake import FakeUpstream, make_wheel
from tests.harness import Running, running


@pytest.fixture(autouse=True)
def _no_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "REST", 0.0)


def replace_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return what puts something else in a blob's place."""

    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def flip(path: Path) -> None:
    """Change one byte in the middle."""
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 1]))


def cut(path: Path) -> None:
    """Lose the last byte."""
    os.truncate(path, BLOCK - 1)


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (Path.unlink, "missing"),
    (flip, "wrong digest"),
    (cut, "wrong size: 4095 bytes instead of 4096"),
    (replace_by(Path.mkdir), "is a directory"),
    (replace_by(lambda path: path.symlink_to("/etc/hostname")), "is a link"),
    (replace_by(os.mkfifo), "is no file"),
]


async def verify(cache: Cache, *projects: str, repair: bool = False) -> tuple[Step, list[Damage]]:
    """Verify; return the last step and all damage."""
    steps = [s async for s in Verifying(cache.ledger, cache.blobs).run([*projects], repair=repair)]
    return steps[-1], [step.damage for step in steps if step.damage]


async def test_verify__all_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is well is counted, blob by blob and to the byte, in as many steps as it takes."""
    monkeypatch.setattr(verifying, "BATCH", 2)
    monkeypatch.setattr(examination, "STEP_BYTES", 3000)
    monkeypatch.setattr(examination, "READ_BYTES", 1000)
    async with building(tmp_path) as cache:
        sizes = [1, 2999, 3000, 3001, 10_000]
        for n, size in enumerate(sizes):
            await cache.keep(f"p-{n}", size)
        assert await verify(cache) == (Step(5, 5, sum(sizes)), [])
        await cache.check()


async def test_verify__nothing_here(tmp_path: Path) -> None:
    """An empty cache is well; a project of which nothing is cached is said, as `list` does."""
    async with building(tmp_path) as cache:
        assert await verify(cache) == (Step(0, 0, 0), [])
        with pytest.raises(NotFoundError, match="nothing of p is cached"):
            await verify(cache, "p")


@pytest.mark.parametrize(("damage", "problem"), DAMAGES, ids=[p for _, p in DAMAGES])
@pytest.mark.parametrize("repair", [False, True])
async def test_verify__damage(
    tmp_path: Path, damage: Callable[[Path], None], problem: str, repair: bool
) -> None:
    """Each kind of damage has its words; a repair drops entry and bytes, and nothing else."""
    async with building(tmp_path) as cache:
        bad, well = await cache.keep("p-1"), await cache.keep("q-1")
        path = cache.store._path(bad.sha256)
        damage(path)
        last, found = await verify(cache, repair=repair)
        assert found == [Damage([("p", "p-1")], problem, repair)]
        assert last.blobs == 2
        rows = await cache.ledger.files.of_project("p")
        assert rows == ([] if repair else [bad])
        if repair:
            assert not os.path.lexists(path)
            assert cache.stored() == digests([well])
            assert cache.budget.used_bytes == BLOCK
            assert await verify(cache) == (Step(1, 1, BLOCK), [])


async def test_verify__disk_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk does not give back is damage, in the disk's words."""

    def refuse(_fd: int, _length: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with building(tmp_path) as cache:
        await cache.keep("p-1")
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", refuse)
            _, (damage,) = await verify(cache, repair=True)
        assert damage == Damage([("p", "p-1")], "cannot be read: Input/output error", True)
        await cache.check()


async def test_verify__out_of_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That we cannot open any file says nothing about this one."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            with pytest.raises(HostError, match="Too many open files"):
                await verify(cache, repair=True)
        assert cache.stored() == digests([file])
        await cache.check()


async def test_verify__disk_has_gone(tmp_path: Path) -> None:
    """Where the whole disk has gone nothing is called missing, and no entry is dropped."""
    async with building(tmp_path / "cache") as cache:
        file = await cache.keep("p-1")
        root = cache.store.root
        root.rename(tmp_path / "away")
        root.mkdir()  # the bare mount point
        with pytest.raises(HostError, match="cannot be used"):
            await verify(cache, repair=True)
        root.rmdir()
        (tmp_path / "away").rename(root)
        assert await cache.ledger.files.of_project("p") == [file]
        await cache.check()


async def test_verify__projects(tmp_path: Path) -> None:
    """Only blobs of the projects that were named are read, each once."""
    async with building(tmp_path) as cache:
        bad, _, third = [await cache.keep(f"{name}-1") for name in "pqr"]
        assert await cache.blobs.link(make_file("p-2", content_of("r-1", BLOCK)))
        flip(cache.store._path(bad.sha256))
        assert await verify(cache, "q") == (Step(1, 1, BLOCK), [])
        last, found = await verify(cache, "p", "r")
        assert (last, [damage.names for damage in found]) == (
            Step(2, 2, 2 * BLOCK),
            [[("p", "p-1")]],
        )
        flip(cache.store._path(third.sha256))
        _, found = await verify(cache, "r")
        assert sorted(found[0].names) == [("p", "p-2"), ("r", "r-1")]


async def test_verify__blob_without_a_name(tmp_path: Path) -> None:
    """A blob that no file is known of goes by its digest."""
    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        await cache.ledger.files.forget(file)
        flip(cache.store._path(file.sha256))
        _, (damage,) = await verify(cache)
        assert damage.names == [("", file.sha256)]


async def test_verify__pinned_and_in_use(tmp_path: Path) -> None:
    """Damage is dropped though a pin holds it or somebody reads it: nobody wants those bytes."""
    async with building(tmp_path) as cache:
        file = await cache.keep("p-1.tar.gz")
        await cache.blobs.pins.add([parse_requirement("p")])
        flip(cache.store._path(file.sha256))
        with cache.blobs.in_use(file.sha256):
            _, (damage,) = await verify(cache, repair=True)
        assert damage.repaired
        await cache.check()


async def test_verify__what_cannot_be_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk does not let go stays with its entry, and is not called repaired."""

    def refuse(_path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        flip(cache.store._path(file.sha256))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            _, (damage,) = await verify(cache, repair=True)
        problem = "wrong digest; cannot be dropped: Read-only file system"
        assert damage == Damage([("p", "p-1")], problem)
        assert await cache.ledger.files.of_project("p") == [file]
        await cache.check()


class Meddling:
    """Does something once, right after a blob has been looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, once: Callable[[], object]) -> None:
        step = examination.Examination.step
        self.done = False

        def meddle(look: examination.Examination) -> int:
            octets = step(look)
            if look.finished and not self.done:
                self.done = True
                once()
            return octets

        monkeypatch.setattr(examination.Examination, "step", meddle)


async def test_verify__replaced_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged blob that a download replaces while we read it is looked at again: no alarm."""
    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        path = cache.store._path(file.sha256)
        flip(path)

        def replace() -> None:
            new = tmp_path / "new"
            new.write_bytes(content_of("p-1", BLOCK))
            new.rename(path)

        meddling = Meddling(monkeypatch, replace)
        last, found = await verify(cache, repair=True)
        assert (meddling.done, found, last.octets) == (True, [], 2 * BLOCK)
        await cache.check()


async def test_verify__replaced_before_the_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came in place of a damaged blob between finding and repair is not dropped."""
    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        path = cache.store._path(file.sha256)
        path.unlink()
        of_blob = cache.ledger.files.of_blob

        async def bring_it_back(sha256: str) -> object:
            path.write_bytes(content_of("p-1", BLOCK))
            return await of_blob(sha256)

        monkeypatch.setattr(cache.ledger.files, "of_blob", bring_it_back)
        _, found = await verify(cache, repair=True)
        assert [damage.repaired for damage in found] == [True]
        assert cache.stored() == digests([file])
        await cache.check()


async def test_verify__evicted_meanwhile(tmp_path: Path) -> None:
    """What goes between the page of rows and the look is no damage."""
    async with building(tmp_path) as cache:
        for n in range(3):
            await cache.keep(f"p-{n}")
        run = Verifying(cache.ledger, cache.blobs).run([], repair=True)
        steps = [await anext(run), await anext(run)]
        await cache.blobs.remove(cache.stored())
        steps += [step async for step in run]
        assert [step.damage for step in steps if step.damage] == []
        await cache.check()


def is_open(path: Path) -> bool:
    """Tell whether this process has a file open."""
    held = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.append(descriptor.readlink())
    return path in held


async def test_verify__one_at_a_time(tmp_path: Path) -> None:
    """A second verify is refused; one that is left in the middle lets the next begin."""
    async with building(tmp_path) as cache:
        file = await cache.keep("p-1")
        verifying_ = Verifying(cache.ledger, cache.blobs)
        run = verifying_.run([], repair=False)
        await anext(run)
        await anext(run)
        with pytest.raises(BusyError, match="another verify is running"):
            await anext(verifying_.run([], repair=False))
        assert is_open(cache.store._path(file.sha256))
        await run.aclose()
        assert not is_open(cache.store._path(file.sha256))
        steps = [step async for step in verifying_.run([], repair=False)]
        assert steps[-1] == Step(1, 1, BLOCK)


async def test_verify__pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It rests as long as it worked, and not for every small blob."""
    rests: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    monkeypatch.setattr(pace, "REST", 1.0)
    monkeypatch.setattr(asyncio, "sleep", note)
    resting = pace.Pace()
    for _ in range(5):
        await resting.worked(0.008)
    assert rests == [pytest.approx(0.024)]


# ── through a daemon ─────────────────────────────────────────────────────────────────────────


async def ask(daemon: Running, repair: bool = False) -> VerifyAnswer:
    """Verify everything, and return the last word."""
    async with contextlib.aclosing(daemon.parts.keeping.verify([], repair=repair)) as work:
        messages = [message async for message in work]
    assert isinstance(messages[-1], VerifyAnswer)
    return messages[-1]


@pytest.mark.parametrize("size", [20_000, 200_000])
async def test_verify__repaired_is_fetched_again(
    tmp_path: Path, upstream: FakeUpstream, size: int
) -> None:
    """After a repair the next request fetches the file anew, also where memory still held it."""
    wheel = make_wheel("alpha", "1.0", size_bytes=size)
    upstream.add("alpha", wheel)
    async with running(tmp_path, upstream.url) as daemon:
        url = await daemon.file_url("alpha", wheel.filename)
        for _ in range(3):
            await fetch(daemon, url)
            await settled(daemon)
        flip(blobs_in(daemon)[wheel.sha256])
        told = await ask(daemon)
        assert [(p.project, p.filename, p.problem, p.repaired) for p in told.problems] == [
            ("alpha", wheel.filename, "wrong digest", False)
        ]
        assert (await ask(daemon, repair=True)).problems[0].repaired
        assert (await fetch(daemon, url)).body == wheel.body
        assert upstream.count("*.whl") == 2
        await assert_in_step(daemon)
        assert await ask(daemon) == VerifyAnswer(1, len(wheel.body), [])


async def test_verify__caller_leaves(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the caller goes (Ctrl-C) the work ends at its next step, and the next one may begin."""
    looks = 0
    gate = asyncio.Event()

    async def wait(_pace: pace.Pace, _seconds: float) -> None:
        nonlocal looks
        looks += 1
        await gate.wait()

    monkeypatch.setattr(pace.Pace, "worked", wait)
    monkeypatch.setattr(keeping, "PROGRESS_SECONDS", 0.0)
    async with running(tmp_path, upstream.url) as daemon:
        for n in range(200):
            upstream.add("alpha", make_wheel("alpha", f"{n}"))
        page = await daemon.page("alpha")
        for file in page["files"]:  # type: ignore[attr-defined]
            await fetch(daemon, await daemon.file_url("alpha", file["filename"]))
        await settled(daemon)
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control.sock"))
        writer.write(b"GET /verify HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b'{"progress"')
        writer.transport.abort()
        gate.set()
        await until(lambda: not daemon.parts.keeping._verifying._running)
        assert looks < 100
        assert (await ask(daemon)).checked == 200
