"""Which API version our pages claim, for upstreams that claim more than they say (rules 12, 14)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fake import FakeUpstream, make_sdist, make_wheel
from tests.harness import running
from tests.odd.client import html_page, json_page

WHEEL = make_wheel("alpha", "1.0", yanked=True)
SDIST = make_sdist("alpha", "1.1")


@pytest.mark.parametrize(
    ("claimed", "row", "members", "honest"),
    [
        ("1.4", {}, {}, "1.4"),
        ("1.1", {}, {}, "1.1"),
        ("1.0", {}, {}, "1.0"),
        ("1.5", {}, {"namespaces": ["alpha"]}, "1.4"),
        ("1.99", {}, {}, "1.4"),
        ("1.4", {"size": None}, {}, "1.0"),
        ("1.4", {"size": "17"}, {}, "1.0"),
        ("1.4", {}, {"versions": None}, "1.0"),
        ("1.4", {}, {"versions": ["1.0", "1.1", "1.1", "0.1"]}, "1.4"),
        ("1.4", {}, {"versions": ["1.0"]}, "1.4"),
    ],
)
async def test_claim__rules_12_14_json(
    tmp_path: Path,
    upstream: FakeUpstream,
    claimed: str,
    row: dict[str, Any],
    members: dict[str, Any],
    honest: str,
) -> None:
    """What is claimed is carried: sizes of all files, and exactly the versions of those."""
    upstream.dialect.api_version = claimed
    if claimed == "1.0":
        row = {"size": 5, "upload-time": "2024-01-02T03:04:05Z"}
    upstream.add("alpha", WHEEL, SDIST, rows={SDIST.filename: row}, members=members)
    async with running(tmp_path, upstream.url) as daemon:
        page = await json_page(daemon, "alpha")
    assert page["meta"] == {"api-version": honest}
    assert page.get("versions") == (None if honest == "1.0" else ["1.0", "1.1"])
    assert "namespaces" not in page
    wheel, sdist = page["files"]
    assert isinstance(sdist.get("size", 0), int)
    assert ("size" in wheel, wheel["yanked"]) == (claimed != "1.0", True)


@pytest.mark.parametrize(
    ("claimed", "honest"), [("1.0", "1.0"), ("1.1", "1.1"), ("1.4", "1.4"), ("1.6", "1.4")]
)
async def test_claim__rule_12_html(
    tmp_path: Path, upstream: FakeUpstream, claimed: str, honest: str
) -> None:
    """HTML claims what upstream's HTML claimed, at most 1.4; JSON made of it no more than 1.0."""
    upstream.dialect.style, upstream.dialect.api_version = "html", claimed
    upstream.add("alpha", WHEEL, SDIST)
    async with running(tmp_path, upstream.url) as daemon:
        assert (await html_page(daemon, "alpha")).metas["pypi:repository-version"] == honest
        assert (await json_page(daemon, "alpha"))["meta"] == {"api-version": "1.0"}


@pytest.mark.parametrize("style", ["json", "html"])
async def test_claim__rule_13_another_major_version(
    tmp_path: Path, upstream: FakeUpstream, style: Any
) -> None:
    """A page of API 2 is an error that says so, and is not passed on."""
    upstream.dialect.style, upstream.dialect.api_version = style, "2.0"
    upstream.add("alpha", WHEEL)
    async with running(tmp_path, upstream.url) as daemon:
        reply = await daemon.ask("/simple/alpha/")
        assert (reply.status, b"major API version" in reply.body) == (502, True)
