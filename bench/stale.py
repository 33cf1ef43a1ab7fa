"""How quickly pages and files are served while their upstream is gone, by how quickly before.

One client on one connection asks for the same page and the same file again and again: first fresh,
then with the page's TTL over and the upstream stopped. The ratio is what counts; 1 is "as fast as
ever".
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

from bench.figures import print_table, shown, write_json
from bench.targets import JSON_TYPE, pypicached
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

REQUESTS = 3000
ROUNDS = 5
TTL_SECONDS = 10


def median_microseconds(base: str, path: str, expected: str) -> float:
    """Return what a request takes, as the median of the best of some rounds.

    `expected` must begin what `Cache-Status` says of the last one.
    """
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc)
    best = float("inf")
    for _ in range(ROUNDS):
        seconds = []
        for _ in range(REQUESTS // ROUNDS):
            began = time.perf_counter()
            connection.request("GET", path, headers={"Accept": JSON_TYPE})
            answer = connection.getresponse()
            answer.read()
            seconds.append(time.perf_counter() - began)
        best = min(best, statistics.median(seconds) * 1e6)
    told = answer.getheader("Cache-Status") or ""
    if answer.status != 200 or not told.startswith(expected):
        raise SystemExit(f"{path}: {answer.status}, {told}: not what is measured here")
    connection.close()
    return best


def measure() -> dict[str, float]:
    """Return microseconds per request and their ratios."""
    with ThreadedFakeUpstream() as upstream, tempfile.TemporaryDirectory() as scratch:
        wheels = [make_wheel("alpha", f"{n}.0", size_bytes=20_000) for n in range(200)]
        upstream.add("alpha", *wheels)
        settings = {"PYPICACHED_CACHE__PAGE_TTL": f"{TTL_SECONDS}s"}
        with pypicached(upstream.url, Path(scratch), settings) as daemon:
            base = daemon.base
            page, file = "/simple/alpha/", daemon.file_path("alpha", wheels[0].filename)
            median_microseconds(base, file, "pypicached; ")  # so that it is stored
            result = {
                "page_fresh_us": median_microseconds(base, page, "pypicached; hit"),
                "file_us": median_microseconds(base, file, "pypicached; hit"),
            }
            upstream.down()
            time.sleep(TTL_SECONDS)
            result["page_stale_us"] = median_microseconds(base, page, "pypicached; fwd=stale")
            result["file_in_outage_us"] = median_microseconds(base, file, "pypicached; hit")
    result["page_ratio"] = result["page_stale_us"] / result["page_fresh_us"]
    result["file_ratio"] = result["file_in_outage_us"] / result["file_us"]
    return result


def main() -> int:
    """Measure and print; no duration fails a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    result = measure()
    print_table(["", ""], [[name, shown(value)] for name, value in result.items()])
    write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
