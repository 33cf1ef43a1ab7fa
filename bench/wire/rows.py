"""The rows of the table: what each sample is, and how samples become one value. Pure."""

from __future__ import annotations

import statistics

import msgspec

from bench.wire.book import Book


class Row(msgspec.Struct, frozen=True):
    """One row; `more` says that more is better, `least` that the least sample counts.

    A client's own seconds are as few as the machine lets them be: what others do on it only adds.
    """

    key: str
    unit: str
    more: bool = False
    least: bool = False
    # Whether it is one of the few that a README shows.
    short: bool = False


def _hit(key: str, *, short: bool = False) -> list[Row]:
    return [
        Row(key, "req/s", more=True, short=short),
        Row(f"{key}, CPU", "µs/req", short=short),
        Row(f"{key}, p99", "ms"),
    ]


ROWS = (
    *_hit("index hit, 1"),
    *_hit("index hit, 32", short=True),
    *_hit("index hit, 256"),
    *_hit("huge page"),
    *_hit("304"),
    *_hit("small file", short=True),
    *_hit("sidecar", short=True),
    Row("large file, 1", "MB/s", more=True),
    Row("large file, 1, CPU", "s/GB"),
    Row("large file, 8", "MB/s", more=True, short=True),
    Row("large file, 8, CPU", "s/GB", short=True),
    Row("cold page", "ms added", short=True),
    Row("cold huge page, json", "ms added"),
    Row("cold huge page, html", "ms added"),
    Row("cold small file", "ms added", short=True),
    Row("cold stream, first byte", "ms added"),
    Row("cold stream, total", "% added"),
    Row("herd, upstream GETs", "", short=True),
    Row("herd, upstream MB", "MB"),
    Row("herd, first byte", "s", short=True),
    Row("herd, all done", "s", short=True),
    Row("herd, failed", "", short=True),
    Row("herd, growth", "MB"),
    Row("slow herd, upstream GETs", ""),
    Row("slow herd, first byte", "s"),
    Row("slow herd, all done", "s"),
    Row("slow herd, after upstream", "s"),
    Row("slow herd, failed", ""),
    Row("cut herd, upstream GETs", ""),
    Row("cut herd, failed", ""),
    Row("crowd, upstream GETs", ""),
    Row("crowd, first byte", "s"),
    Row("crowd, all done", "s"),
    Row("crowd, failed", ""),
    Row("pip, 60 wheels", "s", least=True, short=True),
    Row("uv, 60 wheels", "s", least=True, short=True),
    Row("memory, start", "MB"),
    Row("memory, hits", "MB"),
    Row("memory, cold", "MB"),
    Row("memory, herds", "MB"),
    Row("memory, installs", "MB", short=True),
    Row("memory, workers", "MB"),
    Row("start, --help", "s", least=True),
    Row("start, stats", "s", least=True),
    Row("start, daemon", "s", least=True),
)


class Values(msgspec.Struct, frozen=True):
    """One value per row and target, and why there is none."""

    of: dict[str, dict[str, float]]
    missing: dict[str, dict[str, str]]
    # scenario → the worst of (late, own) milliseconds of the daemon's loop
    loop: dict[str, tuple[float, float]]

    def get(self, row: str, target: str) -> float | None:
        """Return a value, if there is one."""
        return self.of.get(row, {}).get(target)

    def ratio(self, row: str, over: str, under: str) -> float | None:
        """Return one target's value by another's, if there are both."""
        first, second = self.get(row, over), self.get(row, under)
        return None if first is None or not second else first / second


def values_of(book: Book) -> Values:
    """Make one value of each cell's samples: the median, or the least."""
    found: dict[str, dict[str, float]] = {}
    for row in ROWS:
        choose = min if row.least else statistics.median
        samples = book.samples.get(row.key, {})
        found[row.key] = {name: choose(seen) for name, seen in samples.items()}
    # Who failed once has no value.
    for key, names in book.missing.items():
        for name in names:
            found.get(key, {}).pop(name, None)
    loop = {
        scenario: (max(late for late, _ in seen) * 1000, max(own for _, own in seen) * 1000)
        for scenario, seen in book.beats.items()
    }
    return Values(found, book.missing, loop)
