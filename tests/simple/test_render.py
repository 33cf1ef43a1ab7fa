"""Rendering: what pages claim, what links look like, and that nothing is lost on the way."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from selectolax.lexbor import LexborHTMLParser

from pypicached.simple.model import ProjectFile, ProjectPage, ProjectStatus
from pypicached.simple.parse import ListParser, parse_list_json, parse_page
from pypicached.simple.render import (
    list_html_chunks,
    list_json_chunks,
    render_html,
    render_json,
    render_list_html,
    render_list_json,
)
from tests.simple.pages import BACK, UPSTREAM, pages

PREFIX = "../../files/pypi/"


def file(name: str = "foo-1.0.tar.gz", size: int | None = 1, **members: Any) -> ProjectFile:
    return ProjectFile(filename=name, url=f"https://h/p/{name}", size=size, **members)


def page(*files: ProjectFile, versions: list[str] | None = None, **members: Any) -> ProjectPage:
    given_members = {"api_version": "1.4", **members}
    return ProjectPage(name="foo", files=list(files), versions=versions, **given_members)


def rendered(page_: ProjectPage) -> Any:
    return json.loads(render_json(page_, PREFIX))


def anchor(file_: ProjectFile) -> dict[str, str | None]:
    node = LexborHTMLParser(render_html(page(file_), PREFIX)).css_first("a")
    assert node is not None
    return node.attributes


def meta(page_: ProjectPage, name: str) -> str | None:
    node = LexborHTMLParser(render_html(page_, PREFIX)).css_first(f'meta[name="{name}"]')
    return None if node is None else node.attributes["content"]


@given(pages(html=False))
def test_render_json__parses_to_the_same_page(expected: ProjectPage) -> None:
    """A page survives rendering to JSON and parsing, links aside."""
    body = render_json(expected, BACK)
    assert parse_page(body, "application/vnd.pypi.simple.v1+json", UPSTREAM, "foo") == expected


@given(pages(html=True))
def test_render_html__parses_to_the_same_page(expected: ProjectPage) -> None:
    """A page survives rendering to HTML and parsing, as far as HTML can say it."""
    assert parse_page(render_html(expected, BACK), "text/html", UPSTREAM, "foo") == expected


@pytest.mark.parametrize(
    ("claim", "expected"), [("1.0", "1.0"), ("1.1", "1.1"), ("1.4", "1.4"), ("1.10", "1.4")]
)
def test_render__rule_12_api_version(claim: str, expected: str) -> None:
    """The version is never above upstream's claim, nor above 1.4."""
    complete = page(file(), versions=["1.0"], api_version=claim)
    assert rendered(complete)["meta"] == {"api-version": expected}
    assert meta(complete, "pypi:repository-version") == expected


@pytest.mark.parametrize(
    "incomplete",
    [
        page(file(size=None), versions=["1.0"]),
        page(file(), file("foo-1.1.zip", size=None), versions=["1.0", "1.1"]),
        page(file()),
        page(file("foo-what.zip"), versions=["1.0"]),
        page(file("other-1.0.zip"), versions=["1.0"]),
    ],
    ids=["no-size", "one-without-size", "no-versions", "no-version", "other-project"],
)
def test_render__rule_14_incomplete_is_1_0(incomplete: ProjectPage) -> None:
    """Without all sizes and certain versions a page is of API 1.0 and lists no versions."""
    answer = rendered(incomplete)
    assert answer["meta"]["api-version"] == "1.0"
    assert "versions" not in answer


@pytest.mark.parametrize(
    ("names", "upstream", "expected"),
    [
        ([], ["1.0"], []),
        (["foo-1.0.zip"], ["0.9", "1.0", "1.1"], ["1.0"]),
        (["foo-1.0.zip", "foo-1.0-py3-none-any.whl"], ["1.0"], ["1.0"]),
        (["foo-1.1.zip", "foo-1.0.zip"], ["1.0", "1.1"], ["1.0", "1.1"]),
        (["foo-1.0.zip"], ["1.0", "1.0"], ["1.0"]),
        (["foo-1.0.0.zip"], ["1.0"], ["1.0"]),
        (["foo-1.0rc1.zip"], ["1.0-RC1"], ["1.0-RC1"]),
        (["foo-1.0.zip", "foo-2.zip"], ["1.0"], ["1.0", "2"]),
        (["foo-1.0dev-r12.zip"], ["1.0dev-r12"], ["1.0dev-r12"]),
        (["foo-1.0.zip"], ["9" * 5000, "1.0"], ["1.0"]),
        (["foo-1.0.0.zip"], ["9" * 5000, "1.0"], ["1.0"]),
    ],
)
def test_render__rule_14_versions_exact(
    names: list[str], upstream: list[str], expected: list[str]
) -> None:
    """Versions are those of the listed files, each once, in upstream's spelling and order."""
    answer = rendered(page(*(file(name) for name in names), versions=upstream))
    assert answer["versions"] == expected
    assert answer["meta"]["api-version"] == "1.4"


def test_render__rule_15_upload_time_to_the_character() -> None:
    """Upload times and sizes stay even on a page that can only claim 1.0."""
    moment = "2024-01-02T03:04:05.600000Z"
    answer = rendered(page(file(upload_time=moment), file("foo-2.zip", size=None)))
    assert answer["meta"]["api-version"] == "1.0"
    assert answer["files"][0]["upload-time"] == moment
    assert answer["files"][0]["size"] == 1


def test_render__rule_16_hashes() -> None:
    """JSON has every hash, and the key even without one; the HTML link has the best."""
    hashes = {"md5": "0" * 32, "sha256": "1" * 64, "sha512": "2" * 128}
    assert rendered(page(file(hashes=hashes)))["files"][0]["hashes"] == hashes
    assert rendered(page(file()))["files"][0]["hashes"] == {}
    assert anchor(file(hashes=hashes))["href"] == f"{PREFIX}h/p/foo-1.0.tar.gz#sha256={'1' * 64}"
    assert (anchor(file(hashes={"md5": "0", "sha512": "2"}))["href"] or "").endswith("#sha512=2")
    assert (anchor(file(hashes={"md5": "0"}))["href"] or "").endswith("#md5=0")
    assert anchor(file())["href"] == f"{PREFIX}h/p/foo-1.0.tar.gz"


@pytest.mark.parametrize(
    ("claim", "in_json", "in_html"),
    [
        (True, True, "true"),
        ({"sha256": "ab"}, {"sha256": "ab"}, "sha256=ab"),
        (False, False, None),
        (None, None, None),
        ({}, {}, None),
    ],
)
def test_render__rule_17_core_metadata(claim: Any, in_json: Any, in_html: str | None) -> None:
    """A sidecar is advertised exactly as the model says, in HTML under both names."""
    assert rendered(page(file(core_metadata=claim)))["files"][0].get("core-metadata") == in_json
    attributes = anchor(file(core_metadata=claim))
    assert attributes.get("data-core-metadata") == in_html
    assert attributes.get("data-dist-info-metadata") == in_html


def test_render__rule_20_links_have_no_query() -> None:
    """A signed upstream URL becomes a link without its query; its path keeps its spelling."""
    signed = ProjectFile(filename="f.zip", url="https://h:81/a%2Bb+c/é/f.zip?sig=1&x", size=1)
    expected = PREFIX + "h:81/a%2Bb+c/%C3%A9/f.zip"
    assert rendered(page(signed))["files"][0]["url"] == expected
    assert anchor(signed)["href"] == expected


def test_render__rule_21_escapes() -> None:
    """Whatever upstream wrote into names, reasons and specifiers stays text."""
    evil = "<script>&amp;\"'>\r\n"
    attributes = anchor(file(requires_python=">=3.8", yanked=evil))
    assert attributes["data-requires-python"] == ">=3.8"
    assert attributes["data-yanked"] == evil
    body = render_html(
        page(file(), file('"><script>.zip'), status="archived", status_reason=evil), PREFIX
    )
    assert b"<script" not in body
    assert b'data-requires-python="&gt;=3.8"' in render_html(
        page(file(requires_python=">=3.8")), ""
    )


def test_render__rule_22_yanked() -> None:
    """Yanked files say so, with the reason if there is one; others say nothing."""
    assert rendered(page(file(yanked=True)))["files"][0]["yanked"] is True
    assert rendered(page(file(yanked="bad")))["files"][0]["yanked"] == "bad"
    assert "yanked" not in rendered(page(file()))["files"][0]
    assert anchor(file(yanked=True))["data-yanked"] in (None, "")
    assert anchor(file(yanked="bad"))["data-yanked"] == "bad"
    assert "data-yanked" not in anchor(file())


@pytest.mark.parametrize(
    ("status", "listed"), [("active", 1), ("archived", 1), ("deprecated", 1), ("quarantined", 0)]
)
def test_render__rule_23_24_status(status: ProjectStatus, listed: int) -> None:
    """Status and reason are passed on; only a quarantined project lists no files."""
    marked = page(file(), versions=["1.0"], status=status, status_reason="because")
    answer = rendered(marked)
    assert answer["project-status"] == {"status": status, "reason": "because"}
    assert len(answer["files"]) == len(answer["versions"]) == listed
    assert meta(marked, "pypi:project-status") == status
    assert meta(marked, "pypi:project-status-reason") == "because"
    assert render_html(marked, PREFIX).count(b"<a ") == listed
    assert "project-status" not in rendered(page(file()))


def test_render__rule_25_provenance() -> None:
    """The provenance URL is passed on as it was, and absent where there is none."""
    url = "https://h/integrity?a=1&b"
    assert rendered(page(file(provenance=url)))["files"][0]["provenance"] == url
    assert anchor(file(provenance=url))["data-provenance"] == url
    assert "provenance" not in rendered(page(file()))["files"][0]


def test_render__rule_26_no_signatures() -> None:
    """No signature is announced, because none is served."""
    signed = page(file(gpg_sig=True))
    assert b"gpg-sig" not in render_json(signed, PREFIX) + render_html(signed, PREFIX)


def test_render_json__known_members_only() -> None:
    """A row of unknowns has only what PEP 691 requires."""
    bare = msgspec.structs.replace(file(), size=None)
    assert set(rendered(page(bare))["files"][0]) == {"filename", "url", "hashes"}


NAMES = ["Zope.Interface", "foo", "0-0-1"]


def test_render_list__links_are_relative_and_normalized() -> None:
    """The list has each name as it was, linked to its normalized page."""
    anchors = LexborHTMLParser(render_list_html(NAMES)).css("a")
    links = [(node.attributes["href"], node.text()) for node in anchors]
    assert links == [("zope-interface/", "Zope.Interface"), ("foo/", "foo"), ("0-0-1/", "0-0-1")]
    answer = json.loads(render_list_json(NAMES))
    assert answer == {"meta": {"api-version": "1.0"}, "projects": [{"name": n} for n in NAMES]}


@pytest.mark.parametrize("count", [0, 1, 2048, 4096, 4097, 20_000])
def test_render_list__chunks_make_the_whole(count: int) -> None:
    """Chunks are of some size and parse back to the names, in both formats."""
    names = [f"project.{number}" for number in range(count)]
    for chunks in (list(list_html_chunks(names)), list(list_json_chunks(names))):
        assert all(len(chunk) >= 65536 for chunk in chunks[:-2])
        assert len(chunks) <= 2 + count // 2048
    assert parse_list_json(b"".join(list_json_chunks(names))) == names
    parser = ListParser()
    for chunk in list_html_chunks(names):
        parser.feed(chunk)
    assert parser.close() == names
