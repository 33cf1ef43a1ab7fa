"""`python -m tests.fuzz --seconds 60 [--seed N] [--side listener] [--batch N]`.

Each side has half of the time. The seed is printed, and with a finding how to repeat its batch.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Iterator

from tests.fuzz.listener import ListenerFuzz
from tests.fuzz.upstream import UpstreamFuzz
from tests.fuzz.world import FindingError

SIDES = (ListenerFuzz, UpstreamFuzz)


class Batches:
    """Numbers of batches until the time is over, and the one that is running."""

    def __init__(self, seconds: float, only: int | None) -> None:
        self._until = time.monotonic() + seconds
        self._only = only
        self.running = -1

    def __iter__(self) -> Iterator[int]:
        if self._only is not None:
            self.running = self._only
            yield self._only
            return
        while self.running < 0 or time.monotonic() < self._until:
            self.running += 1
            yield self.running


def main(arguments: list[str]) -> int:
    """Fuzz, and return 1 with the first finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--side", choices=[side.name for side in SIDES])
    parser.add_argument("--batch", type=int, help="run this one alone")
    given = parser.parse_args(arguments)
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    sides = [side for side in SIDES if given.side in (None, side.name)]
    for side in sides:
        batches = Batches(given.seconds / len(sides), given.batch)
        say(f"fuzzing the {side.name}, seed {seed}")
        try:
            count = side(seed).run(batches)
        except FindingError as finding:
            say(f"FOUND in batch {batches.running}: {finding.what}\n  by {finding.case[:4000]!r}")
            say(f"again: make fuzz SEED={seed} SIDE={side.name} BATCH={batches.running}")
            return 1
        say(f"  {count} cases in {batches.running + 1} batches: nothing found")
    return 0


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
