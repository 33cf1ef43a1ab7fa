"""Parsing of project pages: dispatch, versions, bounds, and which rows are kept."""

from __future__ import annotations

from typing import Any

import pytest

from pypicached.simple import rows
from pypicached.simple.model import ProjectPage
from pypicached.simple.parse import ParseError, is_costly, parse_page
from tests.simple.pages import UPSTREAM
from tests.simple.reading import (
    ABC,
    HTML_PAGE,
    JSON_PAGE,
    ROW,
    V1,
    from_html,
    from_json,
    html_file,
    json_file,
    reason,
)


@pytest.mark.parametrize(
    "content_type",
    [
        V1,
        V1 + "; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        V1.replace("v1", "latest"),
        "",
        " ",
    ],
)
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" \r\n"])
def test_parse__json_types(content_type: str, before: bytes) -> None:
    """JSON is told by its media type, whatever its parameters, and by its look without one."""
    assert parse_page(before + JSON_PAGE, content_type, UPSTREAM, "foo") == ProjectPage(name="foo")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "TEXT/HTML; Charset=x",
        "application/vnd.pypi.simple.v1+html",
        "",
        ";charset=utf-8",
    ],
)
def test_parse__html_types(content_type: str) -> None:
    """HTML is told by its media type, whatever its parameters, and by its look without one."""
    assert len(parse_page(HTML_PAGE, content_type, UPSTREAM, "foo").files) == 1


@pytest.mark.parametrize("content_type", ["image/png", "text/plain", "application/xml", "x"])
def test_parse__other_types(content_type: str) -> None:
    """A type that no index answers is no page, even if its body could be one."""
    assert "Content-Type" in reason(JSON_PAGE, content_type)
    assert "Content-Type" in reason(HTML_PAGE, content_type)


def test_parse__rule_13_another_major_version() -> None:
    """Another major version is an error, in the type, in JSON and in HTML."""
    assert "major" in reason(JSON_PAGE, "application/vnd.pypi.simple.v2+json")
    assert "major" in reason(JSON_PAGE.replace(b"1.0", b"2.0"), V1)
    meta = b'<meta name="pypi:repository-version" content="2.0">'
    assert "major" in reason(meta + HTML_PAGE)
    assert "unreadable" in reason(JSON_PAGE.replace(b"1.0", b"one"), V1)


@pytest.mark.parametrize("claim", ["1.0", "1.4", "1.7"])
def test_parse__rule_12_version_as_claimed(claim: str) -> None:
    """The page remembers what upstream claimed; a silent one claims 1.0."""
    assert from_json(meta={"api-version": claim}).api_version == claim
    meta = f'<meta name="pypi:repository-version" content="{claim}">'
    assert from_html("", meta).api_version == claim
    assert from_html("").api_version == from_json(meta={}).api_version == "1.0"


def test_parse__rule_66_too_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than any project has are refused, usable or not, in both formats."""
    monkeypatch.setattr(rows, "MAX_FILES", 2)
    good = [{**ROW, "url": f"https://h/{n}.zip"} for n in range(3)]
    assert len(from_json(*good[:2]).files) == 2
    pages_of_three: list[list[Any]] = [good, [{}, {}, {}], [ROW, ROW, ROW]]
    for files in pages_of_three:
        with pytest.raises(ParseError, match="more than"):
            from_json(*files)
    with pytest.raises(ParseError, match="more than"):
        from_html('<a href="foo-1.0.zip">foo-1.0.zip</a>' * 3)


BAD_ROWS = [
    ("foo.zip", "https://h/../foo.zip"),
    ("foo.zip", "https://h/a%2Fb/foo.zip"),
    ("foo.zip", "https://h/a//foo.zip"),
    ("foo.zip", "ftp://h/foo.zip"),
    ("foo.zip", "file:///foo.zip"),
    ("foo.zip", "https://h/%00/foo.zip"),
]


@pytest.mark.parametrize(("filename", "url"), BAD_ROWS)
def test_parse__rule_64_bad_path_is_left_out(filename: str, url: str) -> None:
    """A row whose path no link of ours could carry is left out and counted; others stay."""
    page = from_json({"filename": filename, "url": url, "hashes": {}}, ROW)
    assert ([f.filename for f in page.files], page.dropped) == (["foo-1.0.zip"], 1)
    page = from_html(f'<a href="{url}">{filename}</a><a href="foo-1.0.zip">foo-1.0.zip</a>')
    assert ([f.filename for f in page.files], page.dropped) == (["foo-1.0.zip"], 1)


@pytest.mark.parametrize("other", ["http://h/foo-1.0.zip?x", "https://H/foo%2D1.0.zip"])
def test_parse__same_key_first_wins(other: str) -> None:
    """Of two files that have one link of ours the first is kept, the other counted."""
    page = from_json(ROW, {**ROW, "url": other})
    assert ([f.url for f in page.files], page.dropped) == ([ROW["url"]], 1)
    page = from_html(f'<a href="{ROW["url"]}">foo-1.0.zip</a><a href="{other}">foo-1.0.zip</a>')
    assert ([f.url for f in page.files], page.dropped) == ([ROW["url"]], 1)


def test_parse__hashes_are_lower_case() -> None:
    """Digests are compared as text, so they have one spelling."""
    assert json_file(hashes={"sha256": ABC.upper()}).hashes == {"sha256": ABC}
    assert html_file(f'href="foo-1.0.zip#sha256={ABC.upper()}"').hashes == {"sha256": ABC}


@pytest.mark.parametrize(
    ("marker", "expected"),
    [("archived", "archived"), ("quarantined", "quarantined"), ("new", None)],
)
def test_parse__rule_23_status(marker: str, expected: str | None) -> None:
    """Status and reason are read in both formats; an unknown marker is none (PEP 792)."""
    page = from_json(ROW, **{"project-status": {"status": marker, "reason": "because"}})
    assert (page.status, page.status_reason) == (expected, "because")
    metas = f'<meta name="pypi:project-status" content="{marker}">'
    metas += '<meta name="pypi:project-status-reason" content="because">'
    page = from_html('<a href="foo-1.0.zip">foo-1.0.zip</a>', metas)
    assert (page.status, page.status_reason) == (expected, "because")


@pytest.mark.parametrize("before", [0, 1, 2047, 2048, 2049, 4095, 100_000])
@pytest.mark.parametrize(("length", "expected"), [(4095, False), (4096, True), (9000, True)])
def test_parse__long_tag_is_costly(before: int, length: int, expected: bool) -> None:
    """A tag is found to be long wherever it stands; text that is as long is not."""
    assert not is_costly(b"x" * 10_000 + b">" + b"x" * 10_000)
    assert is_costly(b">" * before + b"<" + b"a" * length + b">") is expected
