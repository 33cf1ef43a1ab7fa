"""A mirror that speaks HTML only: JSON clients get what HTML told, and sidecars of every wheel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fake import FakeUpstream
from tests.harness import JSON, Running, running
from tests.odd import mirror
from tests.odd.client import Anchor, assert_files, assert_sidecars, html_page, json_page, link
from tests.odd.mirror import PROJECT, SDIST, WHEEL, YANKED


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with mirror.upstream() as one:
        yield one


@pytest.fixture
async def daemon(tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Running]:
    async with running(tmp_path, upstream.url) as one:
        yield one


async def test_mirror__rules_12_14_16_17_json_page(daemon: Running, upstream: FakeUpstream) -> None:
    """Sizes, versions and times that nobody told are not made up, and 1.0 is all that is claimed.

    Sidecars are advertised for wheels alone, without a hash: we answer for them.
    """
    assert await json_page(daemon, PROJECT) == {
        "meta": {"api-version": "1.0"},
        "name": PROJECT,
        "files": [
            {
                "filename": WHEEL.filename,
                "url": link(upstream.url_of(WHEEL)),
                "hashes": {"sha256": WHEEL.sha256},
                "requires-python": "<4,>=3.8",
                "core-metadata": True,
            },
            {
                "filename": YANKED.filename,
                "url": link(upstream.url_of(YANKED)),
                "hashes": {"sha256": YANKED.sha256},
                "core-metadata": True,
                "yanked": True,
            },
            {
                "filename": SDIST.filename,
                "url": link(upstream.url_of(SDIST)),
                "hashes": {"sha256": SDIST.sha256},
                "yanked": "wrong licence",
            },
        ],
    }


async def test_mirror__rule_17_html_page(daemon: Running, upstream: FakeUpstream) -> None:
    """The HTML page says what upstream's said, and advertises the sidecars that we make."""
    ours = {"data-core-metadata": "true", "data-dist-info-metadata": "true"}
    page = await html_page(daemon, PROJECT)
    assert page.metas == {"pypi:repository-version": "1.0"}
    assert page.anchors == [
        Anchor(
            WHEEL.filename,
            f"{link(upstream.url_of(WHEEL))}#sha256={WHEEL.sha256}",
            {"data-requires-python": "<4,>=3.8", **ours},
        ),
        Anchor(
            YANKED.filename,
            f"{link(upstream.url_of(YANKED))}#sha256={YANKED.sha256}",
            {**ours, "data-yanked": ""},
        ),
        Anchor(
            SDIST.filename,
            f"{link(upstream.url_of(SDIST))}#sha256={SDIST.sha256}",
            {"data-yanked": "wrong licence"},
        ),
    ]


@pytest.mark.parametrize("served", [True, False])
async def test_mirror__files_and_sidecars(
    daemon: Running, upstream: FakeUpstream, served: bool
) -> None:
    """Files and sidecars are right, whether or not sidecars that nobody advertised lie there."""
    upstream.dialect.sidecars_served = served
    await assert_sidecars(daemon, PROJECT, [file.metadata for file in mirror.FILES], upstream)
    await assert_files(daemon, PROJECT, [file.body for file in mirror.FILES], upstream)


async def test_mirror__expired_without_validators(daemon: Running, upstream: FakeUpstream) -> None:
    """Without ETag and date the page is asked for anew, and the same again keeps our ETag."""
    page = f"/simple/{PROJECT}/"
    first = await daemon.ask(page, Accept=JSON)
    daemon.clock.advance(3600)
    again = await daemon.ask(page, Accept=JSON)
    assert again.headers["Cache-Status"] == "pypicached; fwd=stale; stored"
    assert (again.body, again.headers["ETag"]) == (first.body, first.headers["ETag"])
    assert not any("if-none-match" in request.headers for request in upstream.requests)
