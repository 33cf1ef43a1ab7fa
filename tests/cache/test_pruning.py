"""Pruning by an operator's word: what is announced is what goes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.cache import pruning
from pypicached.cache.pruning import Asked, Batch
from pypicached.messages import InvalidateRequest, PruneAnswer, PruneRequest
from pypicached.requirement import parse_requirement
from tests.cache.building import make_file
from tests.cache.client import Slow, assert_in_step, blobs_in, fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running

DAY = 86400.0
NAMES = ("aa", "bb", "cc", "dd")


@pytest.fixture
def wheels(upstream: FakeUpstream) -> dict[str, DistFile]:
    made = {name: make_wheel(name, "1.0", size_bytes=50_000) for name in NAMES}
    for name, wheel in made.items():
        upstream.add(name, wheel)
    return made


async def fill(daemon: Running, wheels: dict[str, DistFile]) -> dict[str, str]:
    """Cache one file a day, in order; return their URLs. The last is a day old."""
    urls = {}
    for name, wheel in wheels.items():
        urls[name] = await daemon.file_url(name, wheel.filename)
        await fetch(daemon, urls[name])
        await settled(daemon)
        daemon.clock.advance(DAY)
    return urls


async def prune(daemon: Running, **request: object) -> PruneAnswer:
    """Prune, and return the last word, with all files in it."""
    messages = [m async for m in daemon.parts.keeping.prune(PruneRequest(**request))]  # type: ignore[arg-type]
    answer = messages[-1]
    assert isinstance(answer, PruneAnswer)
    answer.files = [file for part in messages if isinstance(part, list) for file in part]
    return answer


def named(answer: PruneAnswer) -> list[str]:
    """Return the projects whose files went, in the order of the answer."""
    return [file.project for file in answer.files]


async def test_prune__days(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """Files and pages that were not used for so long go; pending uses count; dry runs tell it."""
    async with running(tmp_path, upstream.url) as daemon:
        urls = await fill(daemon, wheels)
        await fetch(daemon, urls["aa"])
        before = set(blobs_in(daemon))
        dry = await prune(daemon, days=1.5, dry_run=True)
        assert set(blobs_in(daemon)) == before
        real = await prune(daemon, days=1.5)
        assert named(dry) == named(real) == ["bb", "cc"]
        assert (dry.bytes, dry.pages, dry.dry_run) == (real.bytes, real.pages, True)
        assert real.bytes > 100_000
        assert set(blobs_in(daemon)) == {wheels["aa"].sha256, wheels["dd"].sha256}
        await assert_in_step(daemon)
        upstream.clear()
        for name in ("aa", "bb"):
            assert (await fetch(daemon, urls[name])).body == wheels[name].body
        assert upstream.count("*.whl") == 1


async def test_prune__everything(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """`--days 0` is everything that is not in use, pages too."""
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        answer = await prune(daemon, days=0)
        assert named(answer) == list(NAMES)
        assert answer.pages == len(NAMES)
        assert blobs_in(daemon) == {}
        await assert_in_step(daemon)
        upstream.clear()
        await daemon.page("aa")
        assert upstream.count("/simple/aa/") == 1


async def test_prune__projects(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """With projects named, only theirs goes."""
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        answer = await prune(daemon, days=0, projects=["bb", "dd", "unknown"])
        assert (named(answer), answer.pages) == (["bb", "dd"], 2)
        assert set(blobs_in(daemon)) == {wheels["aa"].sha256, wheels["cc"].sha256}
        await assert_in_step(daemon)


async def test_prune__to_size(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """Down to a size the least recently used go, and no more than it takes; pages stay."""
    async with running(tmp_path, upstream.url) as daemon:
        urls = await fill(daemon, wheels)
        await fetch(daemon, urls["aa"])
        target = daemon.parts.blobs.budget.used_bytes // 2
        dry = await prune(daemon, to_size_bytes=target, dry_run=True)
        answer = await prune(daemon, to_size_bytes=target)
        assert named(dry) == named(answer) == ["bb", "cc"]
        assert answer.pages == 0
        assert daemon.parts.blobs.budget.used_bytes <= target
        await assert_in_step(daemon)
        again = await prune(daemon, to_size_bytes=target)
        assert (again.files, again.bytes) == ([], 0)


async def test_prune__in_many_batches(
    tmp_path: Path,
    upstream: FakeUpstream,
    wheels: dict[str, DistFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However little is held at a time, all that is asked for goes, and nothing else."""
    monkeypatch.setattr(pruning, "BATCH", 1)
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        dry = await prune(daemon, days=1.5, dry_run=True)
        assert (named(dry), dry.pages) == (["aa", "bb", "cc"], 3)
        assert named(await prune(daemon, days=0, projects=["bb", "cc"])) == ["bb", "cc"]
        half = daemon.parts.blobs.budget.used_bytes // 2
        assert named(await prune(daemon, to_size_bytes=half)) == ["aa"]
        assert (await prune(daemon, days=0)).pages == 2
        assert blobs_in(daemon) == {}
        await assert_in_step(daemon)


async def test_prune__in_use_stays(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """A file that a client is reading stays, and is not claimed to have gone."""
    big = make_wheel("big", "1.0", size_bytes=12_000_000)
    upstream.add("big", big)
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels | {"big": big})
        url = await daemon.file_url("big", big.filename)
        async with Slow.asking(url) as reader:
            await reader.read_head()
            dry = await prune(daemon, days=0, dry_run=True)
            answer = await prune(daemon, days=0)
            assert named(dry) == named(answer) == list(NAMES)
            assert list(blobs_in(daemon)) == [big.sha256]
            assert await reader.reader.readexactly(len(big.body)) == big.body
        await assert_in_step(daemon)


async def decided(daemon: Running) -> Batch:
    """Return what `--days 0` would remove."""
    asked = Asked(days=0)
    (batch,) = [batch async for batch in daemon.parts.keeping._pruning.candidates(asked)]
    return batch


async def test_prune__read_since_it_was_decided(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """What somebody began to read after it was to go stays, and is not counted."""
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        batch = await decided(daemon)
        with daemon.parts.blobs.in_use(wheels["aa"].sha256):
            removal = await daemon.parts.keeping._pruning.remove(batch)
        assert removal.gone == {wheels[name].sha256 for name in NAMES[1:]}
        assert list(blobs_in(daemon)) == [wheels["aa"].sha256]
        await assert_in_step(daemon)


async def test_prune__shared_blob(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """A blob that another project needs too stays when only one of them is pruned."""
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        shared = make_file("zz-1.0", wheels["aa"].body)
        assert await daemon.parts.blobs.link(shared)
        answer = await prune(daemon, days=0, projects=["aa"])
        assert answer.files == []
        assert wheels["aa"].sha256 in blobs_in(daemon)
        answer = await prune(daemon, days=0, projects=["aa", "zz"])
        assert sorted(named(answer)) == ["aa", "zz"]
        # Bytes on disk come free once, whatever the number of names.
        assert answer.bytes < 60_000
        assert wheels["aa"].sha256 not in blobs_in(daemon)
        await assert_in_step(daemon)


async def test_prune__twice_at_once(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """Two operators at once remove each blob once, and count it once."""
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        gone: list[str] = []
        for batch in [await decided(daemon) for _ in range(2)]:
            gone.extend((await daemon.parts.keeping._pruning.remove(batch)).gone)
        assert sorted(gone) == sorted(wheels[name].sha256 for name in NAMES)
        await assert_in_step(daemon)


async def pin(daemon: Running, *texts: str) -> None:
    """Pin these requirements."""
    await daemon.parts.blobs.pins.add([parse_requirement(text) for text in texts])


async def test_prune__pinned_stays(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """Pinned files, their sidecars and the page that leads to them stay; the answer counts them."""
    async with running(tmp_path, upstream.url) as daemon:
        urls = await fill(daemon, wheels)
        sidecar = (await fetch(daemon, urls["bb"] + ".metadata")).body
        await settled(daemon)
        await pin(daemon, "bb==1.*", "cc==2")
        daemon.clock.advance(DAY)
        dry = await prune(daemon, days=0, dry_run=True)
        answer = await prune(daemon, days=0)
        assert named(dry) == named(answer) == ["aa", "cc", "dd"]
        assert (answer.pinned, dry.pinned) == (2, 2)
        # A pin is about versions, a page about all of them: that of `cc` stays as well.
        assert answer.pages == 2
        assert len(blobs_in(daemon)) == 2
        await assert_in_step(daemon)
        upstream.clear()
        assert (await fetch(daemon, urls["bb"])).body == wheels["bb"].body
        assert (await fetch(daemon, urls["bb"] + ".metadata")).body == sidecar
        await daemon.page("bb")
        assert [request.path for request in upstream.requests] == ["/simple/bb/"]


async def test_prune__to_size_around_pins(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """Down to a size the next in line go where a pin holds what was used longest ago."""
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        await pin(daemon, "aa")
        answer = await prune(daemon, to_size_bytes=daemon.parts.blobs.budget.used_bytes // 2)
        assert (named(answer), answer.pinned) == (["bb", "cc"], 1)


async def test_prune__pinned_since_it_was_decided(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """A pin holds from the moment it is made, also what was about to go."""
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        batch = await decided(daemon)
        await pin(daemon, "aa")
        removal = await daemon.parts.keeping._pruning.remove(batch)
        assert removal.pinned == {wheels["aa"].sha256}
        assert list(blobs_in(daemon)) == [wheels["aa"].sha256]
        await assert_in_step(daemon)


async def test_prune__sidecars(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile]
) -> None:
    """A sidecar that nobody asked for goes by its own last use; its wheel stays."""
    async with running(tmp_path, upstream.url) as daemon:
        urls = await fill(daemon, {"aa": wheels["aa"]})
        await fetch(daemon, urls["aa"] + ".metadata")
        await settled(daemon)
        daemon.clock.advance(10 * DAY)
        await fetch(daemon, urls["aa"])
        answer = await prune(daemon, days=5)
        assert [file.filename for file in answer.files] == [f"{wheels['aa'].filename}.metadata"]
        assert list(blobs_in(daemon)) == [wheels["aa"].sha256]


@pytest.mark.parametrize("everything", [True, False])
async def test_invalidate__files_around_pins(
    tmp_path: Path, upstream: FakeUpstream, wheels: dict[str, DistFile], everything: bool
) -> None:
    """`invalidate --files` names the pinned files, which it leaves; the others go."""
    async with running(tmp_path, upstream.url) as daemon:
        await fill(daemon, wheels)
        await pin(daemon, "bb")
        answer = await daemon.parts.keeping.invalidate(
            InvalidateRequest(
                projects=[] if everything else list(NAMES), everything=everything, files=True
            )
        )
        assert (answer.files, answer.pinned) == (3, [wheels["bb"].filename])
        assert (answer.unknown, answer.failed) == ([], [])
        assert list(blobs_in(daemon)) == [wheels["bb"].sha256]
        await assert_in_step(daemon)
