"""Foreign text in our words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pypicached.errors import clean


@given(st.text(max_size=12), st.integers(1, 10))
def test_clean__one_short_printable_line(text: str, limit: int) -> None:
    """Whatever comes, what goes out is printable ASCII and no longer than asked for."""
    got = clean(text, limit)
    assert len(got) <= limit
    assert all(" " <= c <= "~" for c in got.removesuffix("…"))
    if len(text) <= limit:
        assert got == "".join(c if " " <= c <= "~" else "?" for c in text)
