"""Parsing of JSON pages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.parse import ParseError, parse_page
from tests.simple.pages import UPSTREAM
from tests.simple.reading import ABC, JSON_PAGE, ROW, V1, from_json, json_file, reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"files":{}}',
        b'{"files":[',
        b'{"message":"log in"}',
        JSON_PAGE[:-3],
        b'{"files":[],"meta":{"api-version":1}}',
        b'{"files":[],"versions":["\xff"]}',
        b"[" * 10**6,
        b"<html>",
        b'{"files":[' + b'{"a":' * 10**5,
        b'{"files":[],"a":' + b"[" * 10**5,
    ],
)
def test_parse_json__no_page(body: bytes) -> None:
    """Cut JSON, other JSON, deep JSON and no JSON are no pages."""
    assert "JSON" in reason(body, V1)


@pytest.mark.parametrize(
    "filename", ["", ".", "..", "a/b.zip", "a\\b.zip", "a\nb", "a\x00", "x" * 256]
)
def test_parse_json__unusable_filename_is_left_out(filename: str) -> None:
    """A row without a name that a client could save is left out and counted."""
    page = from_json({**ROW, "filename": filename}, {**ROW, "url": "https://h/2.zip"})
    assert (len(page.files), page.dropped) == (1, 1)


@pytest.mark.parametrize(
    "row", [{}, [], None, 1, {"filename": "a.zip"}, {"url": "https://h/a"}, {**ROW, "url": 1}]
)
def test_parse_json__row_of_a_wrong_shape_is_left_out(row: Any) -> None:
    """A row without a name or a URL costs itself and no other."""
    page = from_json(row, ROW, versions=["1.0"], **{"project-status": {"status": "archived"}})
    assert ([f.filename for f in page.files], page.dropped) == (["foo-1.0.zip"], 1)
    assert (page.versions, page.status) == (["1.0"], "archived")


def test_parse_json__number_out_of_range() -> None:
    """A number that no reader can hold costs its row at most."""
    body = b'{"files":[{"filename":"a.zip","url":"http://h/a.zip","size":1e999},%s]}'
    page = parse_page(body % msgspec.json.encode(ROW), V1, UPSTREAM, "foo")
    assert "foo-1.0.zip" in [f.filename for f in page.files]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("size", "1"),
        ("size", -1),
        ("size", 2**53),
        ("size", True),
        ("upload-time", 5),
        ("yanked", []),
        ("hashes", None),
        ("hashes", {"sha256": 1}),
        ("hashes", {"sha256": "no hex"}),
        ("hashes", {"": "ab"}),
        ("requires-python", []),
        ("requires-python", ""),
        ("core-metadata", "yes"),
        ("gpg-sig", "x"),
        ("provenance", {}),
        ("provenance", "http://h/p"),
        ("provenance", "/p"),
        ("upload-time", ""),
    ],
)
def test_parse_json__wrong_member_is_dropped_alone(member: str, value: Any) -> None:
    """An optional member that makes no sense is as if it were not there; the rest stays."""
    right = {"size": 1, "requires-python": ">=3", "hashes": {"sha256": ABC}}
    plain = {k: v for k, v in right.items() if k != member}
    assert json_file(**{**right, member: value}) == json_file(
        **{**plain, "hashes": plain.get("hashes", {})}
    )


@pytest.mark.parametrize("value", ["1.0", [1], {}])
def test_parse_json__wrong_page_member_is_dropped_alone(value: Any) -> None:
    """A list of versions or a status of a wrong type is unknown; the files stay."""
    page = from_json(ROW, versions=value, **{"project-status": "archived"})
    assert (len(page.files), page.versions, page.status) == (1, None, None)


def test_parse_json__rule_15_to_17_members_are_kept() -> None:
    """Every member is kept as upstream said it, times to the character, all hashes."""
    hashes = {"sha256": ABC, "md5": "cd" * 16, "new": "ef"}
    found = json_file(
        hashes=hashes,
        size=7,
        **{"upload-time": "2024-01-02T03:04:05.60Z", "requires-python": ">=3.8"},
        yanked="bad",
        provenance="https://h/p",
        **{"gpg-sig": False, "core-metadata": {"sha256": ABC}},
    )
    assert found == ProjectFile(
        filename="foo-1.0.zip",
        url="https://h/foo-1.0.zip",
        hashes=hashes,
        size=7,
        yanked="bad",
        upload_time="2024-01-02T03:04:05.60Z",
        requires_python=">=3.8",
        gpg_sig=False,
        provenance="https://h/p",
        core_metadata={"sha256": ABC},
    )


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, None),
        ({"core-metadata": False, "dist-info-metadata": True}, False),
        ({"dist-info-metadata": True}, True),
        ({"data-dist-info-metadata": {"sha256": ABC}}, {"sha256": ABC}),
        ({"core-metadata": {}}, True),
        ({"core-metadata": {"sha256": "?"}}, True),
        ({"core-metadata": {"sha256": "AB"}}, {"sha256": "ab"}),
    ],
)
def test_parse_json__rule_17_core_metadata(members: Any, expected: Any) -> None:
    """The sidecar claim is read under its names, the new one first (PEP 714)."""
    assert json_file(**members).core_metadata == expected


def test_parse_json__rule_17_legacy_claim_of_one_row() -> None:
    """A row that has only the legacy claim is heard among rows that have both, or the new one."""
    legacy = {"data-dist-info-metadata": {"sha256": ABC}}
    both = legacy | {"core-metadata": {"sha256": "cd"}}
    named = [ROW | {"filename": f"foo-{n}.zip", "url": f"https://h/foo-{n}.zip"} for n in range(3)]
    page = from_json(named[0] | both, named[1] | legacy, named[2] | {"core-metadata": False})
    assert [f.core_metadata for f in page.files] == [{"sha256": "cd"}, {"sha256": ABC}, False]


@pytest.mark.parametrize("claim", [7, {"sha256": 7}, [], "x"])
def test_parse_json__rule_17_legacy_claim_of_a_wrong_type(claim: Any) -> None:
    """It costs itself, and nothing beside it."""
    found = json_file(**{"data-dist-info-metadata": claim}, size=7)
    assert (found.core_metadata, found.size) == (None, 7)
    beside = json_file(**{"data-dist-info-metadata": claim, "core-metadata": {"sha256": ABC}})
    assert beside.core_metadata == {"sha256": ABC}


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (False, False), ("", True), ("bad", "bad"), (None, False)]
)
def test_parse_json__rule_22_yanked(value: Any, expected: Any) -> None:
    """An empty reason means yanked without one (PEP 592)."""
    assert json_file(yanked=value).yanked == expected


HALF = r"\ud800"


def with_half(row: str) -> ProjectPage:
    """Parse a page of a good row and one in which HALF is half a surrogate pair."""
    good = msgspec.json.encode(ROW).decode()
    body = f'{{"files":[{row.replace("HALF", HALF)},{good}],"meta":{{"api-version":"1.0"}}}}'
    return parse_page(body.encode(), V1, UPSTREAM, "foo")


@pytest.mark.parametrize("half", [r"\ud800", r"\udc00", r"x\uDBFFy", r"\ud800\u0041"])
def test_parse_json__half_a_surrogate_pair_costs_its_member(half: str) -> None:
    """A member that no UTF-8 can say is left off its row; the row and the page stay."""
    row = '{"filename":"bar-1.0.zip","url":"https://h/bar-1.0.zip","size":1,"yanked":"%s"}'
    page = with_half(row % half)
    assert [file.filename for file in page.files] == ["bar-1.0.zip", "foo-1.0.zip"]
    assert (page.files[0].size, page.files[0].yanked, page.dropped) == (1, False, 0)


@pytest.mark.parametrize(
    "row",
    [
        '{"filename":"bar-HALF.zip","url":"https://h/bar.zip"}',
        '{"filename":"bar.zip","url":"https://h/HALF.zip"}',
        '"HALF"',
        '["HALF"]',
    ],
)
def test_parse_json__half_a_surrogate_pair_costs_its_row(row: str) -> None:
    """Where it is in the name or the URL, that row goes, counted, and no other."""
    page = with_half(row)
    assert [file.filename for file in page.files] == ["foo-1.0.zip"]
    assert page.dropped == 1


def test_parse_json__half_a_surrogate_pair_beside_the_rows() -> None:
    """In a list of versions or an unknown member it costs that member."""
    body = msgspec.json.encode({"files": [ROW]}).decode()[:-1]
    text = body + ',"versions":["HALF"],"_x":{"HALF":1}}'
    page = parse_page(text.replace("HALF", HALF).encode(), V1, UPSTREAM, "foo")
    assert ([file.filename for file in page.files], page.versions) == (["foo-1.0.zip"], None)


@pytest.mark.parametrize("end", ["", '"', "}]", '},"x"]}', "[" * 100_000])
def test_parse_json__half_a_surrogate_pair_and_cut(end: str) -> None:
    """A page that is no JSON stays none."""
    with pytest.raises(ParseError):
        parse_page(b'{"files":[{"filename":"\\ud800' + end.encode(), V1, UPSTREAM, "foo")
