"""How long a host takes to begin its answers: lately, and as a histogram since the start."""

from __future__ import annotations

import bisect

# Upper bounds in seconds; what took longer is in the last bucket, without a bound.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Of each new answer; so about the last ten of them make what is called "lately".
SHARE = 0.2


class Latency:
    """Seconds from a request to the head of its answer. Single-threaded."""

    def __init__(self) -> None:
        self.recent: float | None = None
        self.total_seconds = 0.0
        # Answers per bucket, not cumulative.
        self.counts = [0] * (len(BUCKETS) + 1)

    def observe(self, seconds: float) -> None:
        """Take in one answer."""
        known = seconds if self.recent is None else self.recent
        self.recent = known + SHARE * (seconds - known)
        self.total_seconds += seconds
        self.counts[bisect.bisect_left(BUCKETS, seconds)] += 1
