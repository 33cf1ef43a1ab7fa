"""devpi: an index at a path with `+` in it, and relative links that leave it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fake import FakeUpstream
from tests.harness import Running, running
from tests.odd import devpi
from tests.odd.client import Anchor, assert_files, assert_sidecars, html_page, json_page, link
from tests.odd.devpi import BASE, OWN, PROJECT


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(root=f"{devpi.INDEX}/+simple/") as one:
        devpi.publish(one)
        yield one


@pytest.fixture
async def daemon(tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Running]:
    async with running(tmp_path, upstream.url) as one:
        yield one


async def test_devpi__rules_14_16_27_json_page(daemon: Running, upstream: FakeUpstream) -> None:
    """Links climb to where they mean, and what was escaped in HTML is plain in JSON."""
    base = upstream.pages_origin
    assert await json_page(daemon, PROJECT) == {
        "meta": {"api-version": "1.0"},
        "name": PROJECT,
        "files": [
            {
                "filename": OWN.filename,
                "url": link(base + devpi.file_path(OWN)),
                "hashes": {"sha256": OWN.sha256},
                "requires-python": ">=3.8,<4",
                "core-metadata": True,
            },
            {
                "filename": BASE.filename,
                "url": link(base + devpi.file_path(BASE)),
                "hashes": {"sha256": BASE.sha256},
                "requires-python": "!=3.0.*,>=2.7",
                "yanked": "use 2.0 & later",
            },
        ],
    }


async def test_devpi__rules_20_27_html_page(daemon: Running, upstream: FakeUpstream) -> None:
    """In HTML, the same, escaped again; the serial of another kind of server is not ours to say."""
    base = upstream.pages_origin
    assert (await html_page(daemon, PROJECT)).anchors == [
        Anchor(
            OWN.filename,
            f"{link(base + devpi.file_path(OWN))}#sha256={OWN.sha256}",
            {
                "data-requires-python": ">=3.8,<4",
                "data-core-metadata": "true",
                "data-dist-info-metadata": "true",
            },
        ),
        Anchor(
            BASE.filename,
            f"{link(base + devpi.file_path(BASE))}#sha256={BASE.sha256}",
            {"data-requires-python": "!=3.0.*,>=2.7", "data-yanked": "use 2.0 & later"},
        ),
    ]
    reply = await daemon.ask(f"/simple/{PROJECT}/")
    assert b'data-requires-python="&gt;=3.8,&lt;4"' in reply.body
    assert not [name for name in reply.headers if "SERIAL" in name.upper()]


async def test_devpi__rule_28_files_and_sidecars(daemon: Running, upstream: FakeUpstream) -> None:
    """`+f` in a path round-trips, as `%2Bf` too."""
    await assert_sidecars(daemon, PROJECT, [OWN.metadata, None], upstream)
    await assert_files(daemon, PROJECT, [OWN.body, BASE.body], upstream)


async def test_devpi__rule_56_short_digests_are_not_immutable(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """Sixteen digits of a digest in a path are no proof that it never means other bytes."""
    (row, _) = (await json_page(daemon, PROJECT))["files"]
    reply = await daemon.ask(row["url"].removeprefix("../.."))
    assert reply.headers["Cache-Control"] == "public, max-age=600"
