"""Huge pages and the project list, cold, and what small hits feel of them meanwhile.

A page of 10,000 files (JSON and HTML upstream) and a list of 700,000 projects are asked for while
another client asks for a small page again and again. Reported: the time of the cold answer beyond
what the upstream alone needs, the small hits' median, p99 and worst, and the daemon's growth.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from bench.figures import print_table, shown, write_json
from bench.processes import memory_of, reset_peak_of
from bench.targets import JSON_TYPE, pypicached
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

FILES = 10_000
PROJECTS = 700_000
# The other client's pauses: about 500 hits a second, so that p99 means something.
PAUSE_SECONDS = 0.002


class SmallHits:
    """Asks for one small page on one connection until told to stop; keeps how long each took."""

    def __init__(self, base: str) -> None:
        self._address = urllib.parse.urlsplit(base).netloc
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seconds: list[float] = []

    def __enter__(self) -> SmallHits:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._address)
        while not self._stop.wait(PAUSE_SECONDS):
            began = time.perf_counter()
            connection.request("GET", "/simple/small/", headers={"Accept": JSON_TYPE})
            connection.getresponse().read()
            self.seconds.append(time.perf_counter() - began)
        connection.close()


def huge_page(style: str) -> tuple[bytes, str]:
    """Return body and type of a page of 10,000 files, as rich as PyPI's."""
    rows = [
        {
            "filename": f"big-1.{i}-py3-none-any.whl",
            "url": f"https://files.example/packages/{i % 256:02x}/{i % 251:02x}/{i:060x}/"
            f"big-1.{i}-py3-none-any.whl",
            "hashes": {"sha256": f"{i:064x}"},
            "requires-python": ">=3.8",
            "size": 1000 + i,
            "upload-time": "2024-01-01T00:00:00.000000Z",
            "yanked": False,
            "core-metadata": {"sha256": f"{i:064x}"},
        }
        for i in range(FILES)
    ]
    if style == "json":
        versions = [f"1.{i}" for i in range(FILES)]
        page = {"meta": {"api-version": "1.4"}, "name": "big", "files": rows, "versions": versions}
        return json.dumps(page).encode(), JSON_TYPE
    anchors = "\n".join(
        f'<a href="{row["url"]}#sha256={row["hashes"]["sha256"]}" '  # type: ignore[index]
        f'data-requires-python="&gt;=3.8">{row["filename"]}</a><br/>'
        for row in rows
    )
    return f"<!DOCTYPE html><html><body><h1>Links for big</h1>{anchors}</body></html>".encode(), (
        "text/html"
    )


def project_list() -> tuple[bytes, str]:
    """Return body and type of an HTML list of 700,000 projects."""
    lines = "\n".join(f'<a href="/simple/name-{i}/">name-{i}</a>' for i in range(PROJECTS))
    return f"<!DOCTYPE html><html><body>\n{lines}</body></html>".encode(), "text/html"


def fetch(url: str) -> float:
    """Return the seconds until all of an answer is here."""
    headers = {"Accept": JSON_TYPE, "Accept-Encoding": "gzip"}
    began = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        answer.read()
    return time.perf_counter() - began


def measure(path: str, body: bytes, content_type: str) -> dict[str, Any]:
    """Measure one cold answer by itself, and on another daemon with small hits beside it."""
    with ThreadedFakeUpstream() as upstream, tempfile.TemporaryDirectory() as scratch:
        upstream.add("small", make_wheel("small"))
        upstream.serve(path, body, content_type)
        direct = min(fetch(upstream.pages_origin + path) for _ in range(3))
        with pypicached(upstream.url, Path(scratch) / "alone") as daemon:
            base, pid = daemon.base, daemon.pid
            fetch(f"{base}/simple/small/")
            memory = memory_of(pid)["VmRSS"]
            reset_peak_of(pid)
            cold = fetch(base + path)
            grown = memory_of(pid)["VmHWM"] - memory
            again = fetch(base + path)
        with pypicached(upstream.url, Path(scratch) / "beside") as daemon:
            base = daemon.base
            fetch(f"{base}/simple/small/")
            with SmallHits(base) as before:
                time.sleep(1.0)
            with SmallHits(base) as during:
                fetch(base + path)
    return {
        "upstream_alone_ms": direct * 1000,
        "cold_added_ms": (cold - direct) * 1000,
        "hit_ms": again * 1000,
        "peak_growth_mb": grown / 1e6,
        "small_hits_p99_quiet_ms": quantile(before.seconds, 0.99),
        "small_hits_median_ms": statistics.median(during.seconds) * 1000,
        "small_hits_p99_ms": quantile(during.seconds, 0.99),
        "small_hits_worst_ms": max(during.seconds) * 1000,
    }


def quantile(seconds: list[float], share: float) -> float:
    """Return a quantile in milliseconds."""
    return sorted(seconds)[int(len(seconds) * share)] * 1000


def main() -> int:
    """Measure and print; no duration fails a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    cases = {
        "10k files, JSON": ("/simple/big/", *huge_page("json")),
        "10k files, HTML": ("/simple/big/", *huge_page("html")),
        "700k names, HTML": ("/simple/", *project_list()),
    }
    results = {name: measure(*case) for name, case in cases.items()}
    rows = next(iter(results.values()))
    cells = [[row, *(shown(result[row]) for result in results.values())] for row in rows]
    print_table(["", *results], cells)
    write_json(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
