"""NO_PROXY: which hosts it exempts."""

from __future__ import annotations

import pytest

from pypicached.exempt import is_exempt


@pytest.mark.parametrize(
    ("host", "exempt", "told"),
    [
        ("index.example", "", False),
        ("index.example", "*", True),
        ("index.example", "other, index.example", True),
        ("Index.Example", "INDEX.example", True),
        ("a.index.example", "index.example", True),
        ("a.index.example", ".index.example", True),
        ("a.index.example", "*.index.example", True),
        ("myindex.example", "index.example", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("::1", "::1", True),
        ("index.example", "10.0.0.0/8,,.", False),
    ],
)
def test_exempt__forms(host: str, exempt: str, told: bool) -> None:
    """Names with what is below them, addresses, networks, and `*`."""
    assert is_exempt(host, exempt) == told
