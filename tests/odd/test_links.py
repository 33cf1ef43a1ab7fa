"""Where links of a page lead: bases, prefixes, ports, other hosts, redirects (rule 27)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake import FakeUpstream, make_wheel
from tests.harness import Running, running
from tests.odd.client import assert_file, assert_files, assert_sidecars, json_page, link, links
from tests.odd.rows import STYLES, Style, row, serve_page

WHEEL = make_wheel("linked", "1.0")
NAME = WHEEL.filename


async def assert_served(
    daemon: Running, url: str, upstream: FakeUpstream, *others: FakeUpstream
) -> None:
    """The page lists the wheel under the link for this URL; file and sidecar are behind it."""
    assert [row["url"] for row in (await json_page(daemon, "linked"))["files"]] == [link(url)]
    await assert_files(daemon, "linked", [WHEEL.body], upstream, *others)
    await assert_sidecars(daemon, "linked", [WHEEL.metadata], upstream, *others)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("href", "path"),
    [
        (f"{NAME}", f"/simple/linked/{NAME}"),
        (f"./{NAME}", f"/simple/linked/{NAME}"),
        (f"../../p/{NAME}", f"/p/{NAME}"),
        (f"../../../../p/{NAME}", f"/p/{NAME}"),
        (f"/p/{NAME}", f"/p/{NAME}"),
        (f"/p/./q/../{NAME}", f"/p/{NAME}"),
    ],
)
async def test_link__rule_27_relative(
    tmp_path: Path, upstream: FakeUpstream, href: str, path: str, style: Style
) -> None:
    """Relative links are resolved as RFC 3986 has it, in JSON as well (PEP 691)."""
    upstream.serve(path, WHEEL.body)
    serve_page(upstream, "linked", [row(NAME, href)], style)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon, upstream.pages_origin + path, upstream)


@pytest.mark.parametrize("base", ["/deep/er/", "../../deep/er/index.html", "{elsewhere}/deep/er/"])
async def test_link__rule_27_base_href(
    tmp_path: Path, upstream: FakeUpstream, elsewhere: FakeUpstream, base: str
) -> None:
    """`<base href>` moves every relative link, to another host too."""
    server = elsewhere if "elsewhere" in base else upstream
    server.serve(f"/deep/p/{NAME}", WHEEL.body)
    head = f'<base href="{base.format(elsewhere=elsewhere.pages_origin)}">'
    serve_page(upstream, "linked", [row(NAME, f"../p/{NAME}")], "html", head=head)
    async with running(tmp_path, upstream.url) as daemon:
        url = f"{server.pages_origin}/deep/p/{NAME}"
        await assert_served(daemon, url, upstream, elsewhere)


@pytest.mark.parametrize("style", STYLES)
async def test_link__rule_27_another_host(
    tmp_path: Path, upstream: FakeUpstream, elsewhere: FakeUpstream, style: Style
) -> None:
    """Absolute and scheme-relative links to other hosts and ports are links to us."""
    host = elsewhere.pages_origin.removeprefix("http://")
    other = make_wheel("linked", "2.0")
    elsewhere.serve(f"/p/{NAME}", WHEEL.body)
    elsewhere.serve(f"/p/{other.filename}", other.body)
    rows = [
        row(NAME, f"HTTP://{host}/p/{NAME}"),
        row(other.filename, f"//{host}/p/{other.filename}"),
    ]
    serve_page(upstream, "linked", rows, style)
    async with running(tmp_path, upstream.url) as daemon:
        assert await links(daemon, "linked") == [
            f"/files/pypi/{host}/p/{NAME}",
            f"/files/pypi/{host}/p/{other.filename}",
        ]
        await assert_files(daemon, "linked", [WHEEL.body, other.body], upstream, elsewhere)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_link__rule_27_redirected_page(
    tmp_path: Path, upstream: FakeUpstream, code: int, style: Style
) -> None:
    """Links of a page that was redirected are relative to where it was found."""
    upstream.redirect("/simple/linked/", "../../pub/v2/linked/", code)
    serve_page(upstream, "linked", [row(NAME, f"../{NAME}")], style, path="/pub/v2/linked/")
    upstream.serve(f"/pub/v2/{NAME}", WHEEL.body)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon, f"{upstream.pages_origin}/pub/v2/{NAME}", upstream)


async def test_link__rule_27_page_redirected_to_another_host(
    tmp_path: Path, upstream: FakeUpstream, elsewhere: FakeUpstream
) -> None:
    """Behind a redirect to another host, relative links are that host's."""
    upstream.redirect("/simple/linked/", f"{elsewhere.pages_origin}/x/linked/")
    serve_page(elsewhere, "linked", [row(NAME, NAME)], "html", path="/x/linked/")
    elsewhere.serve(f"/x/linked/{NAME}", WHEEL.body)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(
            daemon, f"{elsewhere.pages_origin}/x/linked/{NAME}", upstream, elsewhere
        )


async def test_link__redirected_file(
    tmp_path: Path, upstream: FakeUpstream, elsewhere: FakeUpstream
) -> None:
    """A file that is redirected to a signed URL of a store is served under the page's link."""
    signed = f"{elsewhere.pages_origin}/bucket/0a1b?X-Amz-Signature=a%2Fb"
    upstream.redirect(f"/p/{NAME}", signed)
    elsewhere.serve("/bucket/0a1b", WHEEL.body)
    serve_page(upstream, "linked", [row(NAME, f"/p/{NAME}", {"sha256": WHEEL.sha256})], "html")
    async with running(tmp_path, upstream.url) as daemon:
        (target,) = await links(daemon, "linked")
        cold = await assert_file(daemon, target, WHEEL.body)
        assert "X-Amz" not in str(cold.headers)
        assert [r.raw_path for r in elsewhere.requests] == ["/bucket/0a1b?X-Amz-Signature=a%2Fb"]


@pytest.mark.parametrize("root", ["/root/pypi/+simple/", "/", "/a%20b/~user/simple/"])
async def test_link__index_at_any_path(tmp_path: Path, root: str) -> None:
    """An index may lie at any path of its host; links are relative to its pages there."""
    async with FakeUpstream(root=root) as upstream:
        decoded = root.replace("%20", " ")
        serve_page(upstream, "linked", [row(NAME, f"../{NAME}")], "html", path=f"{decoded}linked/")
        upstream.serve(decoded + NAME, WHEEL.body)
        async with running(tmp_path, upstream.url) as daemon:
            await assert_served(daemon, upstream.pages_origin + root + NAME, upstream)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/vnd.pypi.simple.v1+json; charset=utf-8",
        "application/vnd.pypi.simple.v1+json;charset=UTF-8",
        "Application/Vnd.PyPI.Simple.V1+JSON",
        "application/json",
        "application/json; charset=utf-8",
    ],
)
async def test_page__json_content_types(
    tmp_path: Path, upstream: FakeUpstream, content_type: str
) -> None:
    """JSON is told by its media type alone, however it is written."""
    rows = [row(NAME, f"/p/{NAME}")]
    serve_page(upstream, "linked", rows, "json", content_type=content_type)
    upstream.serve(f"/p/{NAME}", WHEEL.body)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_served(daemon, f"{upstream.pages_origin}/p/{NAME}", upstream)
