"""Byte ranges and conditions, against a plain model of RFC 9110 §13 and §14."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pypicached.web.ranges import UnsatisfiableError, matches, parse_range, range_applies

lengths = st.integers(0, 30)
numbers = st.integers(0, 40)
TAG = '"tag"'


def model(first: int | None, last: int | None, length: int) -> list[int] | str:
    """Return the positions of §14.1.2, byte by byte; "whole" or "416" where there are none."""
    if first is None:
        chosen = list(range(length))[-last:] if last else []
    elif last is not None and last < first:
        return "whole"
    else:
        chosen = [n for n in range(length) if n >= first and (last is None or n <= last)]
    return chosen or "416"


def taken(value: str | None, length: int) -> list[int] | str:
    """Return the same of what our parser says."""
    try:
        found = parse_range(value, length)
    except UnsatisfiableError:
        return "416"
    return "whole" if found is None else list(range(*found))


@given(numbers, numbers, lengths)
@example(0, 0, 0)
@example(30, 40, 30)
def test_range__first_and_last(first: int, last: int, length: int) -> None:
    """`first-last` is the bytes from first to last, as far as there are any."""
    assert taken(f"bytes={first}-{last}", length) == model(first, last, length)


@given(numbers, lengths)
def test_range__open_end(first: int, length: int) -> None:
    """`first-` is everything from first on."""
    assert taken(f"bytes={first}-", length) == model(first, None, length)


@given(numbers, lengths)
def test_range__suffix(suffix: int, length: int) -> None:
    """`-n` is the last n bytes."""
    assert taken(f"bytes=-{suffix}", length) == model(None, suffix, length)


@given(st.text(max_size=30), lengths)
@example("bytes=٣-٤", 10)
@example("bytes=0-0,2-3", 10)
@example("bytes=" + "9" * 5000 + "-", 10)
@example("bytes=0x1-2", 10)
@example("bytes=+1-2", 10)
def test_range__anything(value: str, length: int) -> None:
    """Whatever a client sends gives a part of the file, the whole, or a 416; never an error."""
    found = taken(value, length)
    assert isinstance(found, str) or (found and set(found) <= set(range(length)))


@pytest.mark.parametrize("value", [None, "", "bytes=-", "bytes=1-2,3-4", "items=1-2", "1-2"])
def test_range__none(value: str | None) -> None:
    """What is no single byte range counts as none."""
    assert taken(value, 10) == "whole"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (None, False),
        (TAG, True),
        (f"W/{TAG}", True),
        (f'"a", {TAG}', True),
        (f'"a",{TAG},"b"', True),
        ("*", True),
        ('"tag', False),
        ("tag", False),
        ('"a"', False),
        ("", False),
    ],
)
def test_condition__if_none_match(sent: str | None, expected: bool) -> None:
    """If-None-Match compares weakly, with any of a list (§13.1.2)."""
    assert matches(sent, TAG) is expected
    assert matches(sent, None) is False


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (None, True),
        (TAG, True),
        (f"W/{TAG}", False),
        ('"a"', False),
        ("Tue, 02 Jan 2024 03:04:05 GMT", False),
        ("*", False),
    ],
)
def test_condition__if_range(sent: str | None, expected: bool) -> None:
    """If-Range compares strongly (§13.1.5)."""
    assert range_applies(sent, TAG) is expected
    assert range_applies(sent, None) is (sent is None)
