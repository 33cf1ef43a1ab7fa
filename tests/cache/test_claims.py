"""What a page merely claims of a file costs nobody else's files."""

from __future__ import annotations

from pathlib import Path

from tests.cache.client import blobs_in, fetch, settled
from tests.fake import FakeUpstream, make_wheel
from tests.harness import running

KIB = 1024


async def test_claim__lying_size_evicts_nothing(tmp_path: Path) -> None:
    """A row that claims nearly all of max_size evicts nothing before upstream agrees."""
    small = [make_wheel(f"small{n}", size_bytes=50 * KIB) for n in range(5)]
    liar = make_wheel("liar", size_bytes=1000)
    async with FakeUpstream() as upstream:
        for number, wheel in enumerate(small):
            upstream.add(f"small{number}", wheel)
        upstream.add("liar", liar, rows={liar.filename: {"size": 1020 * KIB}})
        async with running(tmp_path, upstream.url, cache__max_size="1MiB") as daemon:
            for number, wheel in enumerate(small):
                await fetch(daemon, await daemon.file_url(f"small{number}", wheel.filename))
            await settled(daemon)
            before = blobs_in(daemon)
            got = await fetch(daemon, await daemon.file_url("liar", liar.filename))
            assert got.status == 502
            await settled(daemon)
            assert (len(before), blobs_in(daemon)) == (5, before)


async def test_claim__endless_body_leaves_half(tmp_path: Path) -> None:
    """A body of unknown length takes at most half of the room, and is streamed from then on."""
    small = [make_wheel(f"small{n}", size_bytes=900 * KIB) for n in range(9)]
    large = make_wheel("large", size_bytes=30 * KIB * KIB)
    async with FakeUpstream(style="html") as upstream:
        for number, wheel in enumerate(small):
            upstream.add(f"small{number}", wheel)
        upstream.add("large", large)
        upstream.fault(f"*/{large.filename}", "no_length")
        async with running(tmp_path, upstream.url, cache__max_size="24MiB") as daemon:
            for number, wheel in enumerate(small):
                await fetch(daemon, await daemon.file_url(f"small{number}", wheel.filename))
            await settled(daemon)
            url = await daemon.file_url("large", large.filename)
            first = await fetch(daemon, url)
            assert not first.whole
            await settled(daemon)
            assert len(blobs_in(daemon)) == 9
            second = await fetch(daemon, url)
            assert (second.whole, second.body == large.body) == (True, True)
