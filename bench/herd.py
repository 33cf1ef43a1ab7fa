"""100 clients ask at once for a cold file of a slow upstream: pypicached beside a static nginx.

Two targets in the same run, one after the other so that they do not share the machine: pypicached
with an empty cache before an upstream that sends 20 MB/s per connection, and nginx with the file on
disk, limited to the same rate per client. The best that a cache can do is to finish when such an
nginx does. What counts: that ratio, the number of upstream GETs (1), how soon after the upstream's
first byte each client has its own, and that memory does not grow with file and clients.

Exit code 1: wrong bytes, or more than one upstream GET; 2: a target did not start. Nothing here
judges a duration.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any

import msgspec

from bench import targets
from bench.clients import Job, Outcome
from tests.fake.__main__ import NAMES, RECORD_PATH, newest_wheel, parse_size

Row = dict[str, Any]


def measure(url: str, pid: int, size: int, sha256: str, options: argparse.Namespace) -> Row:
    """Send the herd to one URL and sum up how it fared; moments are relative to its start."""
    targets.reset_peak_of(pid)
    memory, cpu = targets.memory_of(pid), targets.cpu_seconds_of(pid)
    outcomes = _run_clients(url, size, options)
    memory_after = targets.memory_of(pid)
    whole = [o for o in outcomes if not o.was_cut and not o.failure]
    failures = [o.failure for o in outcomes if not o.was_cut and o.failure]
    wrong = [o for o in whole if o.received != size or o.sha256 not in {"", sha256}]
    started_at = min(o.started_at for o in outcomes)
    first_bytes = sorted(o.first_byte_at for o in outcomes if o.first_byte_at)
    row: Row = {
        "clients": sum(not o.was_cut for o in outcomes),
        "whole": len(whole),
        "hashed": sum(bool(o.sha256) for o in whole),
        "wrong": len(wrong),
        "failures": sorted(set(failures)),
        "failed": len(failures),
        "started_at": started_at,
        "cpu_seconds": targets.cpu_seconds_of(pid) - cpu,
        "rss_before_bytes": memory["VmRSS"],
        "rss_growth_bytes": memory_after["VmRSS"] - memory["VmRSS"],
        "anonymous_growth_bytes": memory_after["RssAnon"] - memory["RssAnon"],
        "peak_growth_bytes": memory_after["VmHWM"] - memory["VmRSS"],
    }
    if first_bytes:
        row["first_byte_median_seconds"] = statistics.median(first_bytes) - started_at
        row["first_byte_max_seconds"] = first_bytes[-1] - started_at
    if whole:
        row["finish_max_seconds"] = max(o.finished_at for o in whole) - started_at
        row["finish_over_size_by_rate"] = row["finish_max_seconds"] * options.rate / size
    return row


def measure_nginx(name: str, body: bytes, directory: Path, options: argparse.Namespace) -> Row:
    """Measure the static nginx."""
    file = (f"{name}.whl", body)
    sha256 = hashlib.sha256(body).hexdigest()
    with targets.nginx(file, rate=options.rate, directory=directory) as (url, pid):
        return measure(url, pid, len(body), sha256, options)


def measure_pypicached(
    index_url: str, base: str, pid: int, name: str, options: argparse.Namespace
) -> Row:
    """Measure the daemon with a project that it has never been asked for."""
    wheel = newest_wheel(name, _requirements(name, options.rounds), options.size)
    url, sha256 = targets.listed_file(base, name, wheel.filename)
    if sha256 != wheel.sha256:
        raise targets.TargetError("the page does not list the file that was published")
    row = measure(url, pid, len(wheel.body), sha256, options)
    record_url = urllib.parse.urljoin(index_url, RECORD_PATH)
    gets = [
        seen
        for seen in targets.get_json(record_url)
        if seen["method"] == "GET" and seen["path"].endswith("/" + wheel.filename)
    ]
    row["upstream_gets"] = len(gets)
    if gets and gets[0]["first_byte_at"] and "first_byte_max_seconds" in row:
        upstream_first = gets[0]["first_byte_at"] - row["started_at"]
        row["first_byte_after_upstream_median_seconds"] = (
            row["first_byte_median_seconds"] - upstream_first
        )
        row["first_byte_after_upstream_max_seconds"] = (
            row["first_byte_max_seconds"] - upstream_first
        )
    if gets and gets[-1]["finished_at"] and "finish_max_seconds" in row:
        upstream_finish = gets[-1]["finished_at"] - row["started_at"]
        row["finish_after_upstream_seconds"] = row["finish_max_seconds"] - upstream_finish
    return row


def run(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Run all rounds; each takes another project, because a file is cold only once."""
    rounds: list[dict[str, Row]] = []
    with (
        targets.fake_index(
            projects=options.rounds, size_bytes=options.size, rate=options.rate
        ) as index_url,
        targets.pypicached(index_url, directory / "daemon") as (base, pid),
    ):
        for name in NAMES[: options.rounds]:
            wheel = newest_wheel(name, _requirements(name, options.rounds), options.size)
            static = measure_nginx(name, wheel.body, directory / f"nginx-{name}", options)
            ours = measure_pypicached(index_url, base, pid, name, options)
            if "finish_max_seconds" in ours and "finish_max_seconds" in static:
                ours["finish_ratio"] = ours["finish_max_seconds"] / static["finish_max_seconds"]
            rounds.append({"nginx": static, "pypicached": ours})
    parameters = {key: value for key, value in vars(options).items() if key != "json"}
    return {"parameters": parameters, "rounds": rounds}


def print_table(report: dict[str, Any]) -> None:
    """Print what matters of each round, the two targets side by side."""
    for number, targets_of_round in enumerate(report["rounds"], 1):
        print(f"round {number:<35}{'nginx':>12}{'pypicached':>12}")
        static, ours = targets_of_round["nginx"], targets_of_round["pypicached"]
        for key in dict.fromkeys([*ours, *static]):
            if key != "started_at":
                print(f"  {key:<39}{_cell(static.get(key)):>12}{_cell(ours.get(key)):>12}")


def is_wrong(report: dict[str, Any]) -> bool:
    """Tell whether anybody got wrong bytes, or the upstream more than one GET."""
    rows = [row for targets_of_round in report["rounds"] for row in targets_of_round.values()]
    return any(row["wrong"] or row.get("upstream_gets", 0) > 1 for row in rows)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.herd", description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--hashers", type=int, default=5, help="how many of them check the digest")
    parser.add_argument("--size", type=parse_size, default=50_000_000)
    parser.add_argument("--rate", type=parse_size, default=20_000_000, help="bytes a second")
    parser.add_argument("--rounds", type=int, default=1, choices=range(1, len(NAMES) + 1))
    parser.add_argument(
        "--cut-first", action="store_true", help="one more client comes first and is reset halfway"
    )
    parser.add_argument("--json", type=Path, help="write the report there, too")
    return parser.parse_args(arguments)


def _requirements(name: str, rounds: int) -> list[str]:
    following = NAMES.index(name) + 1
    return [] if following == rounds else [NAMES[following]]


def _run_clients(url: str, size: int, options: argparse.Namespace) -> list[Outcome]:
    parts = urllib.parse.urlsplit(url)
    assert parts.port is not None
    job = Job(
        parts.port, parts.path, options.clients, options.hashers, options.cut_first, size // 2
    )
    finished = subprocess.run(
        [sys.executable, "-m", "bench.clients"],
        cwd=targets.REPOSITORY,
        input=msgspec.json.encode(job),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(finished.stdout, type=list[Outcome])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return "-" if value is None else f"{value:,}"


def main() -> int:
    """Run the bench and return its exit code."""
    options = parse_arguments(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="herd-") as directory:
        try:
            report = run(options, Path(directory))
        except targets.TargetError as error:
            print(error, file=sys.stderr)
            return 2
    print_table(report)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if is_wrong(report) else 0


if __name__ == "__main__":
    sys.exit(main())
