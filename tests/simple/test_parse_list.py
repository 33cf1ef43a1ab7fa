"""Parsing of project lists, JSON at once and HTML in pieces."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.simple.parse import ListParser, ParseError, parse_list_json

PAGE = (
    b'<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.4"></head><body>\n'
)


def from_html(*chunks: bytes) -> list[str]:
    parser = ListParser()
    for chunk in chunks:
        parser.feed(chunk)
    return parser.close()


@given(
    st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,5}[0-9]", fullmatch=True)),
    st.integers(1, 40),
)
def test_list_html__any_cut(names: list[str], step: int) -> None:
    """Wherever the answer is cut, each name comes once, in order."""
    body = (
        PAGE + "".join(f'<a href="{n}/">{n}</a><br/>\n' for n in names).encode() + b"</body></html>"
    )
    assert from_html(*(body[at : at + step] for at in range(0, len(body), step))) == names


@pytest.mark.parametrize(
    ("anchor", "expected"),
    [
        ('<a href="0-0-1/">0.0.1</a>', ["0.0.1"]),
        ('<A HREF="/simple/Foo/">Foo</A>', ["Foo"]),
        ('<a href="/simple/foo/">The Foo</a>', ["foo"]),
        ('<a href="foo/">foo/</a>', ["foo"]),
        ('<a href="https://h/simple/foo/?x#y"></a>', ["foo"]),
        ('<a href="?C=N;O=D">Name</a>', []),
        ('<a href="../">up</a>', []),
        ('<a href="/pypi/">Parent Directory</a>', []),
        ('<a href="a%20b/">a b</a>', []),
        ('<a href="a\nb/">a\nb</a>', []),
        ("<a>foo</a>", []),
    ],
)
def test_list_html__rule_04_names(anchor: str, expected: list[str]) -> None:
    """The text is the name, or else the link's end; what is no name is left out."""
    assert from_html(PAGE + anchor.encode()) == expected


def test_list_html__memory_is_bounded() -> None:
    """What never comes to the end of an entry is given up, not collected."""
    parser = ListParser()
    for _ in range(16):
        parser.feed(b"x" * 65536)
    with pytest.raises(ParseError):
        parser.feed(b"x")


@pytest.mark.parametrize(
    "body",
    [b"", b"error", b"<html><body><form></form></body></html>", b"<html>Not found</html>",
     PAGE.replace(b"1.4", b"2.0")],
)  # fmt: skip
def test_list_html__no_list(body: bytes) -> None:
    """A login page, an error page and another major version are no empty list."""
    with pytest.raises(ParseError):
        from_html(body)


@pytest.mark.parametrize("body", [PAGE, b"<html><title>Simple index</title><body></body></html>"])
def test_list_html__empty(body: bytes) -> None:
    """An index may have no projects."""
    assert from_html(body) == []


def test_list_json__names() -> None:
    """Valid names come in their order; rows that make no sense cost themselves only."""
    body = b'{"meta":{"api-version":"1.0","_last-serial":3},"projects":[%s{"name":"B.c"}]}'
    assert parse_list_json(body % b'{"name":"a"},{"name":"a/b"},') == ["a", "B.c"]
    assert parse_list_json(b"\xef\xbb\xbf" + body % b'{"name":1},{},5,null,') == ["B.c"]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"projects":[{"name":"a"}', b'{"projects":5}', b"\xff", b"[" * 10**5,
     b'{"meta":{"api-version":"2.0"},"projects":[]}', b'{"projects":[{"name":"\xff"}]}'],
)  # fmt: skip
def test_list_json__no_list(body: bytes) -> None:
    """Cut JSON, other JSON and another major version (rule 13) are no list."""
    with pytest.raises(ParseError):
        parse_list_json(body)


@given(
    st.lists(
        st.binary() | st.sampled_from([b"<a href=", b"</a>", b">", b"x", b"<html>", b"<meta "])
    )
)
def test_list__raises_nothing_else(chunks: list[bytes]) -> None:
    """Whatever upstream answers, it is a list of names or a `ParseError`."""
    names: list[str] = []
    with suppress(ParseError):
        names += from_html(*chunks)
    with suppress(ParseError):
        names += parse_list_json(b"".join(chunks))
    assert all(name.isascii() for name in names)


def test_list_html__end_tags_split_between_chunks() -> None:
    """Entries end although each end tag comes in two chunks: nothing piles up."""
    entry = b'<a href="x/">x</a>'
    parser = ListParser()
    parser.feed(PAGE + entry[:-2])
    for _ in range(70_000):
        parser.feed(entry[-2:] + entry[:-2])
    parser.feed(entry[-2:])
    assert len(parser.close()) == 70_001


def test_list_json__half_a_surrogate_pair_costs_its_row() -> None:
    """A name that no UTF-8 can say is left out; the others stay."""
    body = rb'{"projects":[{"name":"foo"},{"name":"\ud800"},{"name":"bar","_x":"\udfff"}]}'
    assert parse_list_json(body) == ["foo", "bar"]
