"""What was measured: samples by row and target, and what could not be measured. No arithmetic."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.heartbeat import Heartbeat
from bench.processes import TargetError
from bench.targets import DAEMON

# What a target that does not do its part looks like from here.
FAILURES = (TargetError, OSError, http.client.HTTPException, subprocess.SubprocessError)


class Book:
    """Filled by the scenarios, read by the report."""

    def __init__(self) -> None:
        # row → target → a value per round
        self.samples: dict[str, dict[str, list[float]]] = {}
        # row → target → why there is no value
        self.missing: dict[str, dict[str, str]] = {}
        # scenario → (late, own) seconds of the daemon's event loop, a pair per round
        self.beats: dict[str, list[tuple[float, float]]] = {}
        self._heart: Heartbeat | None = None

    def add(self, row: str, target: str, value: float) -> None:
        """Note one sample."""
        self.samples.setdefault(row, {}).setdefault(target, []).append(value)

    def listen_to(self, heart: Heartbeat) -> None:
        """Have the daemon's loop watched from now on."""
        self._heart = heart

    @contextlib.contextmanager
    def attempt(
        self, scenario: str, target: str, *rows: str, watched: bool = True
    ) -> Iterator[None]:
        """Run one scenario for one target: a peer that fails has no value in these rows."""
        print(f"{time.strftime('%H:%M:%S')} {scenario}: {target}", file=sys.stderr)
        heart = self._heart if target == DAEMON and watched else None
        if heart is not None:
            heart.start()
        try:
            yield
        except FAILURES as error:
            for row in rows or (scenario,):
                self.missing.setdefault(row, {})[target] = str(error) or type(error).__name__
            print(f"  {error}", file=sys.stderr)
        beats = heart.read() if heart is not None else None
        if beats is not None:
            seen = (beats.late_seconds, beats.own_seconds)
            self.beats.setdefault(scenario, []).append(seen)
