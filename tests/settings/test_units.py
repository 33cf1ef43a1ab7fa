"""Sizes and durations, read and spelled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.settings import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    spell_size,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10B", 10),
        ("50GiB", 50 * 1024**3),
        ("1.5 gib", 3 * 1024**3 // 2),
        ("20G", 20 * 1024**3),
        ("3k", 3072),
        ("1KB", 1000),
        ("2 MB", 2_000_000),
        ("1TB", 10**12),
        ("1T", 1024**4),
    ],
)
def test_parse_size__each_unit(text: str, size_bytes: int) -> None:
    """KiB and K are binary, KB is decimal, a plain number is bytes; case does not matter."""
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1", "1e9", "5 bananas", "1,5GB", "0x10", "inf", "9" * 30, "9999999TiB"]
)
def test_parse_size__no_size(text: str) -> None:
    """What is no size, or beyond any disk, is refused."""
    with pytest.raises(ValueError, match=r"no size|any disk"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("0.5", 0.5),
        ("250ms", 0.25),
        ("10s", 10.0),
        ("10 M", 600.0),
        ("1h30m", 5400.0),
        ("1d 12h", 129_600.0),
        ("2w", 1_209_600.0),
        ("1m500ms", 60.5),
    ],
)
def test_parse_duration__each_unit(text: str, seconds: float) -> None:
    """ms, s, m, h, d and w, alone or combined; a plain number is seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "12 parsecs", "-5s", "30m1h", "1h1h", "1h30", "nan", "inf", "200000d", "1e3"]
)
def test_parse_duration__no_duration(text: str) -> None:
    """What is no duration, repeats a unit, or is longer than a hundred years is refused."""
    with pytest.raises(ValueError, match=r"no duration|hundred years"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1024, "1 KiB"),
        (1536 * 1024**2, "1.5 GiB"),
        (1024**3 - 1, "1 GiB"),
        (20 * 1024**3, "20 GiB"),
    ],
)
def test_format_size__for_people(size_bytes: int, text: str) -> None:
    """A size is rounded to one decimal of the largest unit that it fills."""
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (90, "1m30s"), (5400, "1h30m"), (30 * 86_400, "30d")],
)
def test_format_duration__exact(seconds: float, text: str) -> None:
    """A duration is spelled in full, without zero parts."""
    assert format_duration(seconds) == text


def test_format_duration__parts() -> None:
    """With `parts` only the largest units are shown."""
    assert format_duration(93_784.5, parts=2) == "1d2h"


@given(st.integers(0, 2**62))
def test_spell_size__reads_back(size_bytes: int) -> None:
    """A spelled size is read back as the very same number."""
    assert parse_size(spell_size(size_bytes)) == size_bytes


@given(st.integers(0, 10**12))
def test_format_duration__reads_back(milliseconds: int) -> None:
    """A spelled duration is read back, exact to the millisecond."""
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds
