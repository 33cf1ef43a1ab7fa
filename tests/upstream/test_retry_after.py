"""Retry-After as upstreams send it (RFC 9110 §10.2.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicached.upstream.retry_after import MOST_SECONDS, ask_again_in

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        (" 12 ", 12.0),
        ("3600", MOST_SECONDS),
        ("9" * 400, MOST_SECONDS),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:30 -0000", 10.0),
        ("Wed, 14 Nov 2033 22:13:30 GMT", MOST_SECONDS),
    ],
)
def test_retry_after__said(value: str, seconds: float) -> None:
    """Seconds or a date count, up to our own bound."""
    assert ask_again_in(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "0",
        "-1",
        "soon",
        "1.5",
        "٣",
        "Tue, 14 Nov 2023 22:13:10 GMT",
        "Tue, 99 Foo 1",
        ",",
    ],
)
def test_retry_after__nothing_said(value: str | None) -> None:
    """What is no time in the future is nothing."""
    assert ask_again_in(value, NOW) is None


@given(st.text(max_size=60))
def test_retry_after__any_text(value: str) -> None:
    """No text raises, or talks us into more than the bound."""
    seconds = ask_again_in(value, NOW)
    assert seconds is None or 0 < seconds <= MOST_SECONDS
