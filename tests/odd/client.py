"""A client of the daemon that takes pages apart, and follows links as pip and uv spell them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urljoin

from tests.cache.client import settled
from tests.fake import FakeUpstream
from tests.harness import Reply, Running

HIT = "pypicached; hit"


class Anchor(NamedTuple):
    """One anchor of an HTML page: its text, its link, and its other attributes."""

    text: str
    href: str
    attributes: dict[str, str]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: list[Anchor] = []
        self.metas: dict[str, str] = {}
        self._open: dict[str, str] | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "a":
            self._open, self._text = attributes, ""
        if tag == "meta" and "name" in attributes:
            self.metas[attributes["name"]] = attributes["content"]

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._open is not None:
            self.anchors.append(Anchor(self._text, self._open.pop("href"), self._open))


class HtmlPage(NamedTuple):
    """A project page in HTML."""

    anchors: list[Anchor]
    metas: dict[str, str]


async def json_page(daemon: Running, project: str) -> dict[str, Any]:
    """Return the page as JSON, as it is."""
    return await daemon.page(project)


async def html_page(daemon: Running, project: str) -> HtmlPage:
    """Return what the page as HTML says."""
    reply = await daemon.ask(f"/simple/{project}/", Accept="text/html")
    assert (reply.status, reply.headers["Content-Type"].partition(";")[0]) == (200, "text/html")
    page = _Page()
    page.feed(reply.text)
    return HtmlPage(page.anchors, page.metas)


def link(url: str, index: str = "pypi") -> str:
    """Return the link on our project page for an upstream URL (PRODUCT.md section 2)."""
    path = url.partition("://")[2].partition("#")[0].partition("?")[0]
    return f"../../files/{index}/{path}"


async def links(daemon: Running, project: str) -> list[str]:
    """Return the targets of the page's files, the same in both formats, in the page's order."""
    rows = (await json_page(daemon, project))["files"]
    hrefs = [anchor.href.partition("#")[0] for anchor in (await html_page(daemon, project)).anchors]
    assert [row["url"] for row in rows] == hrefs
    return [urljoin(f"/simple/{project}/", href) for href in hrefs]


def spellings(target: str) -> list[str]:
    """Return a link as clients spell it on the wire, the page's own spelling first.

    uv leaves a link as it is. pip decodes and encodes each path anew, but for `@` and `%2F`: so
    `+` becomes `%2B`, and `%7E` becomes `~`. Others write no escape that they need not, or write
    hex digits in lower case.
    """
    by_pip = "@".join(quote(unquote(part)) for part in target.split("@"))
    bare = quote(unquote(target), safe="/!$&'()*+,;=:@~")
    lower = re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), by_pip)
    return list(dict.fromkeys([target, by_pip, bare, lower]))


async def assert_file(daemon: Running, target: str, body: bytes, *upstreams: FakeUpstream) -> Reply:
    """The target gives these bytes, cold and as a hit, in every spelling.

    It costs each upstream nothing after the first time. Returns the cold answer.
    """
    cold = await daemon.ask(target)
    assert (target, cold.status, cold.body == body) == (target, 200, True), cold.body[:300]
    assert "Content-Encoding" not in cold.headers
    await settled(daemon)
    for upstream in upstreams:
        upstream.clear()
    for spelled in spellings(target):
        again = await daemon.ask(spelled)
        assert (spelled, again.status, again.body == body) == (spelled, 200, True)
        assert again.headers["Cache-Status"] == HIT
    assert [request for upstream in upstreams for request in upstream.requests] == []
    return cold


async def assert_files(
    daemon: Running, project: str, bodies: list[bytes], *upstreams: FakeUpstream
) -> None:
    """Every file of the page, in its order, has these bytes behind its link."""
    targets = await links(daemon, project)
    assert len(targets) == len(bodies)
    for target, body in zip(targets, bodies, strict=True):
        await assert_file(daemon, target, body, *upstreams)


async def assert_sidecars(
    daemon: Running, project: str, sidecars: list[bytes | None], *upstreams: FakeUpstream
) -> None:
    """Every file of the page that is said to have a sidecar has this one; None: it is not said."""
    rows = (await json_page(daemon, project))["files"]
    targets = await links(daemon, project)
    assert [bool(row.get("core-metadata")) for row in rows] == [bool(s) for s in sidecars]
    for target, sidecar in zip(targets, sidecars, strict=True):
        if sidecar is not None:
            await assert_file(daemon, f"{target}.metadata", sidecar, *upstreams)
        else:
            assert (await daemon.ask(f"{target}.metadata")).status == 404
