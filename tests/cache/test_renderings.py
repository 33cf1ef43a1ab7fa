"""Renderings of large pages: encoded in a thread while the rest of them is rendered."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import pytest

from pypicached.cache import renderings
from pypicached.cache.codings import compressed, unpack
from pypicached.cache.renderings import Rendering, Variant, build_rendering
from pypicached.policy import Rules
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.negotiate import Format
from pypicached.simple.steps import STEP_ROWS
from pypicached.store.disk import DiskPool

UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "zstd": unpack,
    "identity": bytes,
}


@pytest.fixture
async def disk() -> AsyncIterator[DiskPool]:
    """A pool whose threads all have to end."""
    pool = DiskPool()
    yield pool
    pool.close()


def page_of(files: int) -> ProjectPage:
    """Return a page of that many files."""
    names = [f"foo-1.{number}.tar.gz" for number in range(files)]
    return ProjectPage(
        name="foo", files=[ProjectFile(filename=n, url=f"https://h/x/{n}") for n in names]
    )


async def render(page: ProjectPage, format_: Format, coding: str, disk: DiskPool) -> Rendering:
    """Render a page for the root of an index."""
    return await build_rendering(
        page,
        Variant(format_, coding, "../../"),
        index="pypi",
        serial=None,
        cache_control="public",
        disk=disk,
        rules=Rules(),
        now=0.0,
    )


@pytest.mark.parametrize("format_", [Format.JSON, Format.HTML])
@pytest.mark.parametrize("files", [0, 1, STEP_ROWS, STEP_ROWS + 1, 3 * STEP_ROWS])
async def test_rendering__rule_32_same_body_in_each_coding(
    format_: Format, files: int, disk: DiskPool
) -> None:
    """However a page is made, its codings say the same, and each has its own ETag, always."""
    page = page_of(files)
    made = {coding: await render(page, format_, coding, disk) for coding in UNPACK}
    bodies = {coding: UNPACK[coding](one.body) for coding, one in made.items()}
    assert len(set(bodies.values())) == 1
    assert bodies["identity"].count(b".tar.gz<" if format_ is Format.HTML else b'"url"') == files
    assert len({one.etag for one in made.values()}) == len(UNPACK)
    for coding, one in made.items():
        assert (await render(page, format_, coding, disk)).etag == one.etag


async def test_rendering__encoded_meanwhile(
    disk: DiskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first piece is taken to be encoded before the last one is rendered."""
    taken, seen = threading.Event(), []

    def telling(pieces: Iterable[bytes], coding: str) -> Iterator[bytes]:
        def each() -> Iterator[bytes]:
            for piece in pieces:
                taken.set()
                yield piece

        return compressed(each(), coding)

    def slow(page: ProjectPage, prefix: str) -> Iterator[bytes]:
        yield b"first"
        seen.append(taken.wait(10.0))
        yield b"last"

    monkeypatch.setattr(renderings, "compressed", telling)
    monkeypatch.setattr(renderings, "json_pieces", slow)
    made = await render(page_of(STEP_ROWS + 1), Format.JSON, "gzip", disk)
    # What the loop gives to a thread that way it gives before it goes on.
    assert gzip.decompress(made.body) == b"firstlast"
    assert seen == [True]


@pytest.mark.parametrize("end", ["fails", "cancelled"])
async def test_rendering__no_thread_waits_for_more(
    end: str, disk: DiskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rendering that ends early leaves no thread behind that waits for the rest of it."""
    begun = asyncio.Event()

    def cut(page: ProjectPage, prefix: str) -> Iterator[bytes]:
        yield b"first"
        begun.set()
        if end == "fails":
            raise ValueError("no more")
        while True:
            yield b"more"

    monkeypatch.setattr(renderings, "json_pieces", cut)
    running = asyncio.ensure_future(render(page_of(STEP_ROWS + 1), Format.JSON, "gzip", disk))
    await begun.wait()
    if end == "cancelled":
        running.cancel()
    with pytest.raises(ValueError if end == "fails" else asyncio.CancelledError):
        await running
    # Else this would wait for ever.
    await asyncio.get_running_loop().run_in_executor(None, disk.close)
