"""Parsing of whatever bytes an upstream may answer."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.simple.model import ProjectPage
from pypicached.simple.parse import ParseError, parse_page
from pypicached.simple.render import render_html, render_json
from tests.simple.pages import BACK, UPSTREAM, pages
from tests.simple.reading import ABC, V1

ANY_TYPE = st.sampled_from([V1, "text/html", "", "text/html; charset=latin-1"]) | st.text()
HTML_PARTS = st.lists(
    st.sampled_from(
        [
            "<a href=",
            "<a ",
            ">",
            '"',
            "foo-1.0.zip",
            "</a>",
            "<base href=",
            "http://",
            "//[",
            "&#0;",
            "<!--",
            "<meta name=pypi:repository-version content=",
            "1.0",
            "..",
            "/",
            "#sha256=" + ABC,
            "data-yanked",
            "<script>",
            "</script>",
            "\x00",
            "é",
            "<form>",
            "<template>",
            "<svg>",
            "<table>",
            "data-core-metadata=",
        ]
    )
    | st.text(max_size=5)
).map(lambda parts: "".join(parts).encode())
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just("http://h/a"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "files",
                    "meta",
                    "api-version",
                    "filename",
                    "url",
                    "hashes",
                    "size",
                    "yanked",
                    "core-metadata",
                    "versions",
                    "project-status",
                    "status",
                    "provenance",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=6,
        )
    ),
)
JSON_PAGES = st.builds(
    lambda files, rest: msgspec.json.encode({**rest, "files": files}),
    st.lists(st.fixed_dictionaries({"filename": JSON_VALUES, "url": JSON_VALUES}) | JSON_VALUES),
    st.dictionaries(st.sampled_from(["meta", "versions", "project-status"]), JSON_VALUES),
)


@given(st.binary() | HTML_PARTS | JSON_PAGES, ANY_TYPE)
def test_parse__raises_nothing_else(body: bytes, content_type: str) -> None:
    """Whatever upstream answers, it is a page that can be rendered, or a `ParseError`."""
    try:
        page = parse_page(body, content_type, UPSTREAM, "foo")
    except ParseError:
        return
    again = parse_page(render_json(page, BACK), V1, UPSTREAM, "foo")
    listed = [] if page.status == "quarantined" else page.files
    assert [f.filename for f in again.files] == [f.filename for f in listed]
    assert again.dropped == 0
    assert b"</html>" in render_html(page, BACK)


@given(pages(html=False), st.data())
def test_parse__cut_json_is_no_page(page: ProjectPage, data: st.DataObject) -> None:
    """JSON that ends early is never taken for a shorter page."""
    body = render_json(page, BACK)
    with pytest.raises(ParseError):
        parse_page(body[: data.draw(st.integers(0, len(body) - 1))], V1, UPSTREAM, "foo")
