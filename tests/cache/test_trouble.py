"""What keeps failing is told once, not once per request."""

from __future__ import annotations

import logging

import pytest

from pypicached.cache.trouble import SILENCE_SECONDS, Trouble


def test_trouble__told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same words come once a minute; other words at once."""
    moments = iter([0.0, 1.0, 2.0, 3.0, 2.0 + SILENCE_SECONDS, 3.0 + SILENCE_SECONDS])
    trouble = Trouble(logging.getLogger("test"), now=lambda: next(moments))
    for text in ("a", "a", "b", "b", "b", "b"):
        trouble.tell(text)
    assert [record.getMessage() for record in caplog.records] == ["a", "b", "b"]
