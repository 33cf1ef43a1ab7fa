"""A page that is not here yet: what is done beside what, before its first client has it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pypicached.cache import refresh, renderer
from pypicached.cache.codings import pack
from pypicached.cache.renderings import Rendering, build_rendering
from tests.fake import FakeUpstream
from tests.harness import running

FILES = 1001


def huge(project: str) -> bytes:
    """Return an HTML page of so many files that it is packed in a thread."""
    rows = (f'<a href="{project}-{n}.zip">{project}-{n}.zip</a>' for n in range(FILES))
    return f"<!DOCTYPE html><html><body>{''.join(rows)}</body></html>".encode()


async def test_cold_page__rendered_while_it_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first client does not wait for packing first and for rendering then."""
    rendered = threading.Event()
    seen: list[bool] = []

    async def build_and_tell(*args: object, **kwargs: object) -> Rendering:
        made = await build_rendering(*args, **kwargs)  # type: ignore[arg-type]
        rendered.set()
        return made

    def pack_and_see(data: bytes) -> bytes:
        seen.append(rendered.wait(10.0))
        return pack(data)

    monkeypatch.setattr(renderer, "build_rendering", build_and_tell)
    monkeypatch.setattr(refresh, "pack", pack_and_see)
    async with FakeUpstream() as upstream, running(tmp_path, upstream.url) as daemon:
        upstream.serve("/simple/foo/", huge("foo"), "text/html")
        files = (await daemon.page("foo"))["files"]
    assert isinstance(files, list)
    assert len(files) == FILES
    assert seen == [True]
