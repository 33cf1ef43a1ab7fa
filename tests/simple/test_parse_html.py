"""Parsing of HTML pages and directory listings."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pypicached.simple.model import ProjectPage
from pypicached.simple.parse import parse_page
from tests.simple.pages import UPSTREAM
from tests.simple.reading import ABC, from_html, html_file, json_file, reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"upstream connect error",
        b"<p>503</p>",
        b"<!DOCTYPE html><html><body><form action=/login><input></form></body></html>",
        b"<!DOCTYPE html><html><body><script src=app.js></script></body></html>",
        b"<html><head><meta http-equiv=refresh content='0;url=/login'></head></html>",
        b"<html><body><h1>404 Not Found</h1></body></html>",
        b"<html><body>foo not found</body></html>",
        b"<html><body><a href='/login'>Log in</a></body></html>",
        b"<html><body><input type=password><a href=/tool-1.0.zip>client</a></body></html>",
    ],
)
def test_parse_html__no_page(body: bytes) -> None:
    """A login page or an error page with status 200 is no index page, and no absence either."""
    assert reason(body)


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html><title>Links for foo</title><body><h1>Links for foo</h1></body>",
        b"<!DOCTYPE html><html><body></body></html>",
        b"<html><head><title>Index of /foo/</title></head><body><h1>Index of /foo/</h1><hr><pre>"
        b'<a href="../">../</a></pre></body></html>',
        b"<!DOCTYPE HTML><html><body><h1>Directory listing for /foo/</h1><ul></ul></body></html>",
        b"<html><body><h1>Foo</h1></body></html>",
        b'<meta name="pypi:repository-version" content="1.0"><p>No files, <form></form></p>',
    ],
)
def test_parse_html__empty_page(body: bytes) -> None:
    """A page that looks like an index without files is one (PEP 503)."""
    assert parse_page(body, "text/html", UPSTREAM, "foo") == ProjectPage(name="foo")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", None),
        ('data-core-metadata="true"', True),
        ("data-core-metadata", True),
        ('data-core-metadata="false"', False),
        (f'data-core-metadata="sha256={ABC}" data-dist-info-metadata="true"', {"sha256": ABC}),
        (f'data-dist-info-metadata="sha256={ABC.upper()}"', {"sha256": ABC}),
    ],
)
def test_parse_html__rule_17_core_metadata(attributes: str, expected: Any) -> None:
    """The sidecar claim is read under its names, the new one first (PEP 714)."""
    assert html_file(f'href="foo-1.0.zip" {attributes}').core_metadata == expected


def test_parse_html__rule_22_yanked() -> None:
    """The attribute alone means yanked (PEP 592)."""
    assert html_file('href="foo-1.0.zip"').yanked is False
    assert html_file('href="foo-1.0.zip" data-yanked').yanked is True
    assert html_file('href="foo-1.0.zip" data-yanked=""').yanked is True
    assert html_file('href="foo-1.0.zip" data-yanked="a &amp; b"').yanked == "a & b"


def test_parse_html__rule_21_requires_python() -> None:
    """Attributes are unescaped once."""
    assert (
        html_file('href="foo-1.0.zip" data-requires-python="&gt;=3.8"').requires_python == ">=3.8"
    )


def test_parse_html__signature_and_provenance() -> None:
    """The remaining attributes of an anchor are read; values without a meaning are unknown."""
    found = html_file('href="foo-1.0.zip" data-gpg-sig="true" data-provenance="https://h/p"')
    assert (found.gpg_sig, found.provenance) == (True, "https://h/p")
    found = html_file('href="foo-1.0.zip" data-gpg-sig="x" data-provenance="javascript:x"')
    assert (found.gpg_sig, found.provenance) == (None, None)


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", {}),
        ("#", {}),
        (f"#sha256={ABC}", {"sha256": ABC}),
        (f"#md5={'cd' * 16}", {"md5": "cd" * 16}),
        (f"#egg=foo-1.0&sha256={ABC}", {"sha256": ABC}),
        (f"#sha256={ABC}&egg=foo", {"sha256": ABC}),
        (f"#egg={ABC}", {}),
        ("#sha256=xyz", {}),
        (f"#xsha256&x={ABC}.", {}),
    ],
)
def test_parse_html__rule_16_fragment(fragment: str, expected: dict[str, str]) -> None:
    """The link's fragment carries the hash, and is no part of the URL."""
    found = html_file(f'href="https://h/foo-1.0.zip{fragment}"')
    assert (found.hashes, found.url) == (expected, "https://h/foo-1.0.zip")


@pytest.mark.parametrize(
    ("base", "href", "expected"),
    [
        ("", "../../p/foo.zip", "https://up.example/p/foo.zip"),
        ("", "foo.zip", "https://up.example/simple/foo/foo.zip"),
        ("", "/foo.zip?sig=1#sha256=x", "https://up.example/foo.zip?sig=1"),
        ("", "//other/foo.zip", "https://other/foo.zip"),
        ("", " https://other/a b/foo.zip\n", "https://other/a%20b/foo.zip"),
        ("https://cdn/x/", "foo.zip", "https://cdn/x/foo.zip"),
        ("../../files/", "foo.zip", "https://up.example/files/foo.zip"),
        ("http://[bad", "foo.zip", "https://up.example/simple/foo/foo.zip"),
    ],
)
def test_parse__rule_27_relative_links(base: str, href: str, expected: str) -> None:
    """Links are relative to `<base>`, and that to the final URL of the page."""
    head = f'<base><base href="{base}"><base href="https://second/">' if base else ""
    assert [f.url for f in from_html(f'<a href="{href}">foo.zip</a>', head).files] == [expected]
    if not base and "\n" not in href:
        assert json_file(url=href).url == expected


def test_parse_html__directory_listing() -> None:
    """Links of a listing that are no files are passed over and not counted."""
    listing = (
        '<h1>Index of /foo</h1><a href="?C=N;O=D">Name</a><a href="../">../</a>'
        '<a href="foo-1.0-py3-none-any.whl">foo-1.0-py3..&gt;</a>'
        '<a href="old/">old/</a><a href="index.html">index.html</a>'
        '<a href="foo%20bar-1.0.zip">foo bar-1.0.zip</a>'
        '<a href="foo-1.0.tar.gz.asc">foo-1.0.tar.gz.asc</a>'
        '<a href="mailto:a@b">a</a><a>b</a><a href="">c</a><a href="#top">d</a>'
    )
    page = from_html(listing)
    assert [f.filename for f in page.files] == ["foo-1.0-py3-none-any.whl", "foo bar-1.0.zip"]
    assert page.dropped == 0


@pytest.mark.parametrize(
    ("href", "text", "expected"),
    [
        ("x/foo-1.0.zip", "foo-1.0.zip", "foo-1.0.zip"),
        ("x/foo-1.0%2Bcpu.zip", "foo-1.0+cpu.zip", "foo-1.0+cpu.zip"),
        ("x/foo-1.0.zip", "", "foo-1.0.zip"),
        ("x/foo-1.0.zip", "  foo-1.0.zip\n", "foo-1.0.zip"),
        ("x/foo-1.0.zip", "Download foo-2.zip", "foo-1.0.zip"),
        ("x/foo-1.0.zip", "a/foo-2.zip", "foo-1.0.zip"),
        ("x/download?id=5", "foo-1.0.zip", "foo-1.0.zip"),
        ("x/foo-1.0.zip", "<b>foo-</b>1.0.zip", "foo-1.0.zip"),
    ],
)
def test_parse_html__file_name(href: str, text: str, expected: str) -> None:
    """The text is the file name, unless it is a label or cut short: then the link's end is."""
    assert html_file(f'href="{href}"', text).filename == expected


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("", "utf-8"),
        ("; charset=utf-8", "utf-8"),
        ('; charset="ISO-8859-1"', "cp1252"),
        ("; charset=zlib_codec", "utf-8"),
        ("; charset=idna", "utf-8"),
        ("; q=1; charset=latin1", "cp1252"),
    ],
)
def test_parse_html__charset(charset: str, codec: str) -> None:
    """The charset of the Content-Type counts, if it is one of the web's; else UTF-8."""
    body = '<a href="foo-1.0.zip" data-yanked="naïve">foo-1.0.zip</a>'.encode(codec)
    page = parse_page(body, "text/html" + charset, UPSTREAM, "foo")
    assert page.files[0].yanked == "naïve"


def test_parse_html__undecodable_bytes() -> None:
    """Bytes that are no UTF-8 cost no more than themselves."""
    body = b'<a href="foo-1.0.zip" data-yanked="\xff">foo-1.0.zip</a>\xc3'
    assert parse_page(body, "text/html", UPSTREAM, "foo").files[0].yanked == "\ufffd"


def test_parse_html__large_page_in_pieces() -> None:
    """A page that is parsed in pieces gives each file once, with head and base applied to all."""
    anchors = [
        f'<a href="foo-1.{n}.zip" data-yanked="r{n}">foo-1.{n}.zip</a><br>\n' for n in range(5000)
    ]
    head = '<base href="https://cdn/p/"><style>' + "x" * 30_000 + "</style>"
    page = from_html("".join(anchors), head)
    assert [f.url for f in page.files] == [f"https://cdn/p/foo-1.{n}.zip" for n in range(5000)]
    assert [f.yanked for f in page.files] == [f"r{n}" for n in range(5000)]


@pytest.mark.parametrize(
    "unit", ["<div>", "<a>", "<b><p>", "<font size=1><p>", "<table><tr><td>", "<x>"]
)
def test_parse_html__rule_66_deep_nesting(unit: str) -> None:
    """Deep nesting costs time in proportion to the page, not by the square of it."""
    body = (unit * (1_000_000 // len(unit))).encode()
    started_at = time.process_time()
    reason(body)
    assert time.process_time() - started_at < 10  # by the square it would be a minute
