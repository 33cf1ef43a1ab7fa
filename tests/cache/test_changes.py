"""A file that its index replaced under the same address is not served old (invariant 1)."""

from __future__ import annotations

from pathlib import Path

from tests.cache.client import fetch, settled
from tests.fake import FakeUpstream, make_wheel
from tests.harness import Clock, running


async def test_replaced__same_address_other_digest(tmp_path: Path) -> None:
    """Once the page gives another digest, file and sidecar are fetched again."""
    clock = Clock()
    old = make_wheel("alpha", "1.0", size_bytes=90_000)
    new = make_wheel("alpha", "1.0", size_bytes=95_000, requires=["beta"])
    async with FakeUpstream(file_paths="flat") as upstream:
        upstream.add("alpha", old)
        async with running(tmp_path, upstream.url, clock) as daemon:
            url = await daemon.file_url("alpha", old.filename)
            assert (await fetch(daemon, url)).body == old.body
            assert (await fetch(daemon, url + ".metadata")).body == old.metadata
            await settled(daemon)
            upstream.remove("alpha")
            upstream.add("alpha", new)
            clock.advance(3600)
            assert await daemon.file_url("alpha", new.filename) == url
            assert (await fetch(daemon, url)).body == new.body
            assert (await fetch(daemon, url + ".metadata")).body == new.metadata


async def test_replaced__other_query_is_the_same_file(tmp_path: Path) -> None:
    """A signed link that changes at each page says nothing of the file."""
    clock = Clock()
    wheel = make_wheel("alpha", "1.0", size_bytes=90_000)
    async with FakeUpstream() as upstream:
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url, clock) as daemon:
            url = await daemon.file_url("alpha", wheel.filename)
            await fetch(daemon, url)
            await settled(daemon)
            upstream.add("alpha", make_wheel("alpha", "2.0"))
            clock.advance(3600)
            await daemon.page("alpha")
            assert (await fetch(daemon, url)).headers["Cache-Status"] == "pypicached; hit"
