"""What is promised, each line beside what was measured. Pure.

Ratios are between targets of the same run. "By CPU" is the same ratio of processor time per
request, which other work on the machine disturbs less.
"""

from __future__ import annotations

from collections.abc import Collection

from bench.figures import Figure
from bench.targets import DAEMON
from bench.wire.rows import Values

MB = 1e6
# The event loop is held up for no longer than this by our own work, and a huge page may take more.
LOOP_MS, HUGE_LOOP_MS = 10.0, 50.0
# An installer's seconds differ by this much from one run to the next of the same.
INSTALL = 1.02


def judge(values: Values, large_bytes: int, parts: Collection[str]) -> list[Figure]:
    """Return the promises about those parts, each with its figure."""
    of_parts = {
        "hits": [*_hits(values), *_large(values), *_stretch(values)],
        "cold": _cold(values),
        "herds": _herds(values, large_bytes),
        "installs": _installs(values),
        "starts": _starts(values),
    }
    figures = [figure for part, those in of_parts.items() if part in parts for figure in those]
    return [*figures, *_memory(values), *_loop(values)]


def _times(
    values: Values, row: str, other: str, promise: float, *, judged_by_cpu: bool = False
) -> list[Figure]:
    """By how much the daemon has more requests a second, and needs less time for each."""
    return [
        Figure(f"{row}, by {other}", values.ratio(row, DAEMON, other), "x", promise, at_least=True),
        Figure(
            f"{row}, by {other}, by CPU",
            values.ratio(f"{row}, CPU", other, DAEMON),
            "x",
            promise if judged_by_cpu else None,
            at_least=True,
        ),
    ]


def _hits(values: Values) -> list[Figure]:
    figures = [
        *_times(values, "index hit, 32", "proxpi", 25),
        *_times(values, "index hit, 32", "nginx cache", 7),
        *_times(values, "index hit, 32", "aiohttp", 0.8, judged_by_cpu=True),
        *_times(values, "huge page", "aiohttp", 0.8, judged_by_cpu=True),
        *_times(values, "304", "aiohttp", 0.8, judged_by_cpu=True),
    ]
    for row in ("small file", "sidecar"):
        figures += _times(values, row, "proxpi", 10)
        figures += _times(values, row, "aiohttp", 0.8, judged_by_cpu=True)
    return figures


def _large(values: Values) -> list[Figure]:
    figures = []
    for row in ("large file, 1", "large file, 8"):
        rate = values.ratio(row, DAEMON, "nginx static")
        cost = values.ratio(f"{row}, CPU", DAEMON, "nginx static")
        figures += [
            Figure(f"{row}, MB/s by nginx", rate, "x", 0.95, at_least=True),
            Figure(f"{row}, CPU per GB by nginx", cost, "x", 1.25),
        ]
    return figures


def _cold(values: Values) -> list[Figure]:
    return [
        Figure(f"{row}, added", values.get(row, DAEMON), unit, promise)
        for row, unit, promise in (
            ("cold page", "ms", 3.0),
            ("cold huge page, json", "ms", 60.0),
            ("cold huge page, html", "ms", 150.0),
            ("cold small file", "ms", 2.0),
            ("cold stream, first byte", "ms", 20.0),
            ("cold stream, total", "%", 2.0),
        )
    ]


def _herds(values: Values, large_bytes: int) -> list[Figure]:
    # No cache is quicker than one download, or than sending the file to all of them from the disk.
    least = max(
        values.get("herd, all done", "direct") or 0.0,
        values.get("herd, all done", "nginx static") or 0.0,
    )
    done = values.get("herd, all done", DAEMON)
    figures = [
        Figure(f"herd, {row}", values.get(f"herd, {row}", DAEMON), unit, promise)
        for row, unit, promise in (
            ("failed", "", 0),
            ("upstream GETs", "", 1),
            # The head of the answer is not counted.
            ("upstream MB", "MB", round(large_bytes / MB)),
            ("first byte", "s", 0.2),
            ("growth", "MB", 30),
        )
    ]
    figures += [
        Figure("herd, one direct download", values.get("herd, all done", "direct"), "s"),
        Figure("herd, 50 copies by nginx", values.get("herd, all done", "nginx static"), "s"),
        Figure(
            "herd, all done by the longer of these",
            None if done is None or not least else done / least,
            "x",
            1.5,
        ),
    ]
    for herd, rows in (
        ("slow herd", (("failed", "", 0), ("upstream GETs", "", 1), ("after upstream", "s", 0.1))),
        ("cut herd", (("failed", "", 0), ("upstream GETs", "", 1))),
        ("crowd", (("failed", "", 0), ("upstream GETs", "", 1))),
    ):
        for row, unit, promise in rows:
            figures.append(
                Figure(f"{herd}, {row}", values.get(f"{herd}, {row}", DAEMON), unit, promise)
            )
    return figures


def _installs(values: Values) -> list[Figure]:
    return [
        Figure(f"{row}, by nginx", values.ratio(row, DAEMON, "nginx static"), "x", INSTALL)
        for row in ("pip, 60 wheels", "uv, 60 wheels")
    ]


def _last_memory(values: Values) -> float | None:
    found = (
        values.get(f"memory, {part}", DAEMON) for part in ("installs", "herds", "cold", "hits")
    )
    return next((value for value in found if value is not None), None)


def _memory(values: Values) -> list[Figure]:
    return [
        Figure("memory after the start", values.get("memory, start", DAEMON), "MB", 70),
        Figure("memory after everything", _last_memory(values), "MB", 140),
        Figure("memory of worker processes", values.get("memory, workers", DAEMON), "MB"),
    ]


def _starts(values: Values) -> list[Figure]:
    return [
        Figure("pypicached --help", values.get("start, --help", DAEMON), "s", 0.3),
        Figure("pypicached stats", values.get("start, stats", DAEMON), "s", 0.3),
        Figure("daemon ready, empty cache", values.get("start, daemon", DAEMON), "s", 0.5),
    ]


def _loop(values: Values) -> list[Figure]:
    """The worst moment of the event loop: as long as it was, and what of it we did ourselves."""
    figures = []
    for scenario, (late, own) in values.loop.items():
        # Beside many clients a beat waits for all that is ready: many short turns, and no long one.
        crowded = f"{scenario}, CPU" in values.of or "herd" in scenario or scenario == "crowd"
        promise = None if crowded else HUGE_LOOP_MS if "huge" in scenario else LOOP_MS
        figures += [
            Figure(f"loop, {scenario}, own work", own, "ms", promise),
            Figure(f"loop, {scenario}, by the clock", late, "ms"),
        ]
    return figures


def _stretch(values: Values) -> list[Figure]:
    return [
        Figure(
            f"{row}, CPU by nginx cache",
            values.ratio(f"{row}, CPU", DAEMON, "nginx cache"),
            "x",
            2.0,
            stretch=True,
        )
        for row in ("small file", "sidecar")
    ]
