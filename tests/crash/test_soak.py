"""Killed at any moment under traffic, a few times over: the soak in small (`make soak`)."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.crash.soak import run, soaking
from tests.crash.whole import wrong_in

ROUNDS = 20


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_soak__killed_at_any_moment(tmp_path: Path) -> None:
    """Every file served is right, all blobs are accounted for and within the limit, none lost."""
    seed = random.randrange(1 << 30)
    told = [f"seed {seed}"]
    assert run(tmp_path, ROUNDS, seed, told.append), "\n".join(told)


def test_soak__finds_what_is_wrong(tmp_path: Path) -> None:
    """A blob that has other bytes than its name says is found: the soak can fail."""
    with soaking(tmp_path, 1) as soak:
        assert soak.play() == []
        soak._daemon.start()
        strange = tmp_path / "cache" / "blobs" / "sha256" / "ab" / ("ab" * 32)
        strange.parent.mkdir(exist_ok=True)
        strange.write_bytes(b"other bytes")
        assert any("holds other bytes" in text for text in wrong_in(soak._daemon))
        soak._daemon.stop(signal.SIGKILL)
