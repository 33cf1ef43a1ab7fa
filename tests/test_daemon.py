"""The daemon as a whole, in front of a fake upstream."""

from __future__ import annotations

from pathlib import Path

from tests.fake.upstream import FakeUpstream
from tests.fake.wheels import make_wheel
from tests.harness import running


async def test_daemon__page_and_file_from_upstream_once(tmp_path: Path) -> None:
    """A page and a file are fetched once, and served again without asking."""
    wheel = make_wheel("alpha", "1.0")
    async with FakeUpstream() as upstream:
        upstream.add("alpha", wheel)
        async with running(tmp_path, upstream.url) as daemon:
            url = await daemon.file_url("alpha", wheel.filename)
            for _ in range(2):
                async with daemon.session.get(url) as answer:
                    assert await answer.read() == wheel.body
            await daemon.page("alpha")
        assert upstream.count("/simple/alpha/") == 1
        assert upstream.count(f"*/{wheel.filename}") == 1
