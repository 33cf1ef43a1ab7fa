"""Killed at any moment under traffic, a few times over: the soak in small (`make soak`)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crash.soak import run, soaking

ROUNDS = 20


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_soak__killed_at_any_moment(tmp_path: Path) -> None:
    """Every file served is right, all blobs are accounted for and within the limit, none lost."""
    seed = random.randrange(1 << 30)
    told = [f"seed {seed}"]
    assert run(tmp_path, ROUNDS, seed, told.append), "\n".join(told)


def test_soak__finds_what_is_wrong(tmp_path: Path) -> None:
    """A blob that has other bytes is found: the soak can fail."""
    with soaking(tmp_path, 1) as soak:
        while not (blobs := list((tmp_path / "cache" / "blobs").rglob("?" * 64))):
            assert soak.play() == []
        for blob in blobs:
            blob.write_bytes(b"x" * blob.stat().st_size)
        assert any("holds other bytes" in text for text in soak.play())
