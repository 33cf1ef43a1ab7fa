"""An artifact manager behind a password, configured as such a thing is: without a last slash."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fake import FakeUpstream
from tests.harness import JSON, Running, running, write_config
from tests.odd import nexus
from tests.odd.client import (
    Anchor,
    assert_files,
    assert_sidecars,
    html_page,
    json_page,
    link,
    links,
)
from tests.odd.nexus import PROJECT, SDIST, WHEEL

PAGE = f"/simple/{PROJECT}/"


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with nexus.upstream() as one:
        yield one


@pytest.fixture
async def daemon(tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Running]:
    index: dict[str, object] = {
        "name": "corp",
        "url": upstream.url.removesuffix("/"),
        "username": nexus.USER,
        "password": nexus.PASSWORD,
    }
    async with running(tmp_path, config=write_config(tmp_path, index)) as one:
        yield one


@pytest.mark.parametrize("slashes", ["as asked", "stripped"])
async def test_nexus__rules_14_16_27_json_page(
    daemon: Running, upstream: FakeUpstream, slashes: str
) -> None:
    """Relative links are resolved against the URL that answered, whatever was asked for."""
    if slashes == "stripped":
        nexus.strip_slashes(upstream)
    base = upstream.pages_origin
    assert await json_page(daemon, PROJECT) == {
        "meta": {"api-version": "1.0"},
        "name": PROJECT,
        "files": [
            {
                "filename": WHEEL.filename,
                "url": link(base + nexus.file_path(WHEEL), "corp"),
                "hashes": {"sha256": WHEEL.sha256},
                "core-metadata": True,
            },
            {
                "filename": SDIST.filename,
                "url": link(base + nexus.file_path(SDIST), "corp"),
                "hashes": {"sha256": SDIST.sha256},
            },
        ],
    }
    await assert_files(daemon, PROJECT, [WHEEL.body, SDIST.body], upstream)


async def test_nexus__rule_17_html_page(daemon: Running, upstream: FakeUpstream) -> None:
    """The HTML page has the links, their hashes and our sidecars, and no attribute of theirs."""
    base = upstream.pages_origin
    page = await html_page(daemon, PROJECT)
    assert page.metas == {"pypi:repository-version": "1.0"}
    assert page.anchors == [
        Anchor(
            WHEEL.filename,
            f"{link(base + nexus.file_path(WHEEL), 'corp')}#sha256={WHEEL.sha256}",
            {"data-core-metadata": "true", "data-dist-info-metadata": "true"},
        ),
        Anchor(
            SDIST.filename,
            f"{link(base + nexus.file_path(SDIST), 'corp')}#sha256={SDIST.sha256}",
            {},
        ),
    ]


async def test_nexus__files_and_sidecars_without_ranges(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """A server without ranges costs the whole wheel for its sidecar, once: then it is cached."""
    await assert_sidecars(daemon, PROJECT, [WHEEL.metadata, None], upstream)
    wheel, sdist = await links(daemon, PROJECT)
    assert (await daemon.ask(wheel)).body == WHEEL.body
    assert upstream.requests == []
    assert (await daemon.ask(sdist)).body == SDIST.body


async def test_nexus__rule_37_credentials(daemon: Running, upstream: FakeUpstream) -> None:
    """The password goes with each request to its origin, and into no answer of ours."""
    wheel, _ = await links(daemon, PROJECT)
    replies = [await daemon.ask(target) for target in (PAGE, wheel, f"{wheel}.metadata", "/")]
    basic = base64.b64encode(f"{nexus.USER}:{nexus.PASSWORD}".encode()).decode()
    assert {request.headers.get("authorization") for request in upstream.requests} == {
        f"Basic {basic}"
    }
    assert {reply.headers["Cache-Control"].split(",")[0] for reply in replies[:3]} == {"private"}
    for reply in replies:
        told = reply.body + str(reply.headers).encode()
        assert not [word for word in (nexus.PASSWORD, basic) if word.encode() in told]


async def test_nexus__refused_password(daemon: Running, upstream: FakeUpstream) -> None:
    """A password that the server refuses is a 502 that says so, no absence (rule 44)."""
    upstream.require(("build", "another"))
    reply = await daemon.ask(PAGE, Accept=JSON)
    assert (reply.status, b"credentials" in reply.body) == (502, True)
