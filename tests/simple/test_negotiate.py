"""Negotiation of formats and codings."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.simple.negotiate import ACCEPT, Format, choose_coding, choose_format

J = "application/vnd.pypi.simple.v1+json"
H = "application/vnd.pypi.simple.v1+html"
PIP = f"{J}, {H}; q=0.1, text/html; q=0.01"
UV = f"{J}, {H};q=0.2, text/html;q=0.01"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize("accept", [None, "", " ", "*/*", "*/*;q=0.1", "text/*", BROWSER])
def test_format__rule_05_html_for_browsers_and_curl(accept: str | None) -> None:
    """Who asks for nothing in particular gets HTML."""
    assert choose_format(accept, None) is Format.HTML


@pytest.mark.parametrize("accept", [PIP, UV, ACCEPT, PIP.upper()])
def test_format__rule_06_pip_and_uv_get_json(accept: str) -> None:
    """The exact headers of pip and uv are answered in JSON."""
    assert choose_format(accept, None) is Format.JSON


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/html", Format.HTML),
        ("text/html; charset=utf-8", Format.HTML),
        (H, Format.HTML_V1),
        (f"{H}, */*", Format.HTML_V1),
        ("application/vnd.pypi.simple.latest+html", Format.HTML_V1),
    ],
)
def test_format__rule_07_html_types(accept: str, expected: Format) -> None:
    """Each HTML type is answered with that type."""
    assert choose_format(accept, None) is expected


def test_format__rule_08_latest_is_v1() -> None:
    """`latest` is answered with the v1 type."""
    chosen = choose_format("application/vnd.pypi.simple.latest+json", None)
    assert chosen is not None
    assert chosen.content_type == J


@pytest.mark.parametrize(
    "accept",
    ["image/png", "application/json", f"{J};q=0", "*/*;q=0", f"{J};q=high", f"{J};q=1.1", ",;,",
     "json", f"{J};q=0.0, {H};q=0.000, text/*;q=0", "application/vnd.pypi.simple.v2+json"],
)  # fmt: skip
def test_format__rule_09_nothing_acceptable(accept: str) -> None:
    """What cannot be served, or is refused with q=0, is not served."""
    assert choose_format(accept, None) is None


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"{J};q=0.5, text/html", Format.HTML),
        (f"{J}, text/html", Format.JSON),
        (f"text/html;q=0.5, {J};q=0.5", Format.JSON),
        ("text/html;q=0.5, */*", Format.HTML_V1),
        (f"text/html;q=0, */*;q=0.1, {H};q=0", Format.JSON),
        (f"{J};q=0, */*", Format.HTML),
        (f"{J};q=0.9, application/*;q=0.1, text/html;q=0.5", Format.JSON),
        (f"text/*;q=0.2, */*;q=0.7, {J};q=0.3, {H};q=0", Format.JSON),
        (f"{J};q=0, application/vnd.pypi.simple.latest+json", Format.JSON),
        (f"{J};q=0.1;x=y, {J};x=y;Q=0.9, text/html;q=0.5", Format.JSON),
    ],
)  # fmt: skip
def test_format__rule_09_q_values(accept: str, expected: Format) -> None:
    """The most specific range decides on a type, the highest q between types, JSON on a tie."""
    assert choose_format(accept, None) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (J, Format.JSON),
        (J.replace("+", " "), Format.JSON),
        ("application/vnd.pypi.simple.latest+json", Format.JSON),
        (H, Format.HTML_V1),
        ("text/html", Format.HTML),
        ("json", None),
        ("", None),
        ("*/*", None),
    ],
)
def test_format__rule_10_query_wins(value: str, expected: Format | None) -> None:
    """`?format=` names one media type, and Accept no longer counts."""
    assert choose_format("text/html, image/png", value) is expected
    assert choose_format(PIP, value) is expected


def test_format__content_types() -> None:
    """Only `text/html` carries a charset."""
    assert [f.content_type for f in Format] == [J, "text/html; charset=utf-8", H]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("gzip;q=0.1", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("identity", "identity"),
        ("identity, gzip;q=0.5", "identity"),
        ("gzip;q=0", "identity"),
        ("br", "identity"),
        ("*;q=0, gzip", "gzip"),
        ("zstd;q=0, *", "gzip"),
        ("*;q=0, identity;q=0.1", "identity"),
        ("identity;q=0", None),
        ("identity;q=0, br", None),
        ("*;q=0", None),
        ("identity;q=0, gzip", "gzip"),
    ],
)
def test_coding__rule_09(header: str | None, expected: str | None) -> None:
    """The best coding that the client takes; `identity` unless it is refused (RFC 9110 §12.5.3)."""
    assert choose_coding(header) == expected


def test_coding__only_what_is_offered() -> None:
    """A coding that we did not make is not chosen."""
    assert choose_coding("zstd, gzip", ("gzip", "identity")) == "gzip"
    assert choose_coding("zstd", ("gzip", "identity")) == "identity"
    assert choose_coding("zstd", ("gzip",)) is None
    assert choose_coding("zstd", ()) is None


HEADERS = st.text() | st.lists(
    st.sampled_from(
        [J, H, "text/html", "*/*", "*", "gzip", ";q=", ",", "1", "0.5", " ", "q", "=", "nan"]
    )
).map("".join)


@given(HEADERS, st.none() | HEADERS)
def test_negotiation__never_raises(header: str, query: str | None) -> None:
    """No header or query makes negotiation fail."""
    assert choose_format(header, query) in (*Format, None)
    assert choose_coding(header) in ("zstd", "gzip", "identity", None)


@pytest.mark.parametrize(
    "unit", [",", "a/b,", ";q=1", "*/*;q=0.", "text/html;" + ";" * 50 + ",", " "]
)
def test_negotiation__hostile_header(unit: str) -> None:
    """A header of a megabyte costs no more than reading it."""
    header = unit * (1_000_000 // len(unit))
    started_at = time.process_time()
    choose_format(header, None)
    choose_coding(header)
    assert time.process_time() - started_at < 2


def test_negotiation__only_64_ranges_count() -> None:
    """What comes after the 64th range is not read."""
    assert choose_format("a/b," * 63 + J, None) is Format.JSON
    assert choose_format("a/b," * 64 + J, None) is None
