"""Ways to write down an upstream answer and read it, for the tests of parsing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.parse import ParseError, parse_page
from tests.simple.pages import UPSTREAM

V1 = "application/vnd.pypi.simple.v1+json"
ABC = "ab" * 32
JSON_PAGE = b'{"meta":{"api-version":"1.0"},"name":"foo","files":[]}'
HTML_PAGE = b'<html><body><a href="foo-1.0.zip">foo-1.0.zip</a></body></html>'
ROW = {"filename": "foo-1.0.zip", "url": "https://h/foo-1.0.zip", "hashes": {}}


def from_json(*files: Any, **members: Any) -> ProjectPage:
    body = {"meta": {"api-version": "1.1"}, "name": "foo", "files": files, **members}
    return parse_page(msgspec.json.encode(body), V1, UPSTREAM, "foo")


def json_file(**members: Any) -> ProjectFile:
    page = from_json({**ROW, **members})
    assert (len(page.files), page.dropped) == (1, 0)
    return page.files[0]


def from_html(body: str, head: str = "", url: str = UPSTREAM) -> ProjectPage:
    text = f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"
    return parse_page(text.encode(), "text/html", url, "foo")


def html_file(attributes: str, text: str = "foo-1.0.zip") -> ProjectFile:
    page = from_html(f"<a {attributes}>{text}</a>")
    assert (len(page.files), page.dropped) == (1, 0)
    return page.files[0]


def reason(body: bytes, content_type: str = "text/html") -> str:
    with pytest.raises(ParseError) as caught:
        parse_page(body, content_type, UPSTREAM, "foo")
    assert caught.value.reason.isascii()
    assert len(caught.value.reason) < 80
    return caught.value.reason
